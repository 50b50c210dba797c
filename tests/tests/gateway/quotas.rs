//! What accounts and callers may use within longer periods.

use harness::{Fixture, Gateway, Reply, Upstream, When};
use serde_json::{Value, json};

fn with_quota(fixture: Fixture, credential: &str, window: &Value) -> Fixture {
    fixture.amend(
        "Credential",
        credential,
        "/spec/quota",
        json!({ "windows": [window] }),
    )
}

#[tokio::test]
async fn an_account_is_left_alone_when_its_window_is_used_up() {
    let upstream = Upstream::start().await;
    let window = |requests: u32| json!({ "name": "five-hours", "duration": "5h", "requests": requests });
    let fixture = with_quota(Fixture::pool(&upstream, ["a", "b"]), "a", &window(2));
    let gateway = Gateway::start(with_quota(fixture, "b", &window(4))).await;
    for _ in 0..6 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 2), ("b", 4)]);
    let answer = gateway.client().chat("m").await;
    assert_eq!(answer.openai_error(429)["code"], "credentials_exhausted");
    let hours = 4 * 3600..=5 * 3600;
    assert!(hours.contains(&answer.retry_after()), "{}", answer.retry_after());
    assert_eq!(upstream.count(), 6, "nobody was asked");
}

#[tokio::test]
async fn a_window_without_numbers_says_when_a_quota_comes_back() {
    let upstream = Upstream::start().await;
    let window = json!({ "name": "two-days", "duration": "48h" });
    let fixture = with_quota(Fixture::pool(&upstream, ["a"]), "a", &window);
    let gateway = Gateway::start(fixture).await;
    gateway.client().chat("m").await.expect(200);
    upstream.on(
        When::any(),
        Reply::error(
            429,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota.",
        ),
    );
    gateway.client().chat("m").await.openai_error(429);
    let answer = gateway.client().chat("m").await;
    answer.openai_error(429);
    let days = 47 * 3600..=48 * 3600;
    assert!(days.contains(&answer.retry_after()), "{}", answer.retry_after());
}

#[tokio::test]
async fn a_budget_closes_its_client_alone() {
    const OTHER: &str = "another-client-key-of-the-tests";
    let upstream = Upstream::start().await;
    // An answer of the upstream has 16 tokens.
    let fixture = Fixture::pool(&upstream, ["a"]).client("other", OTHER).amend(
        "ClientKey",
        "app",
        "/spec/budgets",
        json!([{ "name": "monthly", "calendar": { "unit": "Month", "timeZone": "Asia/Shanghai" }, "tokens": 30 }]),
    );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..2 {
        gateway.client().chat("m").await.expect(200);
    }
    let answer = gateway.client().chat("m").await;
    assert_eq!(answer.openai_error(429)["code"], "insufficient_quota");
    let month = 1..=31 * 24 * 3600;
    assert!(month.contains(&answer.retry_after()), "{}", answer.retry_after());
    gateway.client_with(OTHER).chat("m").await.expect(200);
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn who_has_most_headroom_by_its_own_word_is_asked() {
    let upstream = Upstream::start().await;
    let says = |remaining: &str| {
        Reply::json(200, json!({ "choices": [] }))
            .header("x-ratelimit-limit-tokens", "1000")
            .header("x-ratelimit-remaining-tokens", remaining)
            .header("x-ratelimit-reset-tokens", "1h")
    };
    upstream.on(When::credential("a"), says("100"));
    upstream.on(When::credential("b"), says("900"));
    upstream.on(When::credential("c"), says("500"));
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]).amend(
        "Provider",
        "p",
        "/spec/selection/strategy",
        json!("MostHeadroom"),
    );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..8 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 1), ("b", 6), ("c", 1)]);
}
