//! Upstreams that misbehave.

use std::time::{Duration, Instant};

use harness::{Answer, Certificates, Fixture, Gateway, Reply, Upstream, When, sse};
use serde_json::json;

use crate::frames::{DONE, content, finish, role};

/// A gateway with one credential at `url`.
async fn at(url: &str) -> Gateway {
    let fixture = Fixture::new()
        .provider("p", url, &["m"])
        .spec(
            "timeouts",
            json!({ "connect": "1s", "firstByte": "1s", "idle": "1s", "total": "20s" }),
        )
        .credential("p", "a")
        .client("app", harness::CLIENT_KEY);
    Gateway::start(fixture).await
}

#[track_caller]
fn upstream_failed(what: &str, answer: &Answer) {
    assert!(
        matches!(answer.status, 502..=504),
        "{what}: expected 502, 503 or 504, got {}: {}",
        answer.status,
        answer.text()
    );
    answer.openai_error(answer.status);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_502() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for (what, url) in [
        ("refused", format!("http://{closed}/v1")),
        ("no such name", "https://no-such-host.invalid/v1".to_owned()),
    ] {
        let gateway = at(&url).await;
        upstream_failed(what, &gateway.client().chat("m").await);
        upstream_failed(what, &gateway.client().chat_stream("m").await.finish().await);
    }
}

#[tokio::test]
async fn certificates_are_checked() {
    let good = Certificates::for_name("127.0.0.1");
    let named = Certificates::for_name("upstream.test");
    let unknown = Upstream::start_tls(&good).await;
    let gateway = at(&unknown.url("/v1")).await;
    upstream_failed("unknown authority", &gateway.client().chat("m").await);
    assert_eq!(unknown.count(), 0);

    let with_ca = |upstream: &Upstream, certificates: &Certificates| {
        Fixture::pool(upstream, ["a"])
            .secret("ca", &[("ca.crt", certificates.authority())])
            .amend(
                "Provider",
                "p",
                "/spec/tls",
                json!({ "caRef": { "kind": "Secret", "name": "ca", "key": "ca.crt" } }),
            )
    };
    let gateway = Gateway::start(with_ca(&unknown, &good)).await;
    gateway.client().chat("m").await.expect(200);

    let other = Upstream::start_tls(&named).await;
    let gateway = Gateway::start(with_ca(&other, &named)).await;
    upstream_failed("another name", &gateway.client().chat("m").await);
    let fixture =
        with_ca(&other, &named).amend("Provider", "p", "/spec/tls/serverName", json!("upstream.test"));
    let gateway = Gateway::start(fixture).await;
    gateway.client().chat("m").await.expect(200);

    let plain = Upstream::start().await;
    let gateway = at(&plain.url("/v1").replace("http://", "https://")).await;
    upstream_failed("TLS to a plain port", &gateway.client().chat("m").await);
}

#[tokio::test]
async fn forbidden_addresses_are_never_connected_to() {
    // A name that resolves there is as bad as the address; localhost stays allowed here.
    for url in [
        "https://169.254.169.254/v1",
        "https://[fe80::1]/v1",
        "https://0.0.0.0/v1",
        "https://224.0.0.1/v1",
    ] {
        let fixture = Fixture::new()
            .provider("p", url, &["m"])
            .credential("p", "a")
            .client("app", harness::CLIENT_KEY);
        let gateway = Gateway::with(fixture).without_waiting().start().await;
        let started = Instant::now();
        let answer = gateway.client().chat("m").await;
        assert!(
            matches!(answer.status, 404 | 502 | 503),
            "{url}: {}",
            answer.status
        );
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{url}: not even tried"
        );
    }
}

#[tokio::test]
async fn silence_before_the_head_ends_in_time() {
    let upstream = Upstream::start().await;
    upstream.on(When::any(), Reply::silence());
    let gateway = at(&upstream.url("/v1")).await;
    let started = Instant::now();
    let answer = gateway.client().chat_stream("m").await.finish().await;
    upstream_failed("hang before headers", &answer);
    assert!(started.elapsed() < Duration::from_secs(10));
    upstream.until_gone().await;
}

