//! The store does not answer.

use std::time::Duration;

use harness::{Cluster, Fixture, Redis, Replicas, SlowPath, Upstream};

use crate::trial::{Trial, outage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_is_not_missed_at_500_calls_a_second() {
    let mut redis = Redis::start().await;
    let trial = Trial::start_alone(&redis.arguments(), 500).await;
    redis.kill();
    trial.expect_outage().await;
    trial.expect_degraded_time().await;
    redis.restart().await;
    trial.end("Redis was killed and came back empty").await;
}

#[tokio::test]
async fn a_killed_redis_comes_back_with_what_it_knew() {
    let mut redis = Redis::prepare().durable().start().await;
    let trial = Trial::start(&redis.arguments()).await;
    redis.kill();
    trial.expect_outage().await;
    redis.restart().await;
    trial.end("Redis was killed and came back with its data").await;
}

#[tokio::test]
async fn a_stopped_redis_is_not_waited_for() {
    let redis = Redis::start().await;
    let trial = Trial::start(&redis.arguments()).await;
    redis.pause();
    trial.expect_outage().await;
    redis.resume();
    trial.end("Redis was stopped and went on").await;
}

#[tokio::test]
async fn a_paused_redis_is_not_waited_for() {
    let redis = Redis::start().await;
    let trial = Trial::start(&redis.arguments()).await;
    // Longer than the trial looks: nothing can end it early, for that command waits too.
    let pause = (outage() + Duration::from_secs(6)).as_millis().to_string();
    redis.cli(&["client", "pause", &pause, "all"]).await;
    trial.expect_outage().await;
    trial.end("Redis paused its clients").await;
}

#[tokio::test]
async fn a_slow_redis_is_not_waited_for() {
    let redis = Redis::start().await;
    let path = SlowPath::to(&redis).await;
    let trial = Trial::start(&path.arguments()).await;
    path.slow_down(Duration::from_secs(1));
    trial.expect_outage().await;
    path.slow_down(Duration::ZERO);
    trial.end("Redis took a second for every answer").await;
}

#[tokio::test]
async fn a_hiccup_shorter_than_an_outage_harms_nobody() {
    let redis = Redis::start().await;
    let trial = Trial::start(&redis.arguments()).await;
    for _ in 0..5 {
        redis.cli(&["client", "pause", "150", "all"]).await;
        trial.go_on().await;
    }
    trial.end("Redis paused its clients for moments").await;
}

#[tokio::test]
async fn connections_that_break_are_made_anew() {
    let redis = Redis::start().await;
    let trial = Trial::start(&redis.arguments()).await;
    for _ in 0..5 {
        redis.end_connections().await;
        trial.go_on().await;
    }
    trial.end("Redis ended all connections").await;
}

#[tokio::test]
async fn a_cluster_that_lost_a_node_is_not_waited_for() {
    let mut cluster = Cluster::start().await;
    let trial = Trial::start(&cluster.arguments()).await;
    // Whichever node has the keys: the state of calls is on one of them.
    let mut busiest = 0;
    for number in 1..3 {
        let nodes = cluster.nodes();
        if nodes[number].keys().await.len() > nodes[busiest].keys().await.len() {
            busiest = number;
        }
    }
    cluster.kill(busiest);
    trial.expect_outage().await;
    cluster.restart(busiest).await;
    trial
        .end("a node of the Cluster was killed and came back empty")
        .await;
}

#[tokio::test]
async fn gateways_start_without_their_redis_and_find_it_later() {
    let mut redis = Redis::start().await;
    redis.kill();
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).admin();
    let replicas = Replicas::start_without_store(2, &redis.arguments(), &fixture).await;
    replicas.until_store_is(false).await;
    for turn in 0..6 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    redis.restart().await;
    replicas.until_store_is(true).await;
    for turn in 0..6 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    replicas.expect_totals(&upstream).await;
}
