//! npm's `@copilotkit/aimock` as the upstream: nobody here wrote it, so it disagrees where we only agree with ourselves.

use std::{process::Stdio, time::Duration};

use harness::{CLIENT_KEY, Client, Fixture, Gateway, eventually, repository};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::script::{Language, node_tools, run, run_through};

struct Aimock {
    url: String,
    client: Client,
    // Ends the process when dropped.
    _process: Child,
}

impl Aimock {
    async fn start() -> Self {
        // It takes no port 0, so the port is one that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let process = Command::new("node")
            .arg(node_tools().join("node_modules/@copilotkit/aimock/dist/cli.js"))
            .args(["--host", "127.0.0.1", "--log-level", "warn", "--port"])
            .arg(address.port().to_string())
            .arg("--fixtures")
            .arg(repository().join("tests/clients/node/aimock.json"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let client = Client::new(address);
        eventually("aimock answers", Duration::from_secs(30), || async {
            client.request("GET", "/v1/models").attempt().await.ok()
        })
        .await;
        Self {
            url: format!("http://{address}"),
            client,
            _process: process,
        }
    }
}

#[tokio::test]
async fn an_upstream_from_elsewhere_is_served_through_the_gateway() {
    let aimock = Aimock::start().await;
    let fixture = Fixture::new()
        .provider("p", &format!("{}/v1", aimock.url), &["m"])
        .credential("p", "a")
        .credential("p", "b")
        .provider("claude", &aimock.url, &["claude-m"])
        .spec("dialect", json!("Anthropic"))
        .credential("claude", "c")
        .client("app", CLIENT_KEY);
    let gateway = Gateway::start(fixture).await;
    run_through(&gateway, Language::Python, "aimock_suite.py").await;
    let journal = aimock.client.get("/__aimock/journal").await.expect(200).text();
    assert!(journal.contains("/v1/chat/completions") && journal.contains("/v1/messages"));
    assert!(!journal.contains(CLIENT_KEY), "the client's key went upstream");
    let metrics = gateway
        .metrics_when("tokens of chats", |metrics| {
            metrics.sum(
                "roundhouse_tokens_total",
                &[("provider", "p"), ("type", "output")],
            ) > 0.0
        })
        .await;
    assert!(metrics.has("roundhouse_requests_total", &[("provider", "claude")]));
}

/// When this fails, the script is wrong and not the gateway.
#[tokio::test]
async fn the_script_and_aimock_agree_without_a_gateway() {
    let aimock = Aimock::start().await;
    run(Language::Python, "aimock_suite.py", &aimock.url, "any-key", &[]).await;
}
