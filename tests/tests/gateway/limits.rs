//! What a caller, a credential and a Provider may use at most.

use std::time::{Duration, Instant};

use harness::{Answer, Client, Fixture, Gate, Gateway, Reply, Upstream, When};
use serde_json::json;
use tokio::task::JoinHandle;

/// Starts a call that hangs until the gate opens.
async fn occupy(upstream: &Upstream, client: Client, gate: &Gate) -> JoinHandle<Answer> {
    let before = upstream.count();
    upstream.once(
        When::any(),
        Reply::json(200, json!({ "choices": [] })).behind(gate),
    );
    let call = tokio::spawn(async move { client.chat("m").await });
    upstream.until_seen(before + 1).await;
    call
}

#[tokio::test]
async fn a_client_has_so_many_calls_at_once() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .spec("limits", json!({ "concurrency": 1 }))
        .client("other", "rh-other-key-0123456789abcdef");
    let gateway = Gateway::start(fixture).await;
    let gate = Gate::new();
    let first = occupy(&upstream, gateway.client(), &gate).await;
    let answer = gateway.client().chat("m").await;
    let error = answer.openai_error(429);
    assert!(error["code"].is_string(), "{error}");
    answer.retry_after();
    gateway
        .client_with("rh-other-key-0123456789abcdef")
        .chat("m")
        .await
        .expect(200);
    gate.open();
    first.await.unwrap().expect(200);
    let started = Instant::now();
    while gateway.client().chat("m").await.status != 200 {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "the place is free again"
        );
    }
}

#[tokio::test]
async fn a_stream_holds_its_place_until_it_ends() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.once(
        When::any(),
        Reply::stream()
            .chunk(crate::frames::content("Hello"))
            .until(&gate)
            .chunk(crate::frames::finish())
            .chunk(crate::frames::DONE)
            .end(),
    );
    let fixture = Fixture::pool(&upstream, ["a"]).spec("limits", json!({ "concurrency": 1 }));
    let gateway = Gateway::start(fixture).await;
    let mut stream = gateway.client().chat_stream("m").await;
    stream.until("Hello").await;
    gateway.client().chat("m").await.openai_error(429);
    gate.open();
    stream.finish().await.expect(200);
    let started = Instant::now();
    while gateway.client().chat("m").await.status != 200 {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "the place is free again"
        );
    }
}

#[tokio::test]
async fn requests_per_minute_are_counted_exactly() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).spec("limits", json!({ "requestsPerMinute": 3 }));
    let gateway = Gateway::start(fixture).await;
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    for _ in 0..3 {
        let answer = gateway.client().chat("m").await;
        let error = answer.openai_error(429);
        assert!(
            error["code"].is_string(),
            "a code that a program can read: {error}"
        );
        assert!(
            (50..=61).contains(&answer.retry_after()),
            "{}",
            answer.retry_after()
        );
    }
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn tokens_per_minute_close_a_client() {
    let upstream = Upstream::start().await;
    // An answer of the upstream has 16 tokens.
    let fixture = Fixture::pool(&upstream, ["a"]).spec("limits", json!({ "tokensPerMinute": 40 }));
    let gateway = Gateway::start(fixture).await;
    let mut served = 0;
    let refused = loop {
        let answer = gateway.client().chat("m").await;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 10, "40 tokens a minute admit no 10 calls of 16");
        // Settling is a moment later than the last byte.
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    refused.openai_error(429);
    refused.retry_after();
    assert!(
        (2..=3).contains(&served),
        "48 is the first sum above 40; served {served}"
    );
}

#[tokio::test]
async fn tokens_of_streams_count_too() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).spec("limits", json!({ "tokensPerMinute": 10 }));
    let gateway = Gateway::start(fixture).await;
    gateway.client().chat_stream("m").await.finish().await.expect(200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.client().chat("m").await.openai_error(429);
}

