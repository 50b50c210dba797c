//! What is forwarded without looking into it.

use harness::{Fixture, Gateway, Reply, Upstream, When};
use serde_json::json;

fn transcription(model_at: usize, padding: usize) -> Vec<u8> {
    let file = [
        b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n".to_vec(),
        (0..padding).map(|byte| u8::try_from(byte % 251).unwrap_or(0)).collect(),
        b"\r\n".to_vec(),
    ]
    .concat();
    let model = b"--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nalias\r\n".to_vec();
    let parts = if model_at == 0 {
        [model, file]
    } else {
        [file, model]
    };
    [parts.concat(), b"--XX--\r\n".to_vec()].concat()
}

async fn gateway(upstream: &Upstream) -> Gateway {
    let fixture = Fixture::pool(upstream, ["a", "b"]).route(
        "r",
        &["alias"],
        json!([{ "providerRef": { "name": "p" }, "model": "m" }]),
    );
    Gateway::start(fixture).await
}

#[tokio::test]
async fn a_form_is_routed_by_its_model_field() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    for (position, padding) in [(0, 3 << 20), (1, 20_000)] {
        let form = transcription(position, padding);
        let answer = gateway
            .client()
            .request("POST", "/v1/audio/transcriptions")
            .header("content-type", "multipart/form-data; boundary=XX")
            .body(form.clone())
            .send()
            .await
            .expect(200);
        assert_eq!(answer.json(), json!({ "text": "Hello." }));
        let seen = upstream.last();
        let expected = String::from_utf8_lossy(&form).replace("\r\n\r\nalias\r\n", "\r\n\r\nm\r\n");
        assert_eq!(
            String::from_utf8_lossy(&seen.body).len(),
            expected.len(),
            "only the model's name differs"
        );
        assert!(
            String::from_utf8_lossy(&seen.body) == expected,
            "only the model's name differs"
        );
        assert_eq!(seen.header("content-type"), "multipart/form-data; boundary=XX");
    }
}

#[tokio::test]
async fn a_form_whose_model_comes_too_late_or_never_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    let without = "--XX\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nx\r\n--XX--\r\n";
    for (what, form) in [
        ("model behind 200 kB", transcription(1, 200_000)),
        ("no model", without.as_bytes().to_vec()),
        ("no form at all", b"garbage".to_vec()),
        ("empty", Vec::new()),
    ] {
        let answer = gateway
            .client()
            .request("POST", "/v1/audio/transcriptions")
            .header("content-type", "multipart/form-data; boundary=XX")
            .body(form)
            .send()
            .await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        answer.openai_error(400);
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn binary_and_text_answers_are_untouched() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    let body = json!({ "model": "alias", "input": "x", "voice": "alloy" });
    let speech = gateway.client().post("/v1/audio/speech", &body).await.expect(200);
    assert_eq!(speech.header("content-type"), "audio/mpeg");
    assert_eq!(
        speech.body.as_ref(),
        [0xff, 0xfb, 0x00, 0x80, 0xc3, 0x28, 0x0a, 0x0d]
    );
    assert_eq!(upstream.last().json()["model"], "m");

    upstream.once(
        When::any(),
        Reply::status(200).body("text/plain; charset=utf-8", "1\n00:00 --> 00:01\nHello\n"),
    );
    let text = gateway
        .client()
        .request("POST", "/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(transcription(0, 100))
        .send()
        .await
        .expect(200);
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(text.text(), "1\n00:00 --> 00:01\nHello\n");
}

#[tokio::test]
async fn the_whole_list_is_forwarded_under_its_own_path() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    for (path, body) in [
        (
            "/v1/images/generations",
            json!({ "model": "alias", "prompt": "x" }),
        ),
        ("/v1/images/edits", json!({ "model": "alias", "prompt": "x" })),
        ("/v1/moderations", json!({ "model": "alias", "input": "x" })),
        (
            "/v1/rerank",
            json!({ "model": "alias", "query": "x", "documents": ["y"] }),
        ),
    ] {
        let answer = gateway.client().post(path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(upstream.last().path, path);
        assert_eq!(upstream.last().json()["model"], "m", "{path}");
    }
    // Without a model in them, a Provider must be named or be the only one.
    for (method, path) in [
        ("GET", "/p/v1/files?limit=2"),
        ("POST", "/p/v1/uploads"),
        ("GET", "/p/v1/batches"),
        ("POST", "/p/v1/vector_stores"),
    ] {
        let mut request = gateway.client().request(method, path);
        if method == "POST" {
            request = request.json(&json!({ "name": "x" }));
        }
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        assert_eq!(upstream.last().path, path.trim_start_matches("/p"));
    }
}

#[tokio::test]
async fn a_form_that_went_upstream_is_not_sent_twice() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::error(500, "server_error", "oops", "The server had an error."),
    );
    let gateway = gateway(&upstream).await;
    let answer = gateway
        .client()
        .request("POST", "/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(transcription(0, 1 << 20))
        .send()
        .await;
    assert!(
        matches!(answer.status, 500 | 502 | 503),
        "{}: {}",
        answer.status,
        answer.text()
    );
    assert_eq!(upstream.count(), 1);
}
