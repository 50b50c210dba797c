//! Second attempts: when, where, and how often at most.

use std::time::Duration;

use harness::{Fixture, Gateway, Reply, Upstream, When};
use serde_json::{Value, json};

/// Two Providers at one upstream: `p` with credential a, `q` with credential b; the route `r` falls back from p to q.
fn two(upstream: &Upstream) -> Fixture {
    Fixture::pool(upstream, ["a"])
        .provider("q", &upstream.url("/v1"), &[])
        .credential("q", "b")
        .route("r", &["r"], targets())
}

fn targets() -> Value {
    json!([
        { "providerRef": { "name": "p" }, "model": "m" },
        { "providerRef": { "name": "q" }, "model": "other", "priority": 1 },
    ])
}

fn server_error() -> Reply {
    Reply::error(500, "server_error", "oops", "The server had an error.")
}

#[tokio::test]
async fn a_failed_target_hands_over_to_the_next_priority() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(two(&upstream)).await;
    gateway.client().chat("r").await.expect(200);
    upstream.expect_counts(&[("a", 1)]);
    for reply in [
        server_error(),
        Reply::status(503),
        Reply::rate_limited("1"),
        Reply::error(401, "invalid_request_error", "invalid_api_key", "no"),
        Reply::refuse(),
    ] {
        upstream.on(When::credential("a"), reply.clone());
        gateway.client().chat("r").await.expect(200);
        let last = upstream.last();
        assert_eq!(
            (last.credential(), last.json()["model"].as_str()),
            ("b", Some("other")),
            "{reply:?}"
        );
        upstream.behave();
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_hands_over_too() {
    let upstream = Upstream::start().await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let fixture = two(&upstream).amend("Provider", "p", "/spec/url", json!(format!("http://{closed}/v1")));
    let gateway = Gateway::start(fixture).await;
    gateway.client().chat("r").await.expect(200);
    upstream.expect_counts(&[("b", 1)]);
}

#[tokio::test]
async fn a_silent_target_is_left_after_its_first_byte_timeout() {
    let upstream = Upstream::start().await;
    upstream.on(When::credential("a"), Reply::silence());
    let fixture = two(&upstream).amend("Provider", "p", "/spec/timeouts", json!({ "firstByte": "300ms" }));
    let gateway = Gateway::start(fixture).await;
    let answer = gateway.client().chat_stream("r").await.finish().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    upstream.expect_counts(&[("a", 1), ("b", 1)]);
    upstream.until_gone().await;
}

#[tokio::test]
async fn attempts_are_bounded() {
    let upstream = Upstream::start().await;
    upstream.on(When::any(), server_error());
    let fixture = Fixture::pool(&upstream, ["a", "b", "c", "d"])
        .route(
            "r",
            &["r"],
            json!([{ "providerRef": { "name": "p" }, "model": "m" }]),
        )
        .spec("retry", json!({ "attempts": 2 }));
    let gateway = Gateway::start(fixture).await;
    let answer = gateway.client().chat("r").await;
    assert!(matches!(answer.status, 500 | 502 | 503), "{}", answer.status);
    assert!(
        upstream.count() <= 2,
        "{} attempts of at most 2",
        upstream.count()
    );
}

#[tokio::test]
async fn retries_stop_when_their_budget_is_spent() {
    let upstream = Upstream::start().await;
    upstream.on(When::any(), server_error());
    let fixture = two(&upstream)
        .spec("retry", json!({ "attempts": 2, "budgetPercent": 10 }))
        .amend(
            "Provider",
            "p",
            "/spec/breaker",
            json!({ "consecutiveFailures": 1000 }),
        )
        .amend(
            "Provider",
            "q",
            "/spec/breaker",
            json!({ "consecutiveFailures": 1000 }),
        );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..60 {
        gateway.client().chat("r").await;
    }
    // Without a budget it would be 120. A floor for rare callers is fine.
    assert!(
        upstream.count() < 90,
        "{} attempts for 60 calls",
        upstream.count()
    );
}

#[tokio::test]
async fn a_context_that_is_too_long_falls_back_only_where_asked() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::credential("a"),
        Reply::error(
            400,
            "invalid_request_error",
            "context_length_exceeded",
            "This model's maximum context length is 8 tokens.",
        ),
    );
    let fixture = two(&upstream)
        .route("s", &["s"], targets())
        .spec("fallbackOn", json!(["ContextTooLong"]));
    let gateway = Gateway::start(fixture).await;
    let error = gateway.client().chat("r").await.openai_error(400);
    assert_eq!(error["code"], "context_length_exceeded");
    upstream.expect_counts(&[("a", 1)]);
    gateway.client().chat("s").await.expect(200);
    upstream.expect_counts(&[("a", 2), ("b", 1)]);
}

#[tokio::test]
async fn a_model_that_the_upstream_lacks_falls_back_only_where_asked() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::credential("a"),
        Reply::error(
            404,
            "invalid_request_error",
            "model_not_found",
            "The model `m` does not exist.",
        ),
    );
    let fixture = two(&upstream)
        .route("s", &["s"], targets())
        .spec("fallbackOn", json!(["ModelNotFound"]));
    let gateway = Gateway::start(fixture).await;
    let answer = gateway.client().chat("r").await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let answer = gateway.client().chat("s").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.last().credential(), "b");
}

#[tokio::test]
async fn targets_of_one_priority_share_by_weight() {
    let upstream = Upstream::start().await;
    let fixture = two(&upstream).route(
        "s",
        &["s"],
        json!([
            { "providerRef": { "name": "p" }, "model": "m", "weight": 3 },
            { "providerRef": { "name": "q" }, "model": "other", "weight": 1 },
        ]),
    );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..80 {
        gateway.client().chat("s").await.expect(200);
    }
    let share = upstream.counts()["a"];
    assert!((45..=75).contains(&share), "60 of 80 expected, it were {share}");
}

#[tokio::test]
async fn a_selector_narrows_the_credentials_of_a_target() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"])
        .amend("Credential", "b", "/metadata/labels", json!({ "tier": "gold" }))
        .route(
            "r",
            &["r"],
            json!([{ "providerRef": { "name": "p" }, "model": "m", "credentialSelector": { "matchLabels": { "tier": "gold" } } }]),
        );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..3 {
        gateway.client().chat("r").await.expect(200);
    }
    upstream.expect_counts(&[("b", 3)]);
}

#[tokio::test]
async fn a_pooled_connection_that_died_is_not_an_error() {
    let upstream = Upstream::start().await;
    upstream.on(When::any().reused(true), Reply::refuse());
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for _ in 0..4 {
        gateway.client().chat("m").await.expect(200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fresh = upstream.seen().iter().filter(|seen| !seen.reused).count();
    assert_eq!(fresh, 4, "each call was served on a fresh connection after all");
}
