//! Credentials that rest, and how they come back.

use std::time::{Duration, SystemTime};

use harness::{Fixture, Gateway, Reply, Upstream, When, eventually};
use serde_json::json;

#[tokio::test]
async fn retry_after_in_any_form_rests_a_credential_for_that_long() {
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(4));
    let limited = || Reply::error(429, "requests", "rate_limit_exceeded", "Rate limit reached.");
    let forms = [
        ("seconds", limited().header("retry-after", "2")),
        ("fraction", limited().header("retry-after", "1.5")),
        (
            "milliseconds",
            limited()
                .header("retry-after-ms", "1500")
                .header("retry-after", "600"),
        ),
        ("date", limited().header("retry-after", &soon)),
        (
            "reset",
            limited()
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "1s500ms"),
        ),
        (
            "words",
            Reply::error(
                429,
                "requests",
                "rate_limit_exceeded",
                "Rate limit reached. Please try again in 1.5s.",
            ),
        ),
    ];
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::pool(&upstream, []);
    for (form, reply) in &forms {
        fixture = fixture
            .provider(&format!("provider-{form}"), &upstream.url("/v1"), &[form])
            .credential(&format!("provider-{form}"), &format!("{form}-a"))
            .credential(&format!("provider-{form}"), &format!("{form}-b"));
        upstream.once(When::credential(&format!("{form}-a")), reply.clone());
    }
    let gateway = Gateway::start(fixture).await;

    for (form, _) in &forms {
        for _ in 0..4 {
            gateway.client().chat(form).await.expect(200);
        }
        let counts = upstream.counts();
        assert_eq!(
            counts[&format!("{form}-a")],
            1,
            "{form}: it rests after one refusal: {counts:?}"
        );
        assert_eq!(
            counts[&format!("{form}-b")],
            4,
            "{form}: the other serves: {counts:?}"
        );
    }
    for (form, _) in &forms {
        eventually(
            &format!("{form}: the credential is used again"),
            Duration::from_secs(8),
            || async {
                gateway.client().chat(form).await.expect(200);
                (upstream.counts()[&format!("{form}-a")] > 1).then_some(())
            },
        )
        .await;
    }
}

#[tokio::test]
async fn when_all_rest_the_client_learns_when_the_first_is_back() {
    let upstream = Upstream::start().await;
    upstream.on(When::credential("a"), Reply::rate_limited("40"));
    upstream.on(When::credential("b"), Reply::rate_limited("20"));
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b"])).await;
    for round in 0..2 {
        let answer = gateway.client().chat("m").await;
        let error = answer.openai_error(429);
        assert!(
            error["code"].is_string(),
            "a code that a program can read: {error}"
        );
        let seconds = answer.retry_after();
        assert!(
            (15..=20).contains(&seconds),
            "round {round}: retry-after {seconds}, the soonest is 20"
        );
    }
    assert_eq!(upstream.count(), 2, "resting credentials are not asked");
}

#[tokio::test]
async fn an_upstreams_401_is_never_the_clients() {
    let upstream = Upstream::start().await;
    let unauthorized = Reply::error(
        401,
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided.",
    );
    upstream.on(When::credential("a"), unauthorized.clone());
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b"])).await;
    for _ in 0..4 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 1), ("b", 4)]);

    upstream.on(When::credential("b"), unauthorized);
    let answer = gateway.client().chat("m").await;
    assert!(
        matches!(answer.status, 429 | 503),
        "{}: {}",
        answer.status,
        answer.text()
    );
    answer.openai_error(answer.status);
    answer.retry_after();
}

#[tokio::test]
async fn an_account_without_quota_rests_long() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::credential("a"),
        Reply::error(
            429,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota.",
        )
        .header("retry-after", "1"),
    );
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b"])).await;
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    let tried = upstream.counts()["a"];
    assert!(
        tried <= 2,
        "an empty account is asked again only rarely: {tried} times in 2 s"
    );
    let metrics = gateway.metrics().await;
    metrics.expect(
        "roundhouse_rests_total",
        &[("provider", "p"), ("reason", "QuotaExhausted")],
        1.0,
    );
}

