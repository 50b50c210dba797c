//! What keeps a conversation on one credential.

use std::collections::BTreeSet;

use harness::{Fixture, Gateway, Reply, Upstream, When};
use serde_json::{Value, json};

async fn start(upstream: &Upstream, affinity: Value) -> Gateway {
    let fixture =
        Fixture::pool(upstream, ["a", "b", "c"]).amend("Provider", "p", "/spec/selection/affinity", affinity);
    Gateway::start(fixture).await
}

fn used(upstream: &Upstream, from: usize) -> BTreeSet<String> {
    upstream.seen()[from..]
        .iter()
        .map(|seen| seen.credential().to_owned())
        .collect()
}

#[tokio::test]
async fn a_conversation_stays_and_others_are_spread() {
    let upstream = Upstream::start().await;
    for (affinity, body) in [
        (json!({ "by": "Session" }), json!({ "prompt_cache_key": "S" })),
        (json!({ "by": "User" }), json!({ "user": "S" })),
        (json!({ "by": "User" }), json!({ "safety_identifier": "S" })),
    ] {
        let gateway = start(&upstream, affinity.clone()).await;
        let from = upstream.count();
        let mut call = json!({ "model": "m", "messages": [] });
        for (name, value) in body.as_object().unwrap() {
            call[name] = value.clone();
        }
        for _ in 0..4 {
            gateway
                .client()
                .post("/v1/chat/completions", &call)
                .await
                .expect(200);
            // Others in between do not move it.
            gateway.client().chat("m").await.expect(200);
        }
        let sticky: BTreeSet<_> = upstream.seen()[from..]
            .iter()
            .step_by(2)
            .map(|seen| seen.credential().to_owned())
            .collect();
        assert_eq!(sticky.len(), 1, "{affinity} {body}: {sticky:?}");
        assert_eq!(
            used(&upstream, from).len(),
            3,
            "{affinity}: the others are spread"
        );
    }
}

#[tokio::test]
async fn a_header_can_name_the_conversation() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream, json!({ "by": "Header", "header": "x-conversation" })).await;
    for _ in 0..4 {
        gateway
            .client()
            .with("x-conversation", "one")
            .chat("m")
            .await
            .expect(200);
    }
    assert_eq!(used(&upstream, 0).len(), 1);
}

#[tokio::test]
async fn the_beginning_of_a_conversation_can_name_it() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream, json!({ "by": "Prefix" })).await;
    let opening = [
        json!({ "role": "system", "content": "You are a lamp." }),
        json!({ "role": "user", "content": "Shine." }),
    ];
    let mut messages = opening.to_vec();
    for turn in 0..4 {
        let body = json!({ "model": "m", "messages": messages });
        gateway
            .client()
            .post("/v1/chat/completions", &body)
            .await
            .expect(200);
        messages.push(json!({ "role": "user", "content": format!("Turn {turn}.") }));
    }
    assert_eq!(used(&upstream, 0).len(), 1);
}

#[tokio::test]
async fn a_conversation_moves_on_when_its_credential_rests() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream, json!({ "by": "Header", "header": "x-conversation" })).await;
    let client = gateway.client().with("x-conversation", "one");
    client.chat("m").await.expect(200);
    let first = upstream.last().credential().to_owned();
    upstream.on(When::credential(&first), Reply::rate_limited("60"));
    client.chat("m").await.expect(200);
    let second = upstream.last().credential().to_owned();
    assert_ne!(first, second);
    client.chat("m").await.expect(200);
    assert_eq!(
        upstream.last().credential(),
        second,
        "and stays where it moved to"
    );
}
