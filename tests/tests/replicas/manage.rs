//! What administrators see and change through one replica holds for all.

use std::time::Duration;

use harness::{ADMIN_KEY, Answer, Fixture, Gate, Redis, Replicas, Reply, Upstream, When, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

/// What replica `turn` answers an administrator.
async fn asked(replicas: &Replicas, turn: usize, path: &str) -> Value {
    let admin = replicas[turn].client_with(ADMIN_KEY);
    admin.get(path).await.expect(200).json()
}

async fn reset(replicas: &Replicas, turn: usize, body: Value) -> Answer {
    let admin = replicas[turn].client_with(ADMIN_KEY);
    admin.post("/v1/quota/reset", &body).await.expect(200)
}

/// What a replica says of a credential of `p`, by its name without the namespace.
fn entry(listing: &Value, name: &str) -> Value {
    let list = listing["credentials"].as_array().expect("a list").iter();
    let name = json!(format!("default/{name}"));
    list.clone()
        .find(|entry| entry["name"] == name)
        .expect("it is listed")
        .clone()
}

#[tokio::test]
async fn every_replica_lists_the_calls_and_rests_of_all() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).admin();
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    upstream.once(When::credential("a"), Reply::rate_limited("600"));
    for _ in 0..2 {
        replicas.client(0).chat("m").await.expect(200);
    }
    replicas.until_settled("p").await;
    let gate = Gate::new();
    upstream.on(
        When::credential("b"),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let mut held = Vec::new();
    let before = upstream.count();
    for turn in 0..2 {
        let client = replicas.client(turn);
        held.push(tokio::spawn(async move { client.chat("m").await }));
    }
    upstream.until_seen(before + 2).await;
    for turn in 0..3 {
        let listing = asked(&replicas, turn, "/p/v1/credentials").await;
        let (a, b) = (entry(&listing, "a"), entry(&listing, "b"));
        assert_eq!(
            (&a["in_flight"], &a["usable"], &a["rests"][0]["reason"]),
            (&json!(0), &json!(false), &json!("RateLimited")),
            "replica {turn}: {a}"
        );
        assert_eq!(
            (&b["in_flight"], &b["usable"], &b["rests"]),
            (&json!(2), &json!(true), &json!([])),
            "replica {turn}: one call is under way at replica 0 and one at replica 1: {b}"
        );
        let quota = asked(&replicas, turn, "/v1/quota").await;
        let a = entry(&quota["providers"][0], "a");
        assert_eq!(a["rests"][0]["reason"], "RateLimited", "replica {turn}: {quota}");
    }
    gate.open();
    for call in held {
        call.await.unwrap().expect(200);
    }
    replicas.until_settled("p").await;
}

#[tokio::test]
async fn every_replica_tells_the_same_of_quotas_and_a_reset_at_one_opens_all() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let window = |most: u64| json!([{ "name": "five-hours", "duration": "5h", "requests": most }]);
    let fixture = Fixture::pool(&upstream, ["a"])
        .amend("ClientKey", "app", "/spec/budgets", window(3))
        .amend("Credential", "a", "/spec/quota", json!({ "windows": window(6) }))
        .admin();
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for round in 1..=2 {
        for turn in 0..3 {
            replicas.client(turn).chat("m").await.expect(200);
        }
        replicas.until_settled("p").await;
        for turn in 0..3 {
            let quota = asked(&replicas, turn, "/v1/quota").await;
            let of_account = &quota["providers"][0]["credentials"][0]["windows"][0];
            let of_client = &quota["clients"][0]["budgets"][0];
            assert_eq!(
                (
                    &of_account["requests"],
                    &of_client["requests"],
                    &of_client["requests_limit"]
                ),
                (&json!(3 * round), &json!(3), &json!(3)),
                "replica {turn}: {quota}"
            );
            let error = replicas.client(turn).chat("m").await.openai_error(429);
            assert_eq!(error["code"], "insufficient_quota", "replica {turn}");
        }
        reset(&replicas, round, json!({ "client": "app" })).await;
        for turn in 0..3 {
            eventually(
                &format!("replica {turn} tells of the new budget"),
                SOON,
                || async {
                    let quota = asked(&replicas, turn, "/v1/quota").await;
                    (quota["clients"][0]["budgets"][0]["requests"] == 0).then_some(())
                },
            )
            .await;
        }
    }
    // The client may go on; now the account has served its six.
    for turn in 0..3 {
        let error = replicas.client(turn).chat("m").await.openai_error(429);
        assert_eq!(error["code"], "credentials_exhausted", "replica {turn}");
    }
    assert_eq!(upstream.count(), 6);
    reset(&replicas, 0, json!({})).await;
    for turn in 0..3 {
        eventually(
            &format!("replica {turn} may use the account again"),
            SOON,
            || async { (replicas.client(turn).chat("m").await.status == 200).then_some(()) },
        )
        .await;
    }
}

#[tokio::test]
async fn a_reset_at_one_replica_ends_a_lack_of_quota_for_all_and_no_other_rest() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).admin();
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    let refusals = [
        Reply::error(429, "insufficient_quota", "insufficient_quota", "No quota left."),
        Reply::rate_limited("600"),
    ];
    for (refusal, ends) in refusals.into_iter().zip([true, false]) {
        upstream.once(When::any(), refusal);
        replicas.client(0).chat("m").await.openai_error(429);
        replicas.until_settled("p").await;
        let asked_before = upstream.count();
        for turn in 0..3 {
            replicas.client(turn).chat("m").await.openai_error(429);
        }
        assert_eq!(upstream.count(), asked_before, "it rests at all replicas");
        reset(&replicas, 1, json!({ "credential": "a" })).await;
        if ends {
            for turn in [2, 0, 1] {
                eventually(&format!("it serves at replica {turn}"), SOON, || async {
                    (replicas.client(turn).chat("m").await.status == 200).then_some(())
                })
                .await;
            }
        } else {
            // A look at the store comes after everything that the same gateway told it before.
            asked(&replicas, 1, "/p/v1/credentials").await;
            for turn in 0..3 {
                replicas.client(turn).chat("m").await.openai_error(429);
            }
            assert_eq!(upstream.count(), asked_before, "a rate limit is no lack of quota");
        }
    }
}
