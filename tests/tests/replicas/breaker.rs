//! An endpoint that fails for one replica is left alone by all.

use std::time::Duration;

use harness::{ADMIN_KEY, Fixture, Gate, Redis, Replicas, Reply, Upstream, When, eventually};
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test]
async fn failures_at_all_replicas_add_up_and_one_call_probes() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::error(500, "server_error", "oops", "The server had an error."),
    );
    let fixture = Fixture::pool(&upstream, ["a", "b"])
        .amend(
            "Provider",
            "p",
            "/spec/breaker",
            json!({ "consecutiveFailures": 3, "openFor": "5s" }),
        )
        .route(
            "r",
            &["r"],
            json!([{ "providerRef": { "name": "p" }, "model": "m" }]),
        )
        .spec("retry", json!({ "attempts": 1 }));
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for turn in 0..3 {
        let answer = replicas.client(turn).chat("r").await;
        assert!(
            matches!(answer.status, 502 | 503),
            "{}: {}",
            answer.status,
            answer.text()
        );
        // Settling is a moment later.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(upstream.count(), 3, "each replica asked once");
    for turn in 0..3 {
        replicas.client(turn).chat("r").await.openai_error(503);
    }
    assert_eq!(
        upstream.count(),
        3,
        "three failures in a row, one a replica, open the breaker for all"
    );

    upstream.behave();
    let gate = Gate::new();
    upstream.on(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let mut calls = JoinSet::new();
    eventually("one call probes", Duration::from_secs(20), || {
        // Whoever does not probe is refused at once; whoever does waits at the gate.
        for client in replicas.clients() {
            calls.spawn(async move { client.chat("r").await.status });
        }
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (upstream.count() > 3).then_some(())
        }
    })
    .await;
    for turn in 0..9 {
        replicas.client(turn).chat("r").await.openai_error(503);
    }
    assert_eq!(upstream.count(), 4, "one probe among all replicas");
    gate.open();
    let statuses = calls.join_all().await;
    let probes = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(
        probes, 1,
        "the probe is answered, the others were refused: {statuses:?}"
    );
    for turn in 0..3 {
        eventually(
            &format!("the breaker closes for replica {turn}"),
            Duration::from_secs(5),
            || async { (replicas.client(turn).chat("r").await.status == 200).then_some(()) },
        )
        .await;
    }
}

#[tokio::test]
async fn refusals_that_replicas_meet_on_many_credentials_speak_of_their_provider() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let refusal = Reply::error(
        401,
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided.",
    );
    upstream.on(When::any(), refusal);
    let fixture = Fixture::pool(&upstream, ["a", "b", "c", "d"])
        .route(
            "r",
            &["r"],
            json!([{ "providerRef": { "name": "p" }, "model": "m" }]),
        )
        .spec("retry", json!({ "attempts": 1 }))
        .admin();
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for turn in 0..3 {
        let answer = replicas.client(turn).chat("r").await;
        assert_ne!(answer.status, 200, "{}", answer.text());
        replicas.until_settled("p").await;
    }
    assert_eq!(upstream.count(), 3, "each replica asked with another credential");
    for turn in 0..3 {
        let error = replicas.client(turn).chat("r").await.openai_error(503);
        assert_eq!(error["code"], "upstream_unavailable", "replica {turn}: {error}");
        let admin = replicas[turn].client_with(ADMIN_KEY);
        let listing = admin.get("/p/v1/credentials").await.expect(200).json();
        for credential in listing["credentials"].as_array().expect("a list") {
            assert_eq!(
                credential["rests"],
                json!([]),
                "replica {turn}: three of four keys at once are not wrong, their Provider is"
            );
        }
    }
    assert_eq!(upstream.count(), 3, "it is left alone");
}
