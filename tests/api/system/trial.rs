//! What several of these tests ask.

use std::{
    env,
    time::{Duration, Instant},
};

use cluster::System;
use harness::eventually;
use serde_json::Value;

/// What a busy machine may take for what is to take a second.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long everything may take in the end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long what fails is away: `ROUNDHOUSE_OUTAGE` seconds, or fifteen.
pub(crate) fn outage() -> Duration {
    let seconds = env::var("ROUNDHOUSE_OUTAGE").ok();
    let seconds = seconds.map(|text| text.parse().expect("ROUNDHOUSE_OUTAGE is whole seconds"));
    Duration::from_secs(seconds.unwrap_or(15))
}

/// A system with two operators and the Credentials `a` and `b`, which is there before any gateway begins: each gateway
/// is told of all of it or of nothing.
pub(crate) async fn pool_of_two(namespace: &str, gateways: usize) -> System {
    let mut system = System::start(namespace, "").await;
    system.add_operators(2).await;
    system.apply(&system.pool(["a", "b"]));
    for operator in 0..2 {
        for name in ["a", "b"] {
            let condition = format!("Credential {namespace}/{name} ResolvedRefs=True");
            system.operator(operator).says(&condition).await;
        }
        let condition = format!("ClientKey {namespace}/app ResolvedRefs=True");
        system.operator(operator).says(&condition).await;
    }
    system.add_gateways(gateways).await;
    for name in ["a", "b"] {
        system.wait_for(&format!("credential/{name}"), "Programmed");
    }
    system
}

/// Waits until the upstream saw the key of this name after `since`, once from each gateway or more.
pub(crate) async fn until_used(system: &System, key: &str, since: Instant) {
    eventually(&format!("the key {key} is used"), PATIENCE, || async {
        let seen = system.upstream().seen();
        let mut later = seen.iter().rev().take_while(|seen| seen.at > since);
        later.any(|seen| seen.credential() == key).then_some(())
    })
    .await;
}

/// When the upstream saw the key of this name last. Fails when it never did.
pub(crate) fn last_use(system: &System, key: &str) -> Instant {
    let seen = system.upstream().seen();
    let last = seen.iter().rev().find(|seen| seen.credential() == key);
    last.expect("the key was used").at
}

/// Asserts that every snapshot that any gateway ever served had all that [`pool_of_two`] made.
pub(crate) fn expect_whole_snapshots(system: &System) {
    let logs = system.logs();
    let lines = logs
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let received: Vec<Value> = lines
        .filter(|line| line["message"] == "resources received")
        .collect();
    assert!(!received.is_empty(), "gateways say what they receive");
    for line in received {
        let counts = ["providers", "credentials", "client_keys"].map(|field| line[field].as_u64());
        assert_eq!(counts, [Some(1), Some(2), Some(1)], "{line}");
    }
}
