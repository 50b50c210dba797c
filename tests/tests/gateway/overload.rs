//! More work than the gateway takes.

use std::time::Duration;

use harness::{Fixture, Gate, Gateway, Reply, Upstream, When, eventually};
use serde_json::json;

#[tokio::test]
async fn beyond_max_in_flight_calls_are_shed_while_health_and_metrics_answer() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.on(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let gateway = Gateway::with(Fixture::pool(&upstream, ["a"]))
        .arguments(&["--max-in-flight", "2"])
        .start()
        .await;
    let calls = [0, 1].map(|_| {
        let client = gateway.client();
        tokio::spawn(async move { client.chat("m").await })
    });
    upstream.until_seen(2).await;
    for _ in 0..3 {
        let answer = gateway.client().chat("m").await;
        answer.openai_error(503);
        answer.retry_after();
    }
    let body = json!({ "model": "m", "max_tokens": 1, "messages": [] });
    let answer = gateway.client().post("/v1/messages", &body).await;
    assert!(matches!(answer.status, 503 | 529), "{}", answer.status);
    assert_eq!(answer.json()["type"], "error");
    gateway.admin().get("/healthz").await.expect(200);
    gateway
        .metrics()
        .await
        .expect("roundhouse_in_flight_requests", &[], 2.0);
    gate.open();
    for call in calls {
        call.await.unwrap().expect(200);
    }
    eventually("it serves again", Duration::from_secs(5), || async {
        (gateway.client().chat("m").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bodies_share_a_bounded_memory() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.on(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let gateway = Gateway::with(Fixture::pool(&upstream, ["a"]))
        .arguments(&["--max-body-memory", "3000000"])
        .start()
        .await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x".repeat(2_000_000) }] });
    let client = gateway.client();
    let sent = body.clone();
    let first = tokio::spawn(async move { client.post("/v1/chat/completions", &sent).await });
    upstream.until_seen(1).await;
    let answer = gateway.client().post("/v1/chat/completions", &body).await;
    answer.openai_error(503);
    answer.retry_after();
    // Small ones still fit.
    let client = gateway.client();
    let small = tokio::spawn(async move { client.chat("m").await });
    upstream.until_seen(2).await;
    gate.open();
    first.await.unwrap().expect(200);
    small.await.unwrap().expect(200);
    eventually("the memory is free again", Duration::from_secs(5), || async {
        let answer = gateway.client().post("/v1/chat/completions", &body).await;
        (answer.status == 200).then_some(())
    })
    .await;
}
