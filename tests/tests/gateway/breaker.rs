//! Endpoints that fail are left alone for a while.

use std::time::Duration;

use harness::{Fixture, Gate, Gateway, Reply, Upstream, When, eventually};
use serde_json::json;

fn fixture(upstream: &Upstream) -> Fixture {
    Fixture::pool(upstream, ["a", "b"])
        .amend(
            "Provider",
            "p",
            "/spec/breaker",
            json!({ "consecutiveFailures": 3, "openFor": "2s" }),
        )
        .route(
            "r",
            &["r"],
            json!([{ "providerRef": { "name": "p" }, "model": "m" }]),
        )
        .spec("retry", json!({ "attempts": 1 }))
}

#[tokio::test]
async fn a_failing_endpoint_is_left_alone_and_probed_later() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::error(500, "server_error", "oops", "The server had an error."),
    );
    let gateway = Gateway::start(fixture(&upstream)).await;
    for _ in 0..3 {
        let answer = gateway.client().chat("r").await;
        assert!(
            matches!(answer.status, 502 | 503),
            "{}: {}",
            answer.status,
            answer.text()
        );
        answer.openai_error(answer.status);
    }
    assert_eq!(upstream.count(), 3);
    let answer = gateway.client().chat("r").await;
    answer.openai_error(503);
    assert!(answer.retry_after() <= 2);
    assert_eq!(upstream.count(), 3, "an open breaker sends nothing");

    upstream.behave();
    let gate = Gate::new();
    upstream.once(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let client = gateway.client();
    let probe = tokio::spawn(async move { client.chat("r").await });
    upstream.until_seen(4).await;
    gateway.client().chat("r").await.openai_error(503);
    assert_eq!(upstream.count(), 4, "one probe at a time");
    gate.open();
    probe.await.unwrap().expect(200);
    eventually("the breaker closes", Duration::from_secs(5), || async {
        (gateway.client().chat("r").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_success_in_between_keeps_it_closed() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream)).await;
    for _ in 0..3 {
        upstream.times(2, When::any(), Reply::status(503));
        for _ in 0..2 {
            let answer = gateway.client().chat("r").await;
            assert!(matches!(answer.status, 502 | 503), "{}", answer.status);
        }
        gateway.client().chat("r").await.expect(200);
    }
    assert_eq!(upstream.count(), 9);
}

#[tokio::test]
async fn refusals_of_single_credentials_do_not_open_it() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream)).await;
    for _ in 0..4 {
        upstream.once(
            When::any(),
            Reply::error(400, "invalid_request_error", "invalid_value", "no"),
        );
        gateway.client().chat("r").await.openai_error(400);
    }
    gateway.client().chat("r").await.expect(200);
}
