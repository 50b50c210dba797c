//! A gateway is gone, for good or for a while.

use std::time::Duration;

use harness::{Fixture, Gate, Load, Redis, Replicas, Reply, Stats, Upstream, When, eventually};
use serde_json::json;

/// The others take a gateway for dead that said nothing for ten seconds, and fold its counts at their next beat.
const FOLDED: Duration = Duration::from_secs(40);

/// Longer than the others wait for a gateway that says nothing.
const PAUSE: Duration = Duration::from_secs(15);

/// The stats of replica `number` once they are as wanted.
async fn stats_when(
    replicas: &Replicas,
    number: usize,
    what: &str,
    within: Duration,
    enough: impl Fn(&Stats) -> bool,
) -> Stats {
    eventually(&format!("replica {number}: {what}"), within, || async {
        let stats = replicas[number].stats().await;
        enough(&stats).then_some(stats)
    })
    .await
}

fn sent(upstream: &Upstream) -> u64 {
    u64::try_from(upstream.count()).unwrap_or(u64::MAX)
}

fn estimated(stats: &Stats) -> u64 {
    let credentials = stats.credentials();
    credentials.values().map(|totals| totals.estimated_requests).sum()
}

#[tokio::test]
async fn what_a_killed_gateway_held_is_reclaimed_and_its_open_call_marked() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .spec("limits", json!({ "concurrency": 1 }))
        .amend("Credential", "a", "/spec/limits", json!({ "concurrency": 1 }))
        .amend("Provider", "p", "/spec/selection/maxWait", json!("100ms"))
        .admin();
    let mut replicas = Replicas::start(2, &redis.arguments(), &fixture).await;
    upstream.once(When::any(), Reply::silence());
    let client = replicas.client(0);
    let held = tokio::spawn(async move { client.chat_request("m").attempt().await });
    upstream.until_seen(1).await;
    let told = "the call that is under way is counted";
    stats_when(&replicas, 1, told, Duration::from_secs(15), |stats| {
        stats.requests() == 1
    })
    .await;
    replicas.client(1).chat("m").await.openai_error(429);

    replicas.kill(0);
    assert!(held.await.unwrap().is_err(), "its caller lost the connection");
    eventually("both places are free again", FOLDED, || async {
        (replicas.client(0).chat("m").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(upstream.count(), 2, "nobody was let in before");
    let stats = stats_when(&replicas, 0, "the open call is marked", FOLDED, |stats| {
        stats.requests() == 2 && estimated(stats) > 0
    })
    .await;
    let totals = stats.credential("a");
    assert_eq!(
        (totals.requests, totals.estimated_requests),
        (2, 1),
        "two calls, one of which nobody saw the end of; found {totals:?}"
    );
}

#[tokio::test]
async fn a_killed_gateway_takes_no_more_than_its_last_beat_along() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]).admin();
    let mut replicas = Replicas::start(3, &redis.arguments(), &fixture).await;
    // One call stays open at the gateway that will be killed. When it is marked, its counts were taken over.
    let gate = Gate::new();
    upstream.once(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let client = replicas.client(2);
    let held = tokio::spawn(async move { client.chat_request("m").attempt().await });
    upstream.until_seen(1).await;
    let load = Load::start(replicas.clients(), 60);
    load.until_more(180).await;
    load.stop().await.expect_all_served("nothing happened");
    let counted = sent(&upstream);
    let told = "everything so far is counted";
    stats_when(&replicas, 0, told, Duration::from_secs(15), |stats| {
        stats.requests() == counted
    })
    .await;

    let survivors = Load::start(vec![replicas.client(0), replicas.client(1)], 40);
    let victims = Load::start(vec![replicas.client(2)], 20);
    victims.until_more(20).await;
    replicas.kill(2);
    survivors.until_more(120).await;
    survivors
        .stop()
        .await
        .expect_all_served("callers of the other gateways, when one was killed");
    let lost = u64::try_from(victims.stop().await.calls()).unwrap_or(u64::MAX);
    assert!(held.await.unwrap().is_err(), "its caller lost the connection");

    let sent = sent(&upstream);
    for number in 0..2 {
        let told = "the open call of the killed gateway is marked";
        let stats = stats_when(&replicas, number, told, FOLDED, |stats| estimated(stats) > 0).await;
        let requests = stats.requests();
        assert!(
            (sent - lost.min(sent)..=sent).contains(&requests),
            "replica {number}: expected {sent} calls, or up to {lost} less, which the killed gateway may not have told; \
             found {requests} in {}",
            stats.text()
        );
    }
    assert_eq!(
        replicas[0].stats().await.credentials(),
        replicas[1].stats().await.credentials(),
        "both tell the same"
    );
}

#[tokio::test]
async fn a_gateway_that_was_taken_for_dead_comes_back_and_nothing_counts_twice() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).admin();
    let replicas = Replicas::start(2, &redis.arguments(), &fixture).await;
    for turn in 0..12 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    replicas.expect_totals(&upstream).await;
    replicas[1].pause();
    for _ in 0..6 {
        replicas.client(0).chat("m").await.expect(200);
    }
    tokio::time::sleep(PAUSE).await;
    let all = sent(&upstream);
    let told = "what the paused gateway counted is still there";
    stats_when(&replicas, 0, told, FOLDED, |stats| stats.requests() == all).await;
    replicas[1].resume();
    replicas.until_store_is(true).await;
    for turn in 0..12 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    replicas.expect_totals(&upstream).await;
}
