//! The first start, without any key.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use harness::{Fixture, Gateway, Upstream};

fn without_a_key(upstream: &Upstream) -> Fixture {
    Fixture::new()
        .provider("p", &upstream.url("/v1"), &["m"])
        .credential("p", "a")
}

fn printed(gateway: &Gateway) -> String {
    format!("{}{}", gateway.output(), gateway.log())
}

#[tokio::test]
async fn a_key_is_made_printed_once_and_kept() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(without_a_key(&upstream)).await;
    let file = gateway.state().join("client-key");
    let key = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(
        key.len() >= 40,
        "256 bits take at least 40 characters, this has {}",
        key.len()
    );
    assert!(printed(&gateway).contains(&key), "printed on the first start");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::metadata(gateway.state()).unwrap().permissions().mode() & 0o777,
        0o700
    );
    gateway.client_with(&key).chat("m").await.expect(200);
    gateway.anonymous().chat("m").await.openai_error(401);
    gateway.terminate();
    gateway.exit(Duration::from_secs(10)).await;

    let folder = gateway.folder();
    let again = Gateway::bare().in_folder_of(folder).start().await;
    again.client_with(&key).chat("m").await.expect(200);
    assert!(
        !printed(&again).contains(&key),
        "not printed again: {}",
        printed(&again)
    );
    assert!(
        printed(&again).contains("client-key"),
        "but its path is: {}",
        printed(&again)
    );
}

#[tokio::test]
async fn with_a_client_key_none_is_made() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    assert!(!gateway.state().join("client-key").exists());
}

#[tokio::test]
async fn an_upstream_that_takes_no_key_needs_no_credential() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new()
        .provider("local", &upstream.url("/v1"), &["m"])
        .spec("auth", serde_json::json!({ "type": "None" }))
        .client("app", harness::CLIENT_KEY);
    let gateway = Gateway::start(fixture).await;
    gateway.client().chat("m").await.expect(200);
    assert_eq!(upstream.last().header("authorization"), "");
}
