//! The store answers and has lost what it knew.

use harness::{Redis, Sentinel};

use crate::trial::Trial;

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
