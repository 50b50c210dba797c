//! Twelve gateways, of which one is cut off.

use harness::{Reply, When, credential_key};

use crate::trial::{PATIENCE, pool_of_two};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_is_counted_until_it_is_back() {
    let mut system = pool_of_two("partition", 11).await;
    let apart = system.add_gateway_apart().await;
    let shown = |summary: &str| {
        let credentials = system.kubectl(&["get", "credentials"]);
        let row = credentials.lines().find(|row| row.starts_with("a "));
        let row = row.unwrap_or_default();
        let is_shown = row.split_whitespace().any(|cell| cell == summary);
        assert!(is_shown, "{summary} is not shown: {credentials}");
    };
    let summary = async |summary: &str, version: Option<&str>| {
        system
            .until("credentials/a", summary, |credential| {
                let observed = &credential["status"]["observedSecret"]["resourceVersion"];
                credential["status"]["distribution"]["summary"] == summary
                    && version.is_none_or(|version| observed == version)
            })
            .await
    };
    summary("12/12", None).await;
    shown("12/12");

    system.part();
    let version = system.rotate("a", &credential_key("a2"));
    let (credential, _) = summary("11/12", Some(&version)).await;
    assert_eq!(cluster::said(&credential, "Programmed"), "False/Distributing");
    shown("11/12");
    // The one that is cut off serves on with what it has.
    system
        .upstream()
        .on(When::credential("b"), Reply::rate_limited("1"));
    system.gateway(apart).client().chat("m").await.expect(200);
    assert_eq!(system.upstream().last().credential(), "a");
    system.gateway(0).client().chat("m").await.expect(200);
    assert_eq!(system.upstream().last().credential(), "a2");

    system.unite();
    let (_, took) = summary("12/12", Some(&version)).await;
    println!("12/12 {took:?} after the partition");
    assert!(took < PATIENCE);
    system.wait_for_secret("a", &version);
    shown("12/12");
    system.gateway(apart).client().chat("m").await.expect(200);
    assert_eq!(system.upstream().last().credential(), "a2");
}