#[tokio::test]
async fn error_rules_say_what_the_general_table_does_not_know() {
    let upstream = Upstream::start().await;
    upstream.once(
        When::credential("a"),
        Reply::error(418, "teapot", "short_and_stout", "I am a teapot."),
    );
    upstream.once(
        When::credential("b").body("\"n\""),
        Reply::error(
            400,
            "invalid_request_error",
            "other",
            "This model is having a nap.",
        ),
    );
    let fixture = Fixture::pool(&upstream, ["a", "b"])
        .amend("Provider", "p", "/spec/models", json!([{ "name": "m" }, { "name": "n" }]))
        .amend(
            "Provider",
            "p",
            "/spec/errorRules",
            json!([
                {
                    "match": { "status": 418 }, "fault": "Credential", "scope": "Credential",
                    "rest": { "reason": "RateLimited", "for": "60s" },
                },
                {
                    "match": { "bodyContains": "having a nap" }, "fault": "Credential", "scope": "CredentialAndModel",
                    "rest": { "reason": "ModelUnavailable", "for": "1s" },
                },
            ]),
        );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..4 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 1), ("b", 4)]);
    // Now b naps for the model n only: n has no credential left, m still has b.
    let answer = gateway.client().chat("n").await;
    assert!(
        matches!(answer.status, 429 | 503),
        "{}: {}",
        answer.status,
        answer.text()
    );
    assert!(answer.retry_after() <= 2);
    gateway.client().chat("m").await.expect(200);
    eventually("the nap ends", Duration::from_secs(5), || async {
        (gateway.client().chat("n").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_callers_mistake_rests_nothing_and_is_told_in_the_upstreams_words() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any().body("\"temperature\":9"),
        Reply::error(
            400,
            "invalid_request_error",
            "invalid_value",
            "temperature is above 2",
        ),
    );
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b", "c"])).await;
    for _ in 0..3 {
        let body = json!({ "model": "m", "messages": [], "temperature": 9 });
        let error = gateway
            .client()
            .post("/v1/chat/completions", &body)
            .await
            .openai_error(400);
        assert_eq!(error["message"], "temperature is above 2");
        assert_eq!(error["code"], "invalid_value");
    }
    assert_eq!(upstream.count(), 3, "not retried");
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 2), ("b", 2), ("c", 2)]);
}

#[tokio::test]
async fn a_poison_request_does_not_empty_the_pool() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any().body("poison"),
        Reply::error(403, "forbidden", "never_heard_of", "No."),
    );
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b", "c", "d"])).await;
    for _ in 0..3 {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "poison" }] });
        let answer = gateway.client().post("/v1/chat/completions", &body).await;
        assert!(
            (400..500).contains(&answer.status),
            "{}: {}",
            answer.status,
            answer.text()
        );
        assert_ne!(answer.status, 401);
        answer.openai_error(answer.status);
    }
    assert!(
        upstream.count() <= 6,
        "two credentials are proof enough: {:?}",
        upstream.counts()
    );
    let before = upstream.counts();
    for _ in 0..8 {
        gateway.client().chat("m").await.expect(200);
    }
    for (name, count) in upstream.counts() {
        let earlier = before.get(&name).copied().unwrap_or(0);
        assert!(count > earlier, "{name} is still in use: {:?}", upstream.counts());
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_everybody_is_at_fault_itself() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::error(
            401,
            "invalid_request_error",
            "invalid_api_key",
            "Incorrect API key provided.",
        ),
    );
    let fixture = Fixture::pool(&upstream, ["a", "b", "c", "d"]).amend(
        "Provider",
        "p",
        "/spec/breaker",
        json!({ "consecutiveFailures": 5, "openFor": "1s" }),
    );
    let gateway = Gateway::start(fixture).await;
    for _ in 0..6 {
        let answer = gateway.client().chat("m").await;
        assert!(
            matches!(answer.status, 429 | 502 | 503),
            "{}: {}",
            answer.status,
            answer.text()
        );
    }
    upstream.behave();
    // Keys that are all right do not pay with a minute for the upstream's mistake.
    eventually("the pool serves again", Duration::from_secs(15), || async {
        (gateway.client().chat("m").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_remaining_rests_a_credential_before_it_is_refused() {
    let upstream = Upstream::start().await;
    upstream.once(
        When::credential("a"),
        Reply::json(200, json!({ "choices": [] }))
            .header("x-ratelimit-limit-requests", "10")
            .header("x-ratelimit-remaining-requests", "0")
            .header("x-ratelimit-reset-requests", "2s"),
    );
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b"])).await;
    for _ in 0..4 {
        gateway.client().chat("m").await.expect(200);
    }
    upstream.expect_counts(&[("a", 1), ("b", 3)]);
    eventually("it comes back", Duration::from_secs(6), || async {
        gateway.client().chat("m").await.expect(200);
        (upstream.counts()["a"] > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_secret_ends_a_rest_for_the_old_one() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::credential("a"),
        Reply::error(
            401,
            "invalid_request_error",
            "invalid_api_key",
            "Incorrect API key provided.",
        ),
    );
    let fixture = Fixture::pool(&upstream, ["a"]);
    let gateway = Gateway::start(fixture.clone()).await;
    let answer = gateway.client().chat("m").await;
    assert!(
        matches!(answer.status, 429 | 503),
        "{}: {}",
        answer.status,
        answer.text()
    );
    gateway.apply(&fixture.amend(
        "Secret",
        "a-key",
        "/stringData/api-key",
        json!("sk-new-0123456789abcdef"),
    ));
    eventually("the new key is used", Duration::from_secs(5), || async {
        (gateway.client().chat("m").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(upstream.last().credential(), "new");
}
