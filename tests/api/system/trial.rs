//! What several of these tests ask.

use std::{
    env,
    time::{Duration, Instant},
};

use cluster::System;
use harness::{Metrics, eventually};
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

/// Starts operators that have ended by themselves, as Kubernetes does, until both are ready and one leads.
pub(crate) async fn until_operators_are_back(system: &mut System) {
    let started = Instant::now();
    loop {
        for operator in system.restart_ended_operators().await {
            println!("operator {operator} had ended by itself");
        }
        if are_back(system).await {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "the operators are not back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn are_back(system: &System) -> bool {
    let mut leading = 0.0;
    for operator in 0..2 {
        let admin = system.operator(operator).admin();
        // One that has just ended does not answer.
        let Ok(readiness) = admin.request("GET", "/readyz").attempt().await else {
            return false;
        };
        let Ok(metrics) = admin.request("GET", "/metrics").attempt().await else {
            return false;
        };
        if readiness.status != 200 {
            return false;
        }
        leading += Metrics::parse(&metrics.text()).sum("roundhouse_operator_leader", &[]);
    }
    leading > 0.5
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
