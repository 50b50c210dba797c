//! Limits and rests while every gateway is on its own.

use std::time::Duration;

use harness::{Fixture, Redis, Replicas, Reply, Upstream, When};
use serde_json::json;

/// Longer than a gateway's beat, at which it tells the store of itself and learns of the others.
const BEAT: Duration = Duration::from_secs(4);

/// A client that rather waits than exceeds its limit.
const STRICT: &str = "rh-strict-key-0123456789abcdef";

#[tokio::test]
async fn a_limit_is_divided_among_the_gateways() {
    let mut redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).spec("limits", json!({ "requestsPerMinute": 90 }));
    let replicas = Replicas::start(3, &redis.arguments(), &fixture).await;
    tokio::time::sleep(BEAT).await;
    redis.kill();
    replicas.until_store_is(false).await;
    let mut passed = [0; 3];
    for (number, passed) in passed.iter_mut().enumerate() {
        for _ in 0..40 {
            let answer = replicas.client(number).chat("m").await;
            if answer.status == 200 {
                *passed += 1;
            } else {
                answer.openai_error(429);
                answer.retry_after();
            }
        }
    }
    assert_eq!(passed, [30; 3], "a third of 90 a minute passes at each gateway");
}

#[tokio::test]
async fn a_gateway_that_nobody_has_called_yet_has_its_share_too() {
    let mut redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).spec("limits", json!({ "requestsPerMinute": 90 }));
    let replicas = Replicas::start(3, &redis.arguments(), &fixture).await;
    replicas.client(0).chat("m").await.expect(200);
    tokio::time::sleep(BEAT).await;
    redis.kill();
    replicas.until_store_is(false).await;
    let mut passed = 1;
    for _ in 0..40 {
        passed += usize::from(replicas.client(0).chat("m").await.status == 200);
    }
    assert_eq!(
        passed, 30,
        "the other two thirds are for whom the others may be called by"
    );
}

#[tokio::test]
async fn a_client_that_wants_it_is_refused_while_the_store_is_away() {
    let mut redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"])
        .client("strict", STRICT)
        .spec(
            "limits",
            json!({ "requestsPerMinute": 1000, "whenStoreIsAway": "Refuse" }),
        );
    let replicas = Replicas::start(2, &redis.arguments(), &fixture).await;
    for gateway in replicas.iter() {
        gateway.client_with(STRICT).chat("m").await.expect(200);
    }
    redis.kill();
    replicas.until_store_is(false).await;
    for gateway in replicas.iter() {
        let answer = gateway.client_with(STRICT).chat("m").await;
        let error = answer.openai_error(503);
        assert!(
            error["code"].is_string(),
            "a code that a program can read: {error}"
        );
        answer.retry_after();
        gateway.client().chat("m").await.expect(200);
    }
    assert_eq!(upstream.count(), 4, "what is refused is not sent");
    redis.restart().await;
    replicas.until_store_is(true).await;
    for gateway in replicas.iter() {
        gateway.client_with(STRICT).chat("m").await.expect(200);
    }
}

#[tokio::test]
async fn a_rest_met_in_an_outage_holds_there_and_is_shared_afterwards() {
    let mut redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.once(When::credential("a"), Reply::rate_limited("120"));
    let fixture = Fixture::pool(&upstream, ["a", "b"]);
    let replicas = Replicas::start(2, &redis.arguments(), &fixture).await;
    redis.kill();
    replicas.until_store_is(false).await;
    for _ in 0..8 {
        replicas.client(0).chat("m").await.expect(200);
    }
    assert_eq!(
        upstream.counts()["a"],
        1,
        "the gateway that was refused keeps to it; found {:?}",
        upstream.counts()
    );
    redis.restart().await;
    replicas.until_store_is(true).await;
    tokio::time::sleep(BEAT).await;
    for turn in 0..8 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    assert_eq!(
        upstream.counts()["a"],
        1,
        "now the other knows too; found {:?}",
        upstream.counts()
    );
}

#[tokio::test]
async fn a_rest_that_another_gateway_met_before_the_outage_is_kept_in_it() {
    let mut redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.once(When::credential("a"), Reply::rate_limited("120"));
    let fixture = Fixture::pool(&upstream, ["a", "b"]);
    let replicas = Replicas::start(2, &redis.arguments(), &fixture).await;
    // The other one serves too, as gateways do that learn of rests, but does not meet this one.
    for turn in [0, 0, 1, 1] {
        replicas.client(turn).chat("m").await.expect(200);
    }
    assert_eq!(upstream.counts()["a"], 1, "it rests: {:?}", upstream.counts());
    tokio::time::sleep(BEAT).await;
    redis.kill();
    replicas.until_store_is(false).await;
    for _ in 0..6 {
        replicas.client(1).chat("m").await.expect(200);
    }
    assert_eq!(
        upstream.counts()["a"],
        1,
        "what the store told before it went away holds; found {:?}",
        upstream.counts()
    );
}
