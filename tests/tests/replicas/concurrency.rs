//! How many calls at once, counted over all replicas.

use std::time::Duration;

use harness::{Client, Fixture, Gate, Redis, Replicas, Reply, Upstream, When, eventually};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

/// Three credentials for two calls at once each, and callers who wait for them.
fn fixture(upstream: &Upstream) -> Fixture {
    ["a", "b", "c"].into_iter().fold(
        Fixture::pool(upstream, ["a", "b", "c"]).amend(
            "Provider",
            "p",
            "/spec/selection/maxWait",
            json!("30s"),
        ),
        |fixture, name| fixture.amend("Credential", name, "/spec/limits", json!({ "concurrency": 2 })),
    )
}

/// A call that is under way until the gate opens.
async fn hold(upstream: &Upstream, client: Client, gate: &Gate) -> JoinHandle<harness::Answer> {
    let before = upstream.count();
    upstream.once(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(gate),
    );
    let call = tokio::spawn(async move { client.chat("m").await });
    upstream.until_seen(before + 1).await;
    call
}

/// Makes `count` calls, so many at once; those that `leaves` picks end before their answer.
async fn call_all(replicas: &Replicas, count: usize, leaves: fn(usize) -> bool) {
    let mut calls = JoinSet::new();
    let places = std::sync::Arc::new(Semaphore::new(40));
    for turn in 0..count {
        let (client, places) = (replicas.client(turn), std::sync::Arc::clone(&places));
        calls.spawn(async move {
            let _place = places.acquire_owned().await;
            if leaves(turn) {
                let leaving = Duration::from_millis(u64::try_from(turn % 30).unwrap_or(0));
                // Whether it is waiting, being sent or being answered then is left to chance.
                let _ = tokio::time::timeout(leaving, client.chat_request("m").attempt()).await;
            } else {
                client.chat("m").await.expect(200);
            }
        });
    }
    calls.join_all().await;
}

#[tokio::test]
async fn a_cap_of_two_is_never_exceeded_by_ten_gateways() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).after(Duration::from_millis(15)),
    );
    let replicas = Replicas::start_patient(10, &redis.arguments(), &fixture(&upstream)).await;
    call_all(&replicas, 600, |_| false).await;
    assert_eq!(upstream.count(), 600);
    let most = upstream.most_at_once();
    for name in ["a", "b", "c"] {
        assert_eq!(
            most[name], 2,
            "{name}: expected two calls at once at most, and two at some moment; found {most:?}"
        );
    }
}

#[tokio::test]
async fn callers_that_leave_neither_exceed_the_cap_nor_keep_a_place() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).after(Duration::from_millis(15)),
    );
    let replicas = Replicas::start_patient(10, &redis.arguments(), &fixture(&upstream)).await;
    call_all(&replicas, 600, |turn| turn % 3 == 0).await;
    let most = upstream.most_at_once();
    for (name, most) in &most {
        assert!(
            *most <= 2,
            "{name}: expected two calls at once at most among those whose caller stayed; found {most}"
        );
    }
    assert!(
        upstream.seen().iter().any(|seen| seen.gone),
        "some left while they were answered"
    );

    // All six places are there again: six calls are under way at once, a seventh is not.
    upstream.behave();
    let gate = Gate::new();
    let before = upstream.count();
    upstream.on(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let mut held = JoinSet::new();
    for turn in 0..7 {
        let client = replicas.client(turn);
        held.spawn(async move { client.chat("m").await.expect(200) });
    }
    upstream.until_seen(before + 6).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(upstream.count(), before + 6, "the seventh waits for a place");
    gate.open();
    held.join_all().await;
}

#[tokio::test]
async fn a_clients_calls_at_once_are_counted_over_all_replicas() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).spec("limits", json!({ "concurrency": 1 }));
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    let gate = Gate::new();
    let first = hold(&upstream, replicas.client(0), &gate).await;
    let answer = replicas.client(1).chat("m").await;
    answer.openai_error(429);
    answer.retry_after();
    gate.open();
    first.await.unwrap().expect(200);
    eventually("the place is free again", Duration::from_secs(5), || async {
        (replicas.client(1).chat("m").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_providers_calls_at_once_are_counted_over_all_replicas() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"])
        .amend("Provider", "p", "/spec/limits", json!({ "concurrency": 2 }))
        .amend("Provider", "p", "/spec/selection/maxWait", json!("100ms"));
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    let gate = Gate::new();
    let first = hold(&upstream, replicas.client(0), &gate).await;
    let second = hold(&upstream, replicas.client(1), &gate).await;
    let answer = replicas.client(2).chat("m").await;
    assert!(
        matches!(answer.status, 429 | 503),
        "{}: {}",
        answer.status,
        answer.text()
    );
    assert_eq!(upstream.count(), 2, "the third was not sent");
    gate.open();
    first.await.unwrap().expect(200);
    second.await.unwrap().expect(200);
}

#[tokio::test]
async fn a_caller_waits_for_a_place_that_another_replica_gives_back() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .amend("Credential", "a", "/spec/limits", json!({ "concurrency": 1 }))
        .amend("Provider", "p", "/spec/selection/maxWait", json!("30s"));
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    let gate = Gate::new();
    let first = hold(&upstream, replicas.client(0), &gate).await;
    let client = replicas.client(1);
    let second = tokio::spawn(async move { client.chat("m").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(upstream.count(), 1, "the second waits for the first");
    gate.open();
    first.await.unwrap().expect(200);
    second.await.unwrap().expect(200);
}
