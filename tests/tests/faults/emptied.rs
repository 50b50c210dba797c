//! The store answers and has lost what it knew.

use std::time::Duration;

use harness::{ADMIN_KEY, Fixture, Gate, Redis, Replicas, Reply, Sentinel, Upstream, When, eventually};
use serde_json::{Value, json};

use crate::trial::Trial;

/// A client with a limit.
const MINUTE: &str = "rh-minute-key-0123456789abcdef";

/// A client with a budget.
const BUDGET: &str = "rh-budget-key-0123456789abcdef";

/// Longer than a gateway's beat, at which it learns that the store has lost what it knew.
const BEAT: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_flushed_redis_is_filled_again() {
    let redis = Redis::start().await;
    let trial = Trial::start(&redis.arguments()).await;
    for _ in 0..4 {
        redis.cli(&["flushall"]).await;
        trial.go_on().await;
    }
    trial.end("Redis was flushed four times").await;
}

#[tokio::test]
async fn lost_scripts_are_loaded_again() {
    let redis = Redis::start().await;
    let trial = Trial::start(&redis.arguments()).await;
    for _ in 0..4 {
        redis.cli(&["script", "flush"]).await;
        trial.go_on().await;
    }
    trial.end("Redis lost its scripts four times").await;
}

#[tokio::test]
async fn a_failover_keeps_what_was_replicated() {
    let mut sentinel = Sentinel::start().await;
    let trial = Trial::start(&sentinel.arguments()).await;
    sentinel.fail_over().await;
    trial.go_on().await;
    trial.end("Sentinel chose another master").await;
}

#[tokio::test]
async fn a_failover_to_an_empty_replica_loses_no_totals() {
    let mut sentinel = Sentinel::start().await;
    let trial = Trial::start(&sentinel.arguments()).await;
    sentinel.fail_over_to_empty().await;
    trial.go_on().await;
    trial.end("Sentinel chose an empty replica").await;
    assert!(
        !sentinel.master().await.keys().await.is_empty(),
        "the new master is in use"
    );
}

#[tokio::test]
async fn what_was_used_before_a_flush_still_counts() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let window = json!([{ "name": "five-hours", "duration": "5h", "requests": 50 }]);
    let fixture = Fixture::pool(&upstream, ["a"])
        .client("minute", MINUTE)
        .spec("limits", json!({ "requestsPerMinute": 20 }))
        .client("budget", BUDGET)
        .spec(
            "budgets",
            json!([{ "name": "five-hours", "duration": "5h", "requests": 20 }]),
        )
        .amend("Credential", "a", "/spec/quota", json!({ "windows": window }))
        .admin();
    let replicas = Replicas::start(2, &redis.arguments(), &fixture).await;
    let call = async |turn: usize, key: &str| {
        let client = replicas[turn % replicas.len()].client_with(key);
        client.chat("m").await
    };
    for turn in 0..12 {
        call(turn, MINUTE).await.expect(200);
        call(turn, BUDGET).await.expect(200);
    }
    replicas.until_settled("p").await;
    redis.cli(&["flushall"]).await;
    eventually("the store knows again of the account's use", 3 * BEAT, || async {
        let admin = replicas[0].client_with(ADMIN_KEY);
        let quota: Value = admin.get("/v1/quota").await.expect(200).json();
        (quota["providers"][0]["credentials"][0]["windows"][0]["requests"] == 24).then_some(())
    })
    .await;
    tokio::time::sleep(BEAT).await;
    for key in [MINUTE, BUDGET] {
        let mut served = 0;
        for turn in 0..12 {
            served += usize::from(call(turn, key).await.status == 200);
        }
        assert_eq!(
            served, 8,
            "{key}: twelve of twenty were used before the store was emptied"
        );
    }
    for turn in 0..20 {
        call(turn, harness::CLIENT_KEY).await;
    }
    assert_eq!(
        upstream.count(),
        50,
        "the account serves what its window has, and no more"
    );
}

#[tokio::test]
async fn a_call_that_was_under_way_at_a_flush_still_has_its_place() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .amend("Credential", "a", "/spec/limits", json!({ "concurrency": 1 }))
        .amend("Provider", "p", "/spec/selection/maxWait", json!("100ms"))
        .admin();
    let replicas = Replicas::start(2, &redis.arguments(), &fixture).await;
    let gate = Gate::new();
    upstream.once(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let client = replicas.client(0);
    let held = tokio::spawn(async move { client.chat("m").await });
    upstream.until_seen(1).await;
    redis.cli(&["flushall"]).await;
    // The gateway that holds the call tells of it at its next beat.
    eventually("the store knows again of the call", 3 * BEAT, || async {
        let admin = replicas[1].client_with(ADMIN_KEY);
        let listing = admin.get("/p/v1/credentials").await.expect(200).json();
        (listing["credentials"][0]["in_flight"] == 1).then_some(())
    })
    .await;
    replicas.client(1).chat("m").await.openai_error(429);
    assert_eq!(upstream.count(), 1, "the only place is taken");
    gate.open();
    held.await.unwrap().expect(200);
    eventually("the place is free again", BEAT, || async {
        (replicas.client(1).chat("m").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rest_that_was_known_before_a_flush_is_kept_where_it_is_known() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.once(When::credential("a"), Reply::rate_limited("600"));
    let fixture = Fixture::pool(&upstream, ["a", "b"]).admin();
    let replicas = Replicas::start(2, &redis.arguments(), &fixture).await;
    for turn in 0..6 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    assert_eq!(upstream.counts()["a"], 1, "it rests");
    replicas.until_settled("p").await;
    tokio::time::sleep(BEAT).await;
    redis.cli(&["flushall"]).await;
    tokio::time::sleep(BEAT).await;
    for turn in 0..8 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    assert_eq!(
        upstream.counts()["a"],
        1,
        "a gateway that was told of a rest tells the store of it again; found {:?}",
        upstream.counts()
    );
}
