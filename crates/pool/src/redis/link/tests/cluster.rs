//! A cluster.

use redis::Value;

use super::{ADD, Report, add, added, open, settings, up};
use crate::redis::{
    link::{Away, LinkState, Urgency},
    testing::Cluster,
};

#[tokio::test(flavor = "multi_thread")]
async fn scripts_run_where_their_keys_are() {
    let cluster = Cluster::start(3, &[]).await;
    let (link, seen) = open(settings(&cluster.url()));
    assert!(link.is_cluster(), "keys are spread");
    up(&link).await;
    // Their slots are 2000, 6000 and 12000 or so: one on each master.
    let keys = ["{3}n", "{60}n", "{41}n"];
    for round in 1..=3 {
        let calls = keys.map(|key| add(key, 1));
        let results = link.run_all(&calls, Urgency::Awaited).await;
        assert_eq!(results, keys.map(|_| Ok(Value::Int(round))), "round {round}");
        if let Some(server) = cluster.servers.get(1) {
            server.cli(&["SCRIPT", "FLUSH"]);
        }
    }
    for (server, key) in cluster.servers.iter().zip(keys) {
        assert_eq!(server.cli(&["GET", key]), "3", "{key} is where it belongs");
    }
    let across = ADD.on(&["{3}n", "{60}n"]).arg(1);
    let refused = link.run(&across, Urgency::Awaited).await;
    assert!(
        matches!(refused, Err(Away::Refused { .. })),
        "keys without a common tag: {refused:?}"
    );
    assert_eq!(seen.changes().len(), 1, "the store is not away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_one_of_its_masters_is_away_until_it_is_back() {
    let mut cluster = Cluster::start(3, &[]).await;
    let (link, _) = open(settings(&cluster.url()));
    up(&link).await;
    cluster.servers[2].kill();
    super::reached(&link, |state| matches!(state, LinkState::Down { .. })).await;
    assert!(
        matches!(added(&link, "{3}n").await, Err(Away::NotRun(_))),
        "no key is served by half"
    );
    cluster.servers[2].restart().await;
    up(&link).await;
    cluster.serves().await;
    up(&link).await;
    added(&link, "{41}n")
        .await
        .expect("the master that was away serves");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_find_a_dead_master_whose_keys_nobody_asks_for() {
    let mut cluster = Cluster::start(3, &["--cluster-require-full-coverage", "no"]).await;
    let (link, seen) = open(settings(&cluster.url()));
    up(&link).await;
    cluster.servers[2].kill();
    super::reached(&link, |state| matches!(state, LinkState::Down { .. })).await;
    assert!(
        !seen
            .all()
            .iter()
            .any(|report| matches!(report, Report::Command(..))),
        "no call was needed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_master_of_a_cluster_is_missed_and_found_again() {
    let cluster = Cluster::start(3, &[]).await;
    let (link, _) = open(settings(&cluster.url()));
    up(&link).await;
    cluster.servers[1].freeze();
    super::reached(&link, |state| matches!(state, LinkState::Down { .. })).await;
    cluster.servers[1].thaw();
    up(&link).await;
    added(&link, "{60}n").await.expect("it serves again");
}
