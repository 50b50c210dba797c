//! What a caller and a credential may use a minute, counted over all replicas.

use std::{collections::BTreeMap, time::Duration};

use harness::{Fixture, Redis, Replicas, Upstream};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Sends 300 calls at once to three gateways and asserts that 100 pass and the others are told when to come back.
async fn expect_a_hundred_of_three(fixture: Fixture, upstream: &Upstream) {
    let redis = Redis::start().await;
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    let mut calls = JoinSet::new();
    for turn in 0..300 {
        let client = replicas.client(turn);
        calls.spawn(async move { client.chat("m").await });
    }
    let answers = calls.join_all().await;
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in &answers {
        *statuses.entry(answer.status).or_default() += 1;
        if answer.status != 200 {
            answer.openai_error(429);
            answer.retry_after();
        }
    }
    assert_eq!(
        statuses,
        BTreeMap::from([(200, 100), (429, 200)]),
        "answers by status"
    );
    assert_eq!(upstream.count(), 100, "calls that the upstream saw");
}

#[tokio::test]
async fn of_300_calls_at_once_a_client_with_100_a_minute_gets_100() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).spec("limits", json!({ "requestsPerMinute": 100 }));
    expect_a_hundred_of_three(fixture, &upstream).await;
}

#[tokio::test]
async fn of_300_calls_at_once_a_credential_with_100_a_minute_serves_100() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).amend(
        "Credential",
        "a",
        "/spec/limits",
        json!({ "requestsPerMinute": 100 }),
    );
    expect_a_hundred_of_three(fixture, &upstream).await;
}

/// Calls one replica after the other until one refuses; each of three alone would admit three calls of 16 tokens.
async fn served_of(fixture: Fixture) -> usize {
    let redis = Redis::start().await;
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for turn in 0..10 {
        let answer = replicas.client(turn).chat("m").await;
        if answer.status != 200 {
            answer.openai_error(429);
            answer.retry_after();
            return turn;
        }
        // Settling is a moment later than the last byte.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    10
}

#[tokio::test]
async fn tokens_a_minute_add_up_over_all_replicas() {
    let limit: Value = json!({ "tokensPerMinute": 40 });
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]);
    for (whose, fixture) in [
        ("client", fixture.clone().spec("limits", limit.clone())),
        (
            "credential",
            fixture.amend("Credential", "a", "/spec/limits", limit),
        ),
    ] {
        let served = served_of(fixture).await;
        assert!(
            (2..=3).contains(&served),
            "{whose}: 48 tokens is the first sum above 40, so two or three calls pass; found {served}"
        );
    }
}
