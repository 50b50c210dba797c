//! The file that `make run` serves.

use std::{fs, sync::Arc};

use harness::{Gateway, Upstream, repository};
use serde_json::json;
use tempfile::TempDir;

async fn start(variables: &[(&str, &str)]) -> Gateway {
    let folder = TempDir::new().unwrap();
    let resources = folder.path().join("resources");
    fs::create_dir(&resources).unwrap();
    fs::copy(
        repository().join("deploy/local/quickstart.yaml"),
        resources.join("quickstart.yaml"),
    )
    .unwrap();
    let mut launch = Gateway::bare().in_folder_of(Arc::new(folder));
    for (name, value) in variables {
        launch = launch.variable(name, value);
    }
    launch.start().await
}

fn key(gateway: &Gateway) -> String {
    let key = fs::read_to_string(gateway.state().join("client-key")).unwrap();
    key.trim().to_owned()
}

/// The end of what a start prints to a person.
async fn introduction(gateway: &Gateway) -> String {
    harness::eventually(
        "the request to try is printed",
        std::time::Duration::from_secs(5),
        || async { gateway.output().contains("-d '").then(|| gateway.output()) },
    )
    .await
}

#[tokio::test]
async fn without_any_key_it_starts_and_says_what_to_set_and_what_to_call() {
    let gateway = start(&[]).await;
    let text = introduction(&gateway).await;
    for expected in [
        "the variable OPENAI_API_KEY is not set",
        "the variable ANTHROPIC_API_KEY is not set",
        &format!("curl http://{}/v1/chat/completions", gateway.address()),
        "client-key)",
        r#""model": "gpt-4o-mini""#,
    ] {
        assert!(text.contains(expected), "{expected:?} is missing:\n{text}");
    }
    let client = gateway.client_with(&key(&gateway));
    client.chat("gpt-4o-mini").await.openai_error(503);
}

#[tokio::test]
async fn a_key_and_an_address_are_all_that_openai_needs() {
    let upstream = Upstream::start().await;
    let url = upstream.url("/v1");
    let gateway = start(&[("OPENAI_API_KEY", "none"), ("OPENAI_BASE_URL", &url)]).await;
    let text = introduction(&gateway).await;
    assert!(!text.contains("OPENAI_API_KEY"), "{text}");
    let client = gateway.client_with(&key(&gateway));
    for model in ["gpt-4o-mini", "any-other"] {
        client.chat(model).await.expect(200);
        assert_eq!(upstream.last().header("authorization"), "Bearer none");
    }
}

#[tokio::test]
async fn with_anthropics_key_alone_the_request_to_try_is_anthropics() {
    let upstream = Upstream::start().await;
    let gateway = start(&[
        ("ANTHROPIC_API_KEY", "sk-ant-a"),
        ("ANTHROPIC_BASE_URL", &upstream.url("")),
    ])
    .await;
    let text = introduction(&gateway).await;
    assert!(
        text.contains("/v1/messages") && text.contains(r#""max_tokens""#),
        "{text}"
    );
    let client = gateway.client_with(&key(&gateway));
    let body = json!({ "model": "claude-other", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hello" }] });
    client.post("/v1/messages", &body).await.expect(200);
    assert_eq!(upstream.last().header("x-api-key"), "sk-ant-a");
}

#[tokio::test]
async fn a_local_server_needs_no_key() {
    let upstream = Upstream::start().await;
    let gateway = start(&[("LOCAL_BASE_URL", &upstream.url("/v1"))]).await;
    let client = gateway.client_with(&key(&gateway));
    let body = json!({ "model": "llama3.2", "messages": [{ "role": "user", "content": "Hello" }] });
    client.post("/local/v1/chat/completions", &body).await.expect(200);
    assert_eq!(upstream.last().header("authorization"), "");
}