#[tokio::test]
async fn limits_speak_anthropic_on_its_routes() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::anthropic(&upstream, ["a"]).spec("limits", json!({ "requestsPerMinute": 1 }));
    let gateway = Gateway::start(fixture).await;
    let body = json!({ "model": "claude-m", "max_tokens": 9, "messages": [] });
    gateway.client().post("/v1/messages", &body).await.expect(200);
    let answer = gateway.client().post("/v1/messages", &body).await;
    answer.anthropic_error(429, "rate_limit_error");
    answer.retry_after();
}

#[tokio::test]
async fn a_full_credential_is_waited_for() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .amend("Credential", "a", "/spec/limits", json!({ "concurrency": 1 }))
        .amend("Provider", "p", "/spec/selection/maxWait", json!("10s"));
    let gateway = Gateway::start(fixture).await;
    let gate = Gate::new();
    let first = occupy(&upstream, gateway.client(), &gate).await;
    let client = gateway.client();
    let second = tokio::spawn(async move { client.chat("m").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(upstream.count(), 1, "the second waits for the first");
    gate.open();
    first.await.unwrap().expect(200);
    second.await.unwrap().expect(200);
}

#[tokio::test]
async fn waiting_ends_after_max_wait() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .amend("Credential", "a", "/spec/limits", json!({ "concurrency": 1 }))
        .amend("Provider", "p", "/spec/selection/maxWait", json!("300ms"));
    let gateway = Gateway::start(fixture).await;
    let gate = Gate::new();
    let first = occupy(&upstream, gateway.client(), &gate).await;
    let started = Instant::now();
    let answer = gateway.client().chat("m").await;
    let waited = started.elapsed();
    answer.openai_error(429);
    answer.retry_after();
    assert!(
        waited >= Duration::from_millis(250),
        "gave up after {waited:?} already"
    );
    assert!(waited < Duration::from_secs(5), "gave up only after {waited:?}");
    gate.open();
    first.await.unwrap().expect(200);
}

#[tokio::test]
async fn a_credential_that_is_full_or_used_up_is_passed_over() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).amend(
        "Credential",
        "a",
        "/spec/limits",
        json!({ "requestsPerMinute": 2 }),
    );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..8 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 2), ("b", 6)]);

    let other = Upstream::start().await;
    let fixture = Fixture::pool(&other, ["a", "b"]).amend(
        "Credential",
        "a",
        "/spec/limits",
        json!({ "concurrency": 1 }),
    );
    let gateway = Gateway::start(fixture).await;
    let gate = Gate::new();
    other.on(
        When::credential("a"),
        Reply::json(200, json!({ "choices": [] })).behind(&gate),
    );
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let client = gateway.client();
            tokio::spawn(async move { client.chat("m").await })
        })
        .collect();
    other.until_seen(6).await;
    other.expect_counts(&[("a", 1), ("b", 5)]);
    gate.open();
    for call in calls {
        call.await.unwrap().expect(200);
    }
}

#[tokio::test]
async fn a_provider_has_so_many_calls_at_once() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"])
        .amend("Provider", "p", "/spec/limits", json!({ "concurrency": 2 }))
        .amend("Provider", "p", "/spec/selection/maxWait", json!("100ms"));
    let gateway = Gateway::start(fixture).await;
    let gate = Gate::new();
    let first = occupy(&upstream, gateway.client(), &gate).await;
    let second = occupy(&upstream, gateway.client(), &gate).await;
    let answer = gateway.client().chat("m").await;
    assert!(
        matches!(answer.status, 429 | 503),
        "{}: {}",
        answer.status,
        answer.text()
    );
    answer.retry_after();
    gate.open();
    first.await.unwrap().expect(200);
    second.await.unwrap().expect(200);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let upstream = Upstream::start().await;
    upstream.once(When::any(), Reply::silence());
    let fixture = Fixture::pool(&upstream, ["a"])
        .spec("limits", json!({ "concurrency": 1 }))
        .amend("Credential", "a", "/spec/limits", json!({ "concurrency": 1 }));
    let gateway = Gateway::start(fixture).await;
    let client = gateway.client();
    let call = tokio::spawn(async move { client.chat("m").await });
    upstream.until_seen(1).await;
    call.abort();
    upstream.until_gone().await;
    let started = Instant::now();
    while gateway.client().chat("m").await.status != 200 {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "both places are free again"
        );
    }
}
