//! The operations, one call each, unary and streamed.

use harness::{CLIENT_KEY, Fixture, Gateway, Reply, Upstream, When, credential_key};
use serde_json::{Value, json};

/// What the upstream says reaches the client byte for byte.
#[tokio::test]
async fn answers_come_through_byte_for_byte() {
    let upstream = Upstream::start().await;
    let odd = "{ \"id\" :\"x\",\n \"choices\":[ ] , \"n\":1.50, \"big\":123456789012345678901234567890, \"e\":\"\\u00e9\" }";
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for (path, body) in [
        ("/v1/chat/completions", json!({ "model": "m", "messages": [] })),
        ("/v1/completions", json!({ "model": "m", "prompt": "x" })),
        (
            "/v1/embeddings",
            json!({ "model": "m", "input": ["x", "y"], "encoding_format": "base64" }),
        ),
        ("/v1/responses", json!({ "model": "m", "input": "x" })),
        (
            "/v1/responses/input_tokens",
            json!({ "model": "m", "input": "x" }),
        ),
        ("/v1/responses/compact", json!({ "model": "m", "input": "x" })),
        ("/v1/moderations", json!({ "model": "m", "input": "x" })),
        (
            "/v1/rerank",
            json!({ "model": "m", "query": "x", "documents": [] }),
        ),
    ] {
        upstream.once(When::any(), Reply::status(200).body("application/json", odd));
        let answer = gateway.client().post(path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.text(), odd, "{path}");
        let seen = upstream.last();
        assert_eq!(seen.path, path);
        assert_eq!(seen.json(), body, "{path}");
        assert_eq!(
            seen.header("authorization"),
            format!("Bearer {}", credential_key("a"))
        );
    }
}

#[tokio::test]
async fn embeddings_keep_their_encoding() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for (format, expected) in [("float", json!([0.5, -1.0])), ("base64", json!("AAAAPwAAgL8="))] {
        let body = json!({ "model": "m", "input": ["x", "y"], "encoding_format": format });
        let answer = gateway
            .client()
            .post("/v1/embeddings", &body)
            .await
            .expect(200)
            .json();
        assert_eq!(answer["data"].as_array().unwrap().len(), 2);
        assert_eq!(answer["data"][1]["embedding"], expected);
    }
}

#[tokio::test]
async fn completions_take_every_kind_of_prompt() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for prompt in [json!("x"), json!(["x", "y"]), json!([1, 2]), json!([[1], [2]])] {
        let body = json!({ "model": "m", "prompt": prompt });
        gateway.client().post("/v1/completions", &body).await.expect(200);
        assert_eq!(upstream.last().json()["prompt"], prompt);
    }
    let body = json!({ "model": "m", "prompt": "x", "stream": true });
    let frames = gateway.client().post("/v1/completions", &body).await.frames();
    assert_eq!(frames.last().unwrap().data, "[DONE]");
    assert_eq!(frames[0].json()["choices"][0]["text"], "Hello ");
}

#[tokio::test]
async fn responses_are_streamed_with_their_events() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let body = json!({ "model": "m", "input": "x", "stream": true });
    let frames = gateway.client().post("/v1/responses", &body).await.frames();
    assert_eq!(frames[0].event.as_deref(), Some("response.created"));
    let last = frames.last().unwrap();
    assert_eq!(last.event.as_deref(), Some("response.completed"));
    assert_eq!(last.json()["response"]["usage"]["input_tokens"], 11);
    assert!(
        upstream.last().json().get("stream_options").is_none(),
        "usage comes unasked here: {}",
        upstream.last().json()
    );
}

