//! A gateway whose operator cannot be reached. What operators say is tested with the gateway's library.

use std::time::Duration;

use harness::{Gateway, free_port};
use serde_json::Value;

async fn without_operator() -> Gateway {
    let url = format!("https://127.0.0.1:{}", free_port());
    Gateway::bare().operator(&url).without_waiting().start().await
}

#[tokio::test]
async fn it_waits_and_says_what_for() {
    let gateway = without_operator().await;
    let answer = gateway.admin().get("/readyz").await.expect(503);
    assert!(answer.text().contains("NoSnapshot"), "{}", answer.text());
    let since = answer.json()["degraded"]["discovery"].clone();
    assert!(
        since
            .as_str()
            .is_some_and(|since| since.starts_with("disconnected since ")),
        "{since}"
    );
    gateway.admin().get("/healthz").await.expect(200);
    gateway
        .metrics()
        .await
        .expect("roundhouse_discovery_connected", &[], 0.0);
    let error = gateway.client().chat("m").await.openai_error(503);
    assert_eq!(
        error["code"], "not_configured_yet",
        "a key is not wrong because nobody knows it yet"
    );
    gateway.logged("not connected to an operator").await;
    let lines = || gateway.log().matches("not connected to an operator").count();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lines(), 1, "the same again is no news");
}

#[tokio::test]
async fn it_keeps_no_state_of_its_own() {
    let mut gateway = without_operator().await;
    assert!(!gateway.state().exists(), "no key was made");
    assert_eq!(gateway.output(), "");
    gateway.terminate();
    let status = gateway.exit(Duration::from_secs(15)).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn routes_of_administrators_are_not_there() {
    let gateway = without_operator().await;
    let code = |error: Value| error["code"].as_str().unwrap_or_default().to_owned();
    for path in ["/v1/quota", "/api/stats", "/auth/keys", "/p/v1/credentials"] {
        let error = gateway.client().get(path).await.openai_error(404);
        assert_eq!(code(error), "unknown_route", "{path}");
        let error = gateway
            .client()
            .request("PUT", path)
            .send()
            .await
            .openai_error(404);
        assert_eq!(code(error), "unknown_route", "{path}");
    }
}
