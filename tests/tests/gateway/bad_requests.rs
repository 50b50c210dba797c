//! Bad input from clients that speak HTTP.

use std::time::{Duration, Instant};

use harness::{CLIENT_KEY, Fixture, Gateway, Upstream, raw};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn bodies_that_make_no_sense_are_refused_with_the_reason() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let deep = 1_000_000;
    let nested = format!(
        r#"{{"model":"m","messages":{}{}}}"#,
        "[".repeat(deep),
        "]".repeat(deep)
    );
    let open = format!(r#"{{"model":"m","messages":{}"#, "[".repeat(deep));
    let objects = r#"{"a":"#.repeat(deep);
    for (what, body) in [
        ("empty", Vec::new()),
        ("white space", b"  \n".to_vec()),
        ("not JSON", b"model=m".to_vec()),
        ("cut off", br#"{"model":"m","messages":[{"role":"#.to_vec()),
        ("an array", b"[]".to_vec()),
        ("a string", br#""m""#.to_vec()),
        ("null", b"null".to_vec()),
        ("two values", br#"{"model":"m"} {"model":"m"}"#.to_vec()),
        ("a trailing comma", br#"{"model":"m",}"#.to_vec()),
        (
            "two models",
            br#"{"model":"m","messages":[],"model":"n"}"#.to_vec(),
        ),
        (
            "two models, one escaped",
            br#"{"model":"m","\u006dodel":"n"}"#.to_vec(),
        ),
        ("no model", br#"{"messages":[]}"#.to_vec()),
        ("a model that is a number", br#"{"model":1}"#.to_vec()),
        (
            "a stream that is a string",
            br#"{"model":"m","stream":"yes"}"#.to_vec(),
        ),
        ("not UTF-8", b"{\"model\":\"m\xff\"}".to_vec()),
        ("nested a million deep", nested.into_bytes()),
        ("nested and never closed", open.into_bytes()),
        ("objects in objects", objects.into_bytes()),
    ] {
        let call = |path: &'static str| {
            gateway
                .client()
                .request("POST", path)
                .header("content-type", "application/json")
                .body(body.clone())
                .send()
        };
        let answer = call("/v1/chat/completions").await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        let error = answer.openai_error(400);
        assert_eq!(error["type"], "invalid_request_error", "{what}");
        assert!(
            answer.body.len() < 2000,
            "{what}: the answer does not repeat the body"
        );
        let answer = call("/v1/messages").await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        answer.anthropic_error(400, "invalid_request_error");
    }
    assert_eq!(upstream.count(), 0);
    gateway.client().chat("m").await.expect(200);
}

#[tokio::test]
async fn a_message_names_what_is_wrong() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for (body, words) in [
        (r#"{"model":"m","model":"m"}"#, vec!["model"]),
        (r#"{"messages":[]}"#, vec!["model"]),
        (r#"{"model":"m","stream":"yes"}"#, vec!["stream"]),
    ] {
        let answer = gateway
            .client()
            .request("POST", "/v1/chat/completions")
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        let error = answer.openai_error(400);
        for word in words {
            assert!(
                error["message"].as_str().unwrap().contains(word),
                "{body}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_and_without_a_length() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let before = gateway.memory();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT_KEY}\r\ncontent-type: application/json\r\n"
    );
    let announced = format!("{head}content-length: 104857600\r\n\r\n{{\"model\":\"m\",\"x\":\"");
    let answer = raw::exchange(gateway.address(), announced.as_bytes(), Duration::from_secs(10)).await;
    assert_eq!(
        answer.status(),
        413,
        "with a length, before the body: {}",
        answer.text
    );

    let mut stream = raw::connect(gateway.address()).await;
    stream
        .write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        let piece = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
        for _ in 0..100 {
            if writer.write_all(&piece).await.is_err() {
                break;
            }
        }
        let _ = writer.write_all(b"0\r\n\r\n").await;
    };
    let listening = async {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read) = tokio::io::AsyncReadExt::read(&mut reader, &mut buffer).await {
            text.extend_from_slice(&buffer[..read]);
            if read == 0 || text.windows(4).any(|window| window == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    let (text, ()) = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::join!(listening, sending)
    })
    .await
    .expect("an answer to 100 MB");
    assert!(text.starts_with("HTTP/1.1 413"), "without a length: {text}");
    assert_eq!(upstream.count(), 0);
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 120 << 20, "{grown} bytes more than before");
}

#[tokio::test]
async fn a_large_body_within_the_limit_is_served() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x".repeat(30 << 20) }] });
    gateway
        .client()
        .post("/v1/chat/completions", &body)
        .await
        .expect(200);
    assert_eq!(upstream.last().body.len(), body.to_string().len());
}

#[tokio::test]
async fn an_encoded_body_that_we_do_not_take_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for encoding in ["br", "zstd", "snappy", "gzip, br"] {
        let answer = gateway
            .client()
            .request("POST", "/v1/chat/completions")
            .header("content-encoding", encoding)
            .json(&json!({ "model": "m", "messages": [] }))
            .send()
            .await;
        assert_eq!(answer.status, 415, "{encoding}: {}", answer.text());
        answer.openai_error(415);
    }
    let identity = gateway
        .client()
        .request("POST", "/v1/chat/completions")
        .header("content-encoding", "identity")
        .json(&json!({ "model": "m", "messages": [] }))
        .send()
        .await;
    identity.expect(200);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_missing_content_type_is_forgiven() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let answer = gateway
        .client()
        .request("POST", "/v1/chat/completions")
        .body(r#"{"model":"m","messages":[]}"#)
        .send()
        .await;
    answer.expect(200);
}

#[tokio::test]
async fn many_bad_requests_leave_the_gateway_quick() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for _ in 0..100 {
        gateway
            .client()
            .request("POST", "/v1/chat/completions")
            .body("{")
            .send()
            .await
            .expect(400);
    }
    let started = Instant::now();
    gateway.client().chat("m").await.expect(200);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_model_name_without_bounds_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let body = json!({ "model": format!("p/{}", "x".repeat(1 << 20)), "messages": [] });
    gateway
        .client()
        .post("/v1/chat/completions", &body)
        .await
        .openai_error(400);
    assert_eq!(upstream.count(), 0, "nobody is asked for it");
}
