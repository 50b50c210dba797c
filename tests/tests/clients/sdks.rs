//! The SDKs of `OpenAI` (Python, Node.js) and Anthropic (Python).

use harness::{CLIENT_KEY, Fixture, Gateway, Reply, Upstream, When, credential_key};
use serde_json::json;

use crate::script::{Language, run, run_through};

/// An upstream with the faults that the scripts ask for by the `user` that they send.
async fn upstream() -> Upstream {
    let upstream = Upstream::start().await;
    for once in ["once-python", "once-node"] {
        upstream.once(When::any().body(once), Reply::rate_limited("1"));
    }
    let slow_down = || {
        Reply::json(
            429,
            json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "Slow down." } }),
        )
    };
    upstream.once(
        When::any().body("once-anthropic"),
        slow_down().header("retry-after", "1"),
    );
    upstream.on(
        When::any().path("/messages").body("all-day"),
        slow_down().header("retry-after", "60"),
    );
    upstream.on(When::any().body("all-day"), Reply::rate_limited("60"));
    upstream.on(
        When::any().path("/messages").body("bad-value"),
        Reply::json(
            400,
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "user is not right" } }),
        ),
    );
    upstream.on(
        When::any().body("bad-value"),
        Reply::json(
            400,
            json!({ "error": { "message": "user is not right", "type": "invalid_request_error", "param": "user", "code": "invalid_value" } }),
        ),
    );
    let start = json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-m", "content": [], "usage": { "input_tokens": 3, "output_tokens": 1 } } });
    let block =
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    let delta = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Hel" } });
    upstream.on(
        When::any().path("/messages").body("\"cut\""),
        Reply::stream()
            .chunk(format!("event: message_start\ndata: {start}\n\n"))
            .chunk(format!("event: content_block_start\ndata: {block}\n\n"))
            .chunk(format!("event: content_block_delta\ndata: {delta}\n\n"))
            .cut(),
    );
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "Hel" }, "finish_reason": null }] });
    upstream.on(
        When::any().body("\"cut\""),
        Reply::stream().chunk(format!("data: {chunk}\n\n")).cut(),
    );
    upstream.on(
        When::any().body("\"broken\""),
        Reply::error(500, "server_error", "oops", "The server had an error."),
    );
    // One call of the gateway's is tried at most three times, so the SDK has to call at least twice.
    for user in ["fails-python", "fails-node", "fails-anthropic"] {
        upstream.times(
            3,
            When::any().body(user),
            Reply::error(500, "server_error", "oops", "The server had an error."),
        );
    }
    upstream
}

/// Faults that rest a credential or open a breaker have a Provider of their own.
async fn gateway(upstream: &Upstream) -> Gateway {
    let mut fixture = Fixture::pool(upstream, ["a", "b"]).amend(
        "Provider",
        "p",
        "/spec/models",
        json!([{ "name": "m" }, { "name": "vendor/model" }]),
    );
    for model in ["limited", "recovering", "failing", "broken"] {
        fixture = fixture
            .provider(model, &upstream.url("/v1"), &[model])
            .credential(model, model);
    }
    for model in [
        "claude-m",
        "claude-limited",
        "claude-recovering",
        "claude-failing",
    ] {
        fixture = fixture
            .provider(model, &upstream.url(""), &[model])
            .spec("dialect", json!("Anthropic"))
            .credential(model, model);
    }
    Gateway::start(fixture).await
}

#[tokio::test]
async fn openais_sdk_for_python_works() {
    let upstream = upstream().await;
    let gateway = gateway(&upstream).await;
    run_through(&gateway, Language::Python, "openai_suite.py").await;
}

#[tokio::test]
async fn openais_sdk_for_node_works() {
    let upstream = upstream().await;
    let gateway = gateway(&upstream).await;
    run_through(&gateway, Language::Node, "openai_suite.mjs").await;
}

#[tokio::test]
async fn anthropics_sdk_for_python_works() {
    let upstream = upstream().await;
    let gateway = gateway(&upstream).await;
    run_through(&gateway, Language::Python, "anthropic_suite.py").await;
}

/// When this fails, the scripts or the upstream are wrong and not the gateway.
#[tokio::test]
async fn the_scripts_and_the_scripted_upstream_agree_without_a_gateway() {
    let upstream = upstream().await;
    let (url, key) = (upstream.url(""), credential_key("a"));
    let chat = [
        "chat",
        "tools",
        "embeddings",
        "responses",
        "error_in_a_stream",
        "own_retries",
    ];
    let python = [
        &chat[..4],
        &[
            "stream_with_usage",
            "streamed_tools",
            "async_stream",
            "completions",
            "audio",
            "files",
        ],
    ]
    .concat();
    let python = [
        &python[..],
        &["streamed_responses", "streamed_response_tools", "own_retries"],
    ]
    .concat();
    run(Language::Python, "openai_suite.py", &url, &key, &python).await;
    let node = [&chat[..4], &["stream_with_usage", "own_retries"]].concat();
    run(Language::Node, "openai_suite.mjs", &url, &key, &node).await;
    let anthropic = ["messages", "stream", "tools", "count_tokens", "own_retries"];
    run(Language::Python, "anthropic_suite.py", &url, &key, &anthropic).await;
    assert_ne!(key, CLIENT_KEY);
}