#[tokio::test]
async fn half_answers_are_failures() {
    let upstream = Upstream::start().await;
    let gateway = at(&upstream.url("/v1")).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    for (what, reply) in [
        ("closed without an answer", Reply::refuse()),
        ("half a status line", Reply::raw("HTTP/1.1 20").cut()),
        ("half a head", Reply::raw(head).cut()),
        (
            "half a body",
            Reply::raw(format!("{head}content-length: 100\r\n\r\n{{\"choices\":")).cut(),
        ),
        (
            "half a body, then reset",
            Reply::raw(format!("{head}content-length: 100\r\n\r\n{{\"choices\":"))
                .wait(Duration::from_millis(50))
                .reset(),
        ),
        (
            "half a body, then silence",
            Reply::raw(format!("{head}content-length: 100\r\n\r\n{{\"choices\":")).hang(),
        ),
        (
            "half a chunk",
            Reply::raw(format!("{head}transfer-encoding: chunked\r\n\r\nff\r\n{{")).cut(),
        ),
        ("not HTTP", Reply::raw("SSH-2.0-OpenSSH_9.9\r\n").cut()),
        (
            "HTML",
            Reply::status(200).body("text/html", "<html><body>Login</body></html>"),
        ),
        (
            "JSON cut short",
            Reply::status(200).body("application/json", "{\"choices\":["),
        ),
        ("an empty body", Reply::status(200).body("application/json", "")),
        (
            "a status that means nothing",
            Reply::status(299).body("text/plain", "hm"),
        ),
        (
            "a redirect",
            Reply::status(307).header("location", &upstream.url("/elsewhere")),
        ),
        (
            "a redirect to the metadata server",
            Reply::status(302).header("location", "http://169.254.169.254/"),
        ),
    ] {
        upstream.behave();
        // One that failed often rests; a fresh credential for each case would hide nothing else.
        let gateway = if what == "closed without an answer" {
            &gateway
        } else {
            &at(&upstream.url("/v1")).await
        };
        upstream.on(When::any(), reply);
        upstream_failed(what, &gateway.client().chat("m").await);
        assert!(
            upstream
                .seen()
                .iter()
                .all(|seen| !seen.path.contains("elsewhere")),
            "{what}: followed"
        );
    }
}

#[tokio::test]
async fn html_instead_of_a_stream_is_a_failure() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::status(200).body("text/html", "<html><body>Login</body></html>"),
    );
    let gateway = at(&upstream.url("/v1")).await;
    let answer = gateway.client().chat_stream("m").await.finish().await;
    upstream_failed("HTML for a stream", &answer);
}

