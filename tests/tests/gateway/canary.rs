//! Secrets and words never appear where operators look.

use harness::{CLIENT_KEY, Fixture, Gateway, Reply, Upstream, When, credential_key};
use serde_json::json;

use crate::frames::{DONE, content, finish};

const PROMPT: &str = "canary-prompt-7c1f";
const COMPLETION: &str = "canary-completion-93ab";
const HEADER: &str = "canary-header-value-55d0";

#[tokio::test]
async fn keys_prompts_and_completions_are_neither_logged_nor_exported() {
    let upstream = Upstream::start().await;
    upstream.on_each(When::any(), |seen| {
        if seen.json()["stream"] == true {
            Reply::stream()
                .chunk(content(COMPLETION))
                .chunk(format!("{}{DONE}", finish()))
                .end()
        } else if seen.path.contains("embeddings") {
            Reply::error(
                400,
                "invalid_request_error",
                "invalid_value",
                &format!("{COMPLETION} {}", credential_key("a")),
            )
        } else if seen.path.contains("responses") {
            Reply::status(200).body("application/json", format!("{{\"broken\":\"{COMPLETION}"))
        } else if seen.path.contains("moderations") {
            Reply::error(
                500,
                "server_error",
                "oops",
                &format!("{COMPLETION} {}", credential_key("a")),
            )
        } else {
            Reply::json(
                200,
                json!({ "choices": [{ "message": { "role": "assistant", "content": COMPLETION } }] }),
            )
        }
    });
    let fixture = Fixture::pool(&upstream, ["a"])
        .secret("extra", &[("value", HEADER)])
        .amend(
            "Provider",
            "p",
            "/spec/headers",
            json!([{ "name": "x-secret", "valueFrom": { "secretKeyRef": { "name": "extra", "key": "value" } } }]),
        );
    let mut gateway = Gateway::with(fixture)
        .arguments(&["--log-level", "trace"])
        .start()
        .await;
    let messages = json!([{ "role": "user", "content": PROMPT }]);
    for body in [
        json!({ "model": "m", "messages": messages }),
        json!({ "model": "m", "messages": messages, "stream": true }),
        json!({ "model": PROMPT, "messages": messages }),
    ] {
        gateway.client().post("/v1/chat/completions", &body).await;
    }
    for path in ["/v1/embeddings", "/v1/responses", "/v1/moderations"] {
        gateway
            .client()
            .post(path, &json!({ "model": "m", "input": PROMPT }))
            .await;
    }
    gateway
        .client()
        .request("POST", "/v1/chat/completions")
        .body(format!("{{\"model\":\"m\",\"messages\":\"{PROMPT}"))
        .send()
        .await
        .expect(400);
    gateway
        .anonymous()
        .get(&format!("/v1/models?key={CLIENT_KEY}"))
        .await
        .expect(200);
    gateway
        .client_with("wrong-client-key-canary-0123")
        .chat("m")
        .await
        .expect(401);

    let metrics = gateway.metrics().await.text().to_owned();
    let snapshot = gateway.admin().get("/debug/snapshot").await.expect(200).text();
    let ready = gateway.admin().get("/readyz").await.text();
    gateway.terminate();
    gateway.exit(std::time::Duration::from_secs(10)).await;
    let log = gateway.log();
    assert!(log.len() > 1000, "the log says something at trace level: {log}");
    let key = credential_key("a");
    for (what, secret) in [
        ("the client's key", CLIENT_KEY),
        ("the credential's key", key.as_str()),
        ("a prompt", PROMPT),
        ("a completion", COMPLETION),
        ("a secret header", HEADER),
        ("a wrong key", "wrong-client-key-canary-0123"),
    ] {
        for (place, text) in [
            ("log", &log),
            ("metrics", &metrics),
            ("snapshot", &snapshot),
            ("readiness", &ready),
            ("standard output", &gateway.output()),
        ] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{what} is in the {place}: {line:?}");
        }
    }
}
