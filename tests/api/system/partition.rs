//! Twelve gateways, of which one is cut off, one leaves and one is killed.

use std::time::Duration;

use cluster::{System, said};
use harness::{Reply, When, credential_key};
use serde_json::Value;

use crate::trial::pool_of_two;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_is_counted_until_it_is_back() {
    let mut system = pool_of_two("partition", 11).await;
    let apart = system.add_gateway_apart().await;
    until_summary(&system, "12/12", None).await;
    expect_shown(&system, "12/12");

    system.part();
    let version = system.rotate("a", &credential_key("a2"));
    let credential = until_summary(&system, "11/12", Some(&version)).await;
    assert_eq!(said(&credential, "Programmed"), "False/Distributing");
    expect_shown(&system, "11/12");
    // The one that is cut off serves on with what it has.
    system
        .upstream()
        .on(When::credential("b"), Reply::rate_limited("1"));
    for (gateway, key) in [(apart, "a"), (0, "a2")] {
        system.gateway(gateway).client().chat("m").await.expect(200);
        assert_eq!(system.upstream().last().credential(), key);
    }
    // Operators see it go, without a goodbye: it may serve on.
    system.cut();
    tokio::time::sleep(Duration::from_secs(2)).await;
    until_summary(&system, "11/12", Some(&version)).await;

    system.unite();
    until_summary(&system, "12/12", Some(&version)).await;
    system.wait_for_secret("a", &version);
    expect_shown(&system, "12/12");
    system.gateway(apart).client().chat("m").await.expect(200);
    assert_eq!(system.upstream().last().credential(), "a2");

    // One says goodbye and is not waited for. One is killed: nobody knows what it does.
    system.terminate_gateway(0).await;
    until_summary(&system, "11/11", Some(&version)).await;
    system.kill_gateway(1);
    let version = system.rotate("a", &credential_key("a3"));
    until_summary(&system, "10/11", Some(&version)).await;
    expect_shown(&system, "10/11");
    system.start_gateway(1).await;
    until_summary(&system, "11/11", Some(&version)).await;
}

/// Waits until so many gateways have this version of the Secret of `a`.
async fn until_summary(system: &System, summary: &str, version: Option<&str>) -> Value {
    let is_told = |credential: &Value| {
        let status = &credential["status"];
        status["distribution"]["summary"] == summary
            && version.is_none_or(|version| status["observedSecret"]["resourceVersion"] == version)
    };
    let (credential, took) = system.until("credentials/a", summary, is_told).await;
    println!("{summary} after {took:?}");
    credential
}

/// Asserts that people see it.
fn expect_shown(system: &System, summary: &str) {
    let credentials = system.kubectl(&["get", "credentials"]);
    let row = credentials.lines().find(|row| row.starts_with("a "));
    let mut cells = row.unwrap_or_default().split_whitespace();
    assert!(
        cells.any(|cell| cell == summary),
        "{summary} is not shown: {credentials}"
    );
}