#[tokio::test]
async fn line_ends_of_any_kind_frame_events() {
    let upstream = Upstream::start().await;
    let gateway = at(&upstream.url("/v1")).await;
    let text = format!("{}{}{}{DONE}", role(), content("Grüße 😀"), finish());
    for (what, bytes) in [
        ("CRLF", text.replace('\n', "\r\n")),
        ("CR", text.replace('\n', "\r")),
        ("mixed", text.replacen('\n', "\r\n", 3)),
        ("a byte order mark", format!("\u{feff}{text}")),
        ("comments and blank lines", format!(": hi\n\n\n\n{text}")),
        ("no space after the colon", text.replace("data: ", "data:")),
    ] {
        upstream.once(
            When::any(),
            Reply::stream().byte_by_byte(bytes.clone(), Duration::ZERO).end(),
        );
        let answer = gateway.client().chat_stream("m").await.finish().await.expect(200);
        let frames = sse::frames(answer.text().trim_start_matches('\u{feff}').as_bytes());
        assert_eq!(sse::chat_text(&frames), "Grüße 😀", "{what}: {}", answer.text());
        assert!(
            !answer.text().contains("\"error\""),
            "{what}: it is complete: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_stream_without_done_that_finished_is_complete() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::stream()
            .chunk(format!("{}{}", content("x"), finish()))
            .end(),
    );
    let gateway = at(&upstream.url("/v1")).await;
    let answer = gateway.client().chat_stream("m").await.finish().await.expect(200);
    assert!(!answer.text().contains("\"error\""), "{}", answer.text());
    assert_eq!(sse::chat_text(&answer.frames()), "x");
}

#[tokio::test]
async fn a_line_of_ten_megabytes_passes() {
    let upstream = Upstream::start().await;
    let text = "y".repeat(10 << 20);
    upstream.on(
        When::any(),
        Reply::stream()
            .chunk(format!("{}{}{DONE}", content(&text), finish()))
            .end(),
    );
    let gateway = at(&upstream.url("/v1")).await;
    let answer = gateway.client().chat_stream("m").await.finish().await.expect(200);
    assert_eq!(sse::chat_text(&answer.frames()).len(), text.len());
    upstream.behave();
    upstream.on(
        When::any(),
        Reply::json(200, json!({ "choices": [{ "message": { "content": text } }] })),
    );
    let answer = gateway.client().chat("m").await.expect(200);
    assert!(answer.body.len() > 10 << 20);
}

#[tokio::test]
async fn an_infinite_answer_is_bounded_by_time_and_memory() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .amend("Provider", "p", "/spec/timeouts", json!({ "total": "3s" }))
        .amend(
            "Provider",
            "p",
            "/spec/breaker",
            json!({ "consecutiveFailures": 1000 }),
        );
    let gateway = Gateway::start(fixture).await;
    let before = gateway.memory();
    for (what, chunk) in [
        ("frames", content(&"x".repeat(1000))),
        ("comments", ": hi\n\n".to_owned()),
        ("one line", "y".repeat(4000)),
    ] {
        upstream.behave();
        upstream.on(
            When::any(),
            Reply::stream().forever(chunk, Duration::from_micros(100)),
        );
        let started = Instant::now();
        let answer = gateway.client().chat_stream("m").await.finish_or_error().await;
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{what}: {:?}",
            started.elapsed()
        );
        if let Ok(answer) = answer {
            let text = answer.text();
            assert!(
                answer.status >= 500 || text.contains("\"error\""),
                "{what}: {} bytes",
                text.len()
            );
        }
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    upstream.behave();
    upstream.on(
        When::any(),
        Reply::raw(head).forever(" ".repeat(60_000), Duration::ZERO),
    );
    let answer = gateway.client().chat("m").await;
    assert!(answer.status >= 500, "an endless whole answer: {}", answer.status);
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 200 << 20, "{grown} bytes more than before");
}

#[tokio::test]
async fn a_stream_by_surprise_and_a_whole_answer_by_surprise_are_delivered_or_refused_never_mangled() {
    let upstream = Upstream::start().await;
    let gateway = at(&upstream.url("/v1")).await;
    upstream.once(
        When::any(),
        Reply::json(200, json!({ "object": "chat.completion", "choices": [] })),
    );
    let answer = gateway.client().chat_stream("m").await.finish().await;
    match answer.status {
        200 => {
            assert!(
                answer.header("content-type").starts_with("application/json"),
                "{:?}",
                answer.headers
            );
            assert_eq!(answer.json()["object"], "chat.completion");
        }
        _ => upstream_failed("JSON for a stream", &answer),
    }
}

#[tokio::test]
async fn errors_that_are_no_json_still_become_the_dialects() {
    let upstream = Upstream::start().await;
    for (status, reply) in [
        (
            502,
            Reply::status(502).body("text/html", "<html>Bad gateway</html>"),
        ),
        (503, Reply::status(503).body("text/plain", "")),
        (400, Reply::status(400).body("text/plain", "bad")),
        (404, Reply::json(404, json!({ "detail": "Not Found" }))),
        (
            422,
            Reply::json(422, json!({ "detail": [{ "msg": "field required" }] })),
        ),
        (400, Reply::json(400, json!({ "error": "just text" }))),
        (413, Reply::status(413).body("text/html", "<html>nginx</html>")),
    ] {
        let gateway = at(&upstream.url("/v1")).await;
        upstream.behave();
        upstream.on(When::any(), reply.clone());
        let answer = gateway.client().chat("m").await;
        answer.openai_error(answer.status);
        assert_eq!(answer.status / 100, status / 100, "{reply:?}: {}", answer.text());
        assert!(!answer.text().contains("<html>"), "{}", answer.text());
    }
}
