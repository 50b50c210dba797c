//! Which credential a call gets.

use harness::{Fixture, Gate, Gateway, Reply, Upstream, When};
use serde_json::json;

#[tokio::test]
async fn nine_calls_over_three_credentials_are_three_each() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b", "c"])).await;
    for _ in 0..9 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 3), ("b", 3), ("c", 3)]);
    let order: Vec<String> = upstream
        .seen()
        .iter()
        .map(|seen| seen.credential().to_owned())
        .collect();
    assert_eq!(order[..3], order[3..6], "the order stays the same: {order:?}");
    assert_eq!(order[..3], order[6..], "the order stays the same: {order:?}");
}

#[tokio::test]
async fn calls_at_the_same_time_are_spread_exactly_too() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b", "c"])).await;
    let calls: Vec<_> = (0..30)
        .map(|number| {
            let client = gateway.client();
            tokio::spawn(async move {
                if number % 2 == 0 {
                    client.chat("m").await.expect(200);
                } else {
                    client.chat_stream("m").await.finish().await.expect(200);
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    upstream.expect_counts(&[("a", 10), ("b", 10), ("c", 10)]);
}

#[tokio::test]
async fn weights_are_kept_exactly() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"])
        .amend("Provider", "p", "/spec/selection/strategy", json!("Weighted"))
        .amend("Credential", "a", "/spec/weight", json!(3));
    let gateway = Gateway::start(fixture).await;
    for _ in 0..8 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 6), ("b", 2)]);
}

#[tokio::test]
async fn fill_first_keeps_to_the_first_until_it_rests() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["b", "a"]).amend(
        "Provider",
        "p",
        "/spec/selection/strategy",
        json!("FillFirst"),
    );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 3)]);
    upstream.on(When::credential("a"), Reply::rate_limited("60"));
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 4), ("b", 3)]);
}

#[tokio::test]
async fn least_busy_avoids_the_busy() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).amend(
        "Provider",
        "p",
        "/spec/selection/strategy",
        json!("LeastBusy"),
    );
    let gateway = Gateway::start(fixture).await;
    let gate = Gate::new();
    upstream.once(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let client = gateway.client();
    let slow = tokio::spawn(async move { client.chat("m").await });
    upstream.until_seen(1).await;
    let busy = upstream.last().credential().to_owned();
    for _ in 0..4 {
        gateway.client().chat("m").await.expect(200);
    }
    gate.open();
    slow.await.unwrap().expect(200);
    assert_eq!(upstream.counts()[&busy], 1, "{:?}", upstream.counts());
}

#[tokio::test]
async fn a_later_tier_waits_until_the_one_before_is_unusable() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "spare"]).amend(
        "Credential",
        "spare",
        "/spec/priority",
        json!(1),
    );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..4 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 2), ("b", 2)]);
    upstream.on(When::credential("a"), Reply::rate_limited("60"));
    upstream.on(When::credential("b"), Reply::rate_limited("60"));
    for _ in 0..4 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 3), ("b", 3), ("spare", 4)]);
}

#[tokio::test]
async fn suspended_credentials_and_those_for_other_models_are_left_alone() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c", "d"])
        .amend(
            "Provider",
            "p",
            "/spec/models",
            json!([{ "name": "m" }, { "name": "n" }]),
        )
        .amend("Credential", "b", "/spec/suspend", json!(true))
        .amend("Credential", "c", "/spec/models/allow", json!(["n*"]))
        .amend("Credential", "d", "/spec/models/deny", json!(["m"]));
    let gateway = Gateway::start(fixture).await;
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 3)]);
    for _ in 0..3 {
        gateway.client().chat("n").await.expect(200);
    }
    upstream.expect_counts(&[("a", 4), ("c", 1), ("d", 1)]);
}
