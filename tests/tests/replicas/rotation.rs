//! Which credential a call gets, whichever replica it comes to.

use std::collections::BTreeSet;

use harness::{Fixture, Gate, Redis, Replicas, Reply, Upstream, When};
use serde_json::json;
use tokio::task::JoinSet;

/// Asserts that replicas with this store take turns together: calls to one and the other, one after another.
///
/// Replicas that turn on their own would use the same credential twice in a row.
pub(crate) async fn expect_shared_rotation(replicas: &Replicas, upstream: &Upstream) {
    let from = upstream.count();
    for turn in 0..12 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    let order: Vec<String> = upstream.seen()[from..]
        .iter()
        .map(|seen| seen.credential().to_owned())
        .collect();
    for three in order.windows(3) {
        let different: BTreeSet<_> = three.iter().collect();
        assert_eq!(
            different.len(),
            3,
            "any three calls in a row use all three credentials, whichever replica they came to; found {order:?}"
        );
    }
}

#[tokio::test]
async fn calls_to_different_replicas_take_turns() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]);
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    expect_shared_rotation(&replicas, &upstream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nine_thousand_calls_over_three_credentials_are_three_thousand_each() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]).admin();
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    // Replicas get shares of the load that no three credentials divide.
    let shares = [0, 0, 0, 0, 1, 1, 2];
    let mut workers = JoinSet::new();
    for worker in 0..36 {
        let clients = replicas.clients();
        workers.spawn(async move {
            for call in 0..250 {
                let client = &clients[shares[(worker + call) % shares.len()]];
                if call % 10 == 9 {
                    client.chat_stream("m").await.finish().await.expect(200);
                } else {
                    client.chat("m").await.expect(200);
                }
            }
        });
    }
    workers.join_all().await;
    let counts = upstream.counts();
    for name in ["a", "b", "c"] {
        assert!(
            counts[name].abs_diff(3000) <= 1,
            "{name}: expected 3000 ± 1, found {counts:?}"
        );
    }
    assert_eq!(counts.values().sum::<usize>(), 9000, "{counts:?}");
    replicas.expect_totals(&upstream).await;
}

#[tokio::test]
async fn weights_are_kept_exactly() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"])
        .amend("Provider", "p", "/spec/selection/strategy", json!("Weighted"))
        .amend("Credential", "a", "/spec/weight", json!(3));
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for turn in 0..8 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 6), ("b", 2)]);
}

#[tokio::test]
async fn what_one_replica_keeps_busy_the_others_avoid() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).amend(
        "Provider",
        "p",
        "/spec/selection/strategy",
        json!("LeastBusy"),
    );
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    let gate = Gate::new();
    upstream.once(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let client = replicas.client(0);
    let slow = tokio::spawn(async move { client.chat("m").await });
    upstream.until_seen(1).await;
    let busy = upstream.last().credential().to_owned();
    for _ in 0..4 {
        replicas.client(1).chat("m").await.expect(200);
    }
    gate.open();
    slow.await.unwrap().expect(200);
    assert_eq!(
        upstream.counts()[&busy],
        1,
        "{busy} is busy with a call of replica 0, so replica 1 uses the other; found {:?}",
        upstream.counts()
    );
}