#[tokio::test]
async fn a_websocket_is_declined_so_that_clients_fall_back_at_once() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let answer = gateway
        .client()
        .request("GET", "/v1/responses")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .send()
        .await;
    assert_eq!(answer.status, 426, "{}", answer.text());
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_provider_serves_only_the_formats_that_it_has() {
    let upstream = Upstream::start().await;
    let fixture =
        Fixture::pool(&upstream, ["a"]).amend("Provider", "p", "/spec/apis", json!(["ChatCompletions"]));
    let gateway = Gateway::start(fixture).await;
    gateway.client().chat("m").await.expect(200);
    for (path, body) in [
        ("/v1/responses", json!({ "model": "m", "input": "x" })),
        ("/v1/embeddings", json!({ "model": "m", "input": "x" })),
    ] {
        let answer = gateway.client().post(path, &body).await;
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}: {}",
            answer.status,
            answer.text()
        );
        answer.openai_error(answer.status);
    }
    let body = json!({ "model": "m", "max_tokens": 1, "messages": [] });
    let answer = gateway.client().post("/v1/messages", &body).await;
    assert!(
        (400..500).contains(&answer.status),
        "{}: {}",
        answer.status,
        answer.text()
    );
    assert_eq!(answer.json()["type"], "error", "in the dialect of the route");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn messages_go_to_anthropic_with_its_headers() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::anthropic(&upstream, ["a", "b"])).await;
    let client = gateway
        .anonymous()
        .with("x-api-key", CLIENT_KEY)
        .with("anthropic-version", "2023-06-01")
        .with("anthropic-beta", "one-2025-01-01,two-2025-01-01");
    let body =
        json!({ "model": "claude-m", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] });
    let answer = client.post("/v1/messages?beta=true", &body).await.expect(200);
    assert_eq!(answer.json()["content"][0]["text"], "Hello there.");
    assert!(!answer.header("request-id").is_empty());
    let seen = upstream.last();
    assert_eq!(seen.path, "/v1/messages?beta=true");
    assert_eq!(seen.header("anthropic-version"), "2023-06-01");
    assert_eq!(seen.header("anthropic-beta"), "one-2025-01-01,two-2025-01-01");
    assert!(!seen.credential().is_empty(), "{:?}", seen.headers);

    let count = client.post("/v1/messages/count_tokens", &body).await.expect(200);
    assert_eq!(count.json(), json!({ "input_tokens": 11 }));
    assert_eq!(upstream.last().path, "/v1/messages/count_tokens");

    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let frames = client.post("/v1/messages", &streamed).await.frames();
    let names: Vec<_> = frames.iter().filter_map(|frame| frame.event.clone()).collect();
    assert_eq!(names.first().map(String::as_str), Some("message_start"));
    assert_eq!(names.last().map(String::as_str), Some("message_stop"));
    upstream.expect_counts(&[("a", 2), ("b", 1)]);
}

#[tokio::test]
async fn anthropics_version_has_a_default() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::anthropic(&upstream, ["a"])).await;
    let body = json!({ "model": "claude-m", "max_tokens": 9, "messages": [] });
    gateway.client().post("/v1/messages", &body).await.expect(200);
    assert_eq!(upstream.last().header("anthropic-version"), "2023-06-01");
}

#[tokio::test]
async fn anthropics_faults_are_told_apart_like_openais() {
    let upstream = Upstream::start().await;
    let error = |status: u16, kind: &str, message: &str| {
        Reply::json(
            status,
            json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_upstream" }),
        )
    };
    let gateway = Gateway::start(Fixture::anthropic(&upstream, ["a", "b"])).await;
    let body = json!({ "model": "claude-m", "max_tokens": 9, "messages": [] });
    let call = || async { gateway.client().post("/v1/messages", &body).await };

    upstream.once(
        When::any(),
        error(
            400,
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
        ),
    );
    let message = call().await.anthropic_error(400, "invalid_request_error");
    assert_eq!(
        message, "prompt is too long: 9 tokens > 8 maximum",
        "its own words, since clients read them"
    );
    assert_eq!(upstream.count(), 1);

    upstream.on(When::any(), error(529, "overloaded_error", "Overloaded"));
    let answer = call().await;
    assert!(
        matches!(answer.status, 502 | 503 | 529),
        "{}: {}",
        answer.status,
        answer.text()
    );
    assert_eq!(answer.json()["type"], "error", "{}", answer.text());
    upstream.behave();

    upstream.on(
        When::credential("a"),
        error(429, "rate_limit_error", "slow down").header("retry-after", "60"),
    );
    for _ in 0..3 {
        call().await.expect(200);
    }
    upstream.on(
        When::credential("b"),
        error(401, "authentication_error", "invalid x-api-key"),
    );
    let answer = call().await;
    assert!(
        matches!(answer.status, 429 | 503 | 529),
        "{}: {}",
        answer.status,
        answer.text()
    );
    answer.retry_after();
    let body: Value = answer.json();
    assert_eq!(body["type"], "error");
    assert_ne!(body["error"]["type"], "authentication_error");
    assert_ne!(body["request_id"], "req_upstream", "the id is ours");
}
