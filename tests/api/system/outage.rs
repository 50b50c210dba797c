//! What gateways serve while operators or the API server are away.

use std::time::Instant;

use cluster::System;
use harness::{Load, credential_key, eventually};

use crate::trial::{
    PATIENCE, expect_whole_snapshots, outage, pool_of_two, until_operators_are_back, until_used,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_that_end_are_not_missed_by_callers() {
    let mut system = pool_of_two("operators-gone", 3).await;
    // The third gateway is to end meanwhile.
    let load = Load::start(system.clients()[..2].to_vec(), 100);
    load.until_more(50).await;

    // The one that leads. The other tells of changes all the same.
    system.kill_operator(0);
    let changed = Instant::now();
    system.rotate("a", &credential_key("a2"));
    until_used(&system, "a2", changed).await;
    println!(
        "one operator is enough: the new key was used after {:?}",
        changed.elapsed()
    );
    system.start_operator(0).await;
    system.operator(0).until_ready().await;

    for operator in 0..2 {
        system.kill_operator(operator);
    }
    let version = system.rotate("a", &credential_key("a3"));
    tokio::time::sleep(outage() / 2).await;
    system.kill_gateway(2);
    system.start_gateway(2).await;
    let readiness = system.gateway(2).readiness().await;
    assert!(readiness.contains("snapshot stale since"), "{readiness}");
    system.gateway(2).client().chat("m").await.expect(200);
    tokio::time::sleep(outage() / 2).await;
    let readiness = system.gateway(0).readiness().await;
    assert!(readiness.contains("discovery disconnected since"), "{readiness}");
    let seen = system.upstream().seen();
    assert!(
        seen.iter().all(|seen| seen.credential() != "a3"),
        "nobody has told of it"
    );

    let back = Instant::now();
    for operator in 0..2 {
        system.start_operator(operator).await;
    }
    until_used(&system, "a3", back).await;
    println!("both are back: the new key was used after {:?}", back.elapsed());
    system.wait_for_secret("a", &version);
    for gateway in system.gateways() {
        eventually("the gateway says that all is well", PATIENCE, || async {
            let readiness = gateway.readiness().await;
            (!readiness.contains("stale") && !readiness.contains("disconnected")).then_some(())
        })
        .await;
    }
    load.until_more(50).await;
    load.stop().await.expect_all_served("operators were gone");
    expect_whole_snapshots(&system);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_away_is_not_missed_by_callers() {
    let mut system = pool_of_two("api-server-gone", 2).await;
    let load = Load::start(system.clients(), 100);
    load.until_more(50).await;

    // Nobody listens, and an operator is started meanwhile: it knows nothing and says nothing.
    for operator in 0..2 {
        system.way_to_api_server(operator).close();
    }
    system.kill_operator(1);
    system.start_operator(1).await;
    tokio::time::sleep(outage()).await;
    let (status, text) = system.operator(1).readiness().await;
    assert_eq!(status, 503, "{text}");
    assert_eq!(system.operator(1).snapshot().await, "None\n");
    load.until_more(50).await;
    let version = system.rotate("a", &credential_key("a2"));
    for operator in 0..2 {
        system.way_to_api_server(operator).open();
    }
    // A leader that could not renew has ended.
    until_operators_are_back(&mut system).await;
    system.wait_for_secret("a", &version);

    // A black hole: connections stand, and nothing comes.
    for operator in 0..2 {
        system.way_to_api_server(operator).swallow();
    }
    let version = system.rotate("a", &credential_key("a3"));
    tokio::time::sleep(outage()).await;
    let seen = system.upstream().seen();
    assert!(
        seen.iter().all(|seen| seen.credential() != "a3"),
        "nobody has told of it"
    );
    for operator in 0..2 {
        system.way_to_api_server(operator).open();
    }
    let back = Instant::now();
    until_used(&system, "a3", back).await;
    println!("the new key was used {:?} after the black hole", back.elapsed());
    until_operators_are_back(&mut system).await;
    system.wait_for_secret("a", &version);
    load.stop().await.expect_all_served("the API server was away");
    expect_whole_snapshots(&system);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_sees_only_a_part_tells_nothing() {
    let mut system = pool_of_two("part-seen", 2).await;
    let load = Load::start(system.clients(), 50);
    load.until_more(50).await;
    for operator in 0..2 {
        system.kill_operator(operator);
    }
    may_with_secrets(&system, r#"["get"]"#);
    system.start_operator(1).await;
    let (status, text) = eventually("it says what it lacks", PATIENCE, || async {
        let told = system.operator(1).readiness().await;
        told.1.contains("refuses Secrets").then_some(told)
    })
    .await;
    assert_eq!(status, 503, "{text}");
    system.operator(1).logged("a gateway is connected").await;
    load.until_more(50).await;
    assert_eq!(system.operator(1).snapshot().await, "None\n");

    may_with_secrets(&system, r#"["get", "list", "watch"]"#);
    system.operator(1).until_ready().await;
    let version = system.rotate("a", &credential_key("a2"));
    system.wait_for_secret("a", &version);
    load.stop().await.expect_all_served("an operator saw a part");
    expect_whole_snapshots(&system);
}

/// What operators may do with the Secrets and `ConfigMap`s of the namespace.
fn may_with_secrets(system: &System, verbs: &str) {
    let role = format!("roundhouse:{}:roundhouse", system.namespace());
    let patch = format!(r#"[{{"op":"replace","path":"/rules/2/verbs","value":{verbs}}}]"#);
    system.kubectl(&["patch", "role", &role, "--type=json", "--patch", &patch]);
}
