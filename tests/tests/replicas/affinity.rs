//! A conversation stays on its credential, whichever replica its calls come to.

use std::collections::BTreeSet;

use harness::{Fixture, Redis, Replicas, Reply, Upstream, When};
use serde_json::json;

async fn start(redis: &Redis, upstream: &Upstream) -> Replicas {
    let fixture = Fixture::pool(upstream, ["a", "b", "c"]).amend(
        "Provider",
        "p",
        "/spec/selection/affinity",
        json!({ "by": "Header", "header": "x-conversation" }),
    );
    Replicas::start_patient(3, &redis.arguments(), &fixture).await
}

/// Makes a call of a conversation and returns the credential that it got.
async fn call(replicas: &Replicas, turn: usize, conversation: &str, upstream: &Upstream) -> String {
    let client = replicas.client(turn).with("x-conversation", conversation);
    client.chat("m").await.expect(200);
    upstream.last().credential().to_owned()
}

#[tokio::test]
async fn conversations_stay_and_are_spread() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let replicas = start(&redis, &upstream).await;
    let mut homes = BTreeSet::new();
    for conversation in ["one", "two", "three"] {
        let mut used = BTreeSet::new();
        for turn in 0..6 {
            used.insert(call(&replicas, turn, conversation, &upstream).await);
            // Others in between do not move it.
            replicas.client(turn + 1).chat("m").await.expect(200);
        }
        assert_eq!(
            used.len(),
            1,
            "conversation {conversation} stays on one credential; it used {used:?}"
        );
        homes.extend(used);
    }
    assert!(
        homes.len() > 1,
        "three conversations are not all on one credential: {homes:?}"
    );
}

#[tokio::test]
async fn a_conversation_moves_once_when_its_credential_rests() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let replicas = start(&redis, &upstream).await;
    let first = call(&replicas, 0, "one", &upstream).await;
    assert_eq!(call(&replicas, 1, "one", &upstream).await, first);
    upstream.on(When::credential(&first), Reply::rate_limited("60"));
    let second = call(&replicas, 1, "one", &upstream).await;
    assert_ne!(second, first, "its credential rests");
    for turn in 0..6 {
        assert_eq!(
            call(&replicas, turn, "one", &upstream).await,
            second,
            "call {turn} stays where the conversation moved to"
        );
    }
    assert_eq!(
        upstream.counts()[&first],
        3,
        "the credential that rests was asked by one replica once"
    );
}
