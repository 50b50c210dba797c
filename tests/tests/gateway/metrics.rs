//! The contract's metrics, read after real traffic.

use harness::{Fixture, Gateway, Reply, Upstream, When};
use serde_json::json;

use crate::frames::content;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one scrape tells all of it")]
async fn calls_tokens_and_attempts_are_counted_where_the_contract_says() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b"])).await;
    upstream.once(When::credential("a"), Reply::rate_limited("60"));
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    gateway.client().chat_stream("m").await.finish().await.expect(200);
    let body = json!({ "model": "m", "input": "x" });
    gateway.client().post("/v1/embeddings", &body).await.expect(200);
    upstream.once(
        When::any(),
        Reply::error(400, "invalid_request_error", "invalid_value", "no"),
    );
    gateway.client().chat("m").await.expect(400);

    let metrics = gateway
        .metrics_when("six calls", |metrics| {
            metrics.sum("roundhouse_requests_total", &[]) >= 6.0
        })
        .await;
    let chat = [("namespace", "default"), ("provider", "p"), ("operation", "chat")];
    metrics.expect("roundhouse_requests_total", &chat, 5.0);
    metrics.expect(
        "roundhouse_requests_total",
        &[("operation", "embeddings"), ("status", "2xx")],
        1.0,
    );
    metrics.expect(
        "roundhouse_requests_total",
        &[("operation", "chat"), ("status", "2xx")],
        4.0,
    );
    metrics.expect(
        "roundhouse_requests_total",
        &[("operation", "chat"), ("status", "4xx")],
        1.0,
    );
    metrics.expect("roundhouse_requests_total", &[("route", "p/m")], 6.0);
    for (name, labels) in [
        (
            "roundhouse_requests_total",
            vec!["namespace", "operation", "outcome", "provider", "route", "status"],
        ),
        (
            "roundhouse_tokens_total",
            vec!["namespace", "provider", "route", "type"],
        ),
        (
            "roundhouse_client_requests_total",
            vec!["client", "namespace", "outcome"],
        ),
        (
            "roundhouse_client_tokens_total",
            vec!["client", "namespace", "type"],
        ),
        ("roundhouse_attempts_total", vec!["fault", "outcome", "provider"]),
        (
            "roundhouse_credential_requests_total",
            vec!["credential", "namespace"],
        ),
        (
            "roundhouse_credential_tokens_total",
            vec!["credential", "namespace", "type"],
        ),
        ("roundhouse_rests_total", vec!["provider", "reason"]),
        (
            "roundhouse_request_duration_seconds_count",
            vec!["operation", "provider"],
        ),
        (
            "roundhouse_time_to_first_token_seconds_count",
            vec!["operation", "provider"],
        ),
        ("roundhouse_overhead_seconds_count", vec!["operation"]),
    ] {
        assert_eq!(metrics.labels(name), labels, "{name}: {}", metrics.show(name));
    }
    // 4 answers of 11 + 5 tokens and an embedding of 7.
    metrics.expect(
        "roundhouse_tokens_total",
        &[("type", "input"), ("provider", "p")],
        51.0,
    );
    metrics.expect(
        "roundhouse_tokens_total",
        &[("type", "output"), ("provider", "p")],
        20.0,
    );
    metrics.expect("roundhouse_tokens_total", &[("type", "cached")], 12.0);
    metrics.expect("roundhouse_tokens_total", &[("type", "reasoning")], 8.0);
    metrics.expect("roundhouse_client_requests_total", &[("client", "app")], 6.0);
    metrics.expect(
        "roundhouse_client_tokens_total",
        &[("client", "app"), ("type", "output")],
        20.0,
    );
    // The refused attempt counts as an attempt, not as a call.
    metrics.expect("roundhouse_attempts_total", &[("provider", "p")], 7.0);
    metrics.expect("roundhouse_attempts_total", &[("fault", "credential")], 1.0);
    metrics.expect("roundhouse_attempts_total", &[("fault", "caller")], 1.0);
    metrics.expect(
        "roundhouse_rests_total",
        &[("provider", "p"), ("reason", "RateLimited")],
        1.0,
    );
    metrics.expect(
        "roundhouse_credential_resting",
        &[("credential", "a"), ("reason", "RateLimited")],
        1.0,
    );
    metrics.expect(
        "roundhouse_credential_tokens_total",
        &[("type", "output"), ("credential", "b")],
        20.0,
    );
    metrics.expect(
        "roundhouse_request_duration_seconds_count",
        &[("operation", "chat")],
        5.0,
    );
    metrics.expect("roundhouse_credential_ready", &[("credential", "b")], 1.0);
    metrics.expect("roundhouse_in_flight_requests", &[], 0.0);
    metrics.expect("roundhouse_open_streams", &[], 0.0);
    assert!(metrics.sum("roundhouse_overhead_seconds_sum", &[]) < 5.0);
    assert!(
        metrics.has("roundhouse_snapshot_info", &[]),
        "the snapshot is described"
    );
}

#[tokio::test]
async fn gauges_show_what_is_open() {
    let upstream = Upstream::start().await;
    upstream.on(When::any(), Reply::stream().chunk(content("Hello")).hang());
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let mut stream = gateway.client().chat_stream("m").await;
    stream.until("Hello").await;
    let metrics = gateway.metrics().await;
    metrics.expect("roundhouse_in_flight_requests", &[], 1.0);
    metrics.expect("roundhouse_open_streams", &[], 1.0);
    metrics.expect("roundhouse_credential_in_flight", &[("credential", "a")], 1.0);
}

#[tokio::test]
async fn a_clients_words_never_become_labels() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for number in 0..20 {
        gateway
            .client()
            .chat(&format!("made-up-{number}"))
            .await
            .expect(404);
        gateway.client().get(&format!("/v1/made-up-{number}")).await;
        gateway.anonymous().chat("m").await.expect(401);
    }
    let metrics = gateway.metrics().await;
    let named = metrics.text().matches("made-up").count();
    assert_eq!(named, 0, "{}", metrics.show("roundhouse_requests_total"));

    // `provider/model` names a route, so their number has an end.
    for number in 0..250 {
        gateway.client().chat(&format!("p/n{number}")).await.expect(200);
    }
    let metrics = gateway
        .metrics_when("all calls", |metrics| {
            metrics.sum("roundhouse_requests_total", &[("status", "2xx")]) >= 250.0
        })
        .await;
    let routes = metrics.text().matches("roundhouse_requests_total{").count();
    assert!(routes <= 210, "{routes} series");
}

#[tokio::test]
async fn the_text_is_well_formed() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    gateway.client().chat_stream("m").await.finish().await.expect(200);
    let metrics = gateway.metrics().await;
    let text = metrics.text();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        if name.starts_with("roundhouse_") && line.ends_with(" counter") {
            assert!(name.ends_with("_total"), "{name} is a counter");
        }
    }
    let buckets = text
        .lines()
        .filter(|line| {
            line.starts_with("roundhouse_request_duration_seconds_bucket") && line.contains("\"chat\"")
        })
        .count();
    assert!(
        (2..=15).contains(&buckets),
        "at most 14 buckets and +Inf: {buckets}"
    );
    metrics.expect(
        "roundhouse_time_to_first_token_seconds_count",
        &[("operation", "chat")],
        1.0,
    );
}
