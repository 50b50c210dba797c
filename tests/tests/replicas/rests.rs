//! What one replica learns of a credential, all know.

use std::time::Duration;

use harness::{Fixture, Gate, Redis, Replicas, Reply, Upstream, When, eventually};
use serde_json::json;
use tokio::task::JoinSet;

/// Calls replica 0 until `a` was asked and has refused, and the store knows.
async fn until_a_rests(replicas: &Replicas, upstream: &Upstream) {
    while !upstream.counts().contains_key("a") {
        assert!(upstream.count() < 6, "a gets its turn: {:?}", upstream.counts());
        replicas.client(0).chat("m").await.expect(200);
    }
    replicas[0]
        .metrics_when("the rest of a is counted", |metrics| {
            metrics.is("roundhouse_rests_total", &[("provider", "p")], 1.0)
        })
        .await;
    // A pick is answered after everything that the same gateway told the store before.
    replicas.client(0).chat("m").await.expect(200);
}

#[tokio::test]
async fn no_replica_picks_a_credential_whose_rest_is_stored() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(When::credential("a"), Reply::rate_limited("60"));
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]);
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    until_a_rests(&replicas, &upstream).await;
    let mut calls = JoinSet::new();
    for turn in 0..60 {
        let client = replicas.client(turn);
        calls.spawn(async move { client.chat("m").await.expect(200) });
    }
    calls.join_all().await;
    assert_eq!(
        upstream.counts()["a"],
        1,
        "a rests and nobody asks it; found {:?}",
        upstream.counts()
    );
}

#[tokio::test]
async fn every_replica_knows_when_the_first_is_back() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(When::credential("a"), Reply::rate_limited("40"));
    upstream.on(When::credential("b"), Reply::rate_limited("20"));
    let fixture = Fixture::pool(&upstream, ["a", "b"]);
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for turn in 0..3 {
        let answer = replicas.client(turn).chat("m").await;
        answer.openai_error(429);
        let seconds = answer.retry_after();
        assert!(
            (10..=20).contains(&seconds),
            "replica {turn}: retry-after {seconds}, the soonest is 20"
        );
    }
    assert_eq!(upstream.count(), 2, "resting credentials are not asked");
}

#[tokio::test]
async fn a_rest_that_ends_ends_for_all() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.once(When::credential("a"), Reply::rate_limited("2"));
    let fixture = Fixture::pool(&upstream, ["a", "b"]);
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    until_a_rests(&replicas, &upstream).await;
    eventually("replica 1 uses a again", Duration::from_secs(10), || async {
        replicas.client(1).chat("m").await.expect(200);
        (upstream.counts()["a"] > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_call_among_all_replicas_probes_the_end_of_a_guessed_rest() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    // A refusal that does not say for how long: five seconds are guessed.
    upstream.once(
        When::credential("a"),
        Reply::error(429, "requests", "rate_limit_exceeded", "Rate limit reached."),
    );
    let fixture = Fixture::pool(&upstream, ["a", "b"]);
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    until_a_rests(&replicas, &upstream).await;
    let gate = Gate::new();
    upstream.on(
        When::credential("a"),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let mut calls = JoinSet::new();
    eventually("a call probes a", Duration::from_secs(20), || {
        // At once, so that all replicas meet the end of the rest together. The probe waits at the gate.
        for client in replicas.clients() {
            calls.spawn(async move { client.chat("m").await.status });
        }
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (upstream.counts()["a"] > 1).then_some(())
        }
    })
    .await;
    for turn in 0..30 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    assert_eq!(
        upstream.counts()["a"],
        2,
        "one refusal and one probe; found {:?}",
        upstream.counts()
    );
    gate.open();
    let statuses = calls.join_all().await;
    assert!(
        statuses.iter().all(|status| *status == 200),
        "the probe and all others are served: {statuses:?}"
    );
    for turn in 0..3 {
        eventually(
            &format!("replica {turn} uses a again"),
            Duration::from_secs(5),
            || async {
                replicas.client(turn).chat("m").await.expect(200);
                (upstream.last().credential() == "a").then_some(())
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_new_key_ends_the_rest_of_the_old_one_for_all() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(
        When::credential("a"),
        Reply::error(
            401,
            "invalid_request_error",
            "invalid_api_key",
            "Incorrect API key provided.",
        ),
    );
    let fixture = Fixture::pool(&upstream, ["a"]);
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    for turn in 0..2 {
        let answer = replicas.client(turn).chat("m").await;
        assert!(
            matches!(answer.status, 429 | 503),
            "{}: {}",
            answer.status,
            answer.text()
        );
    }
    assert_eq!(upstream.count(), 1, "the second replica knows of the first's 401");
    let key = json!("sk-new-0123456789abcdef");
    let fixture = fixture.amend("Secret", "a-key", "/stringData/api-key", key);
    for gateway in replicas.iter() {
        gateway.apply(&fixture);
    }
    for turn in 0..2 {
        eventually(
            &format!("replica {turn} uses the new key"),
            Duration::from_secs(10),
            || async { (replicas.client(turn).chat("m").await.status == 200).then_some(()) },
        )
        .await;
        assert_eq!(upstream.last().credential(), "new");
    }
}

#[tokio::test]
async fn the_same_new_key_ends_a_rest_once_however_many_replicas_learn_of_it() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::error(
            401,
            "invalid_request_error",
            "invalid_api_key",
            "Incorrect API key provided.",
        ),
    );
    let fixture = Fixture::pool(&upstream, ["a"]).admin();
    let mut replicas = Replicas::start_patient(1, &redis.arguments(), &fixture).await;
    replicas.join(&redis.arguments(), &fixture).await;
    let refused_everywhere = async |replicas: &Replicas| {
        for client in replicas.clients() {
            let answer = client.chat("m").await;
            assert!(
                matches!(answer.status, 429 | 503),
                "{}: {}",
                answer.status,
                answer.text()
            );
        }
    };
    replicas.client(0).chat("m").await;
    replicas.until_settled("p").await;
    refused_everywhere(&replicas).await;
    assert_eq!(upstream.count(), 1, "both know of the first refusal");

    // One replica is quicker to see the new key, which is refused as well; the other sees it when that is known.
    let key = json!("sk-new-0123456789abcdef");
    let changed = fixture
        .amend("Secret", "a-key", "/stringData/api-key", key)
        .provider("later", &upstream.url("/v1"), &["later"]);
    replicas[0].apply(&changed);
    eventually("the new key is tried", Duration::from_secs(10), || async {
        replicas.client(0).chat("m").await;
        (upstream.count() == 2).then_some(())
    })
    .await;
    replicas.until_settled("p").await;
    refused_everywhere(&replicas).await;
    replicas[1].apply(&changed);
    eventually("replica 1 reads its files", Duration::from_secs(10), || async {
        let models = replicas.client(1).get("/v1/models").await.expect(200);
        models.text().contains("later").then_some(())
    })
    .await;
    refused_everywhere(&replicas).await;
    // Nor is it news for a replica that starts.
    replicas.join(&redis.arguments(), &changed).await;
    refused_everywhere(&replicas).await;
    assert_eq!(
        upstream.count(),
        2,
        "the new key was refused once, and is known to be"
    );
}
