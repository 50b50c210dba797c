//! What is in Redis goes by itself, and callers cannot fill it with names.

use std::time::Duration;

use harness::{Fixture, Redis, Replicas, Reply, Stored, Upstream, When};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

/// Longer than gateways take to renew what is theirs.
const RENEWED: Duration = Duration::from_secs(15);

/// Keys that stay for ever.
fn staying(contents: &[Stored]) -> Vec<&str> {
    let staying = contents.iter().filter(|stored| stored.expires_in.is_none());
    staying.map(|stored| stored.key.as_str()).collect()
}

/// Limits of everything that can have some, conversations, and a refusal that is for one model.
fn fixture(upstream: &Upstream) -> Fixture {
    let windows =
        json!([{ "name": "five-hours", "duration": "5h", "requests": 100_000, "tokens": 9_000_000 }]);
    let limits = json!({ "concurrency": 200, "requestsPerMinute": 50_000, "tokensPerMinute": 9_000_000 });
    let mut fixture =
        Fixture::pool(upstream, ["a", "b"]).amend("ClientKey", "app", "/spec/limits", limits.clone());
    for name in ["a", "b"] {
        fixture = fixture
            .amend("Credential", name, "/spec/limits", limits.clone())
            .amend("Credential", name, "/spec/quota", json!({ "windows": windows }));
    }
    fixture
        .amend("ClientKey", "app", "/spec/budgets", windows)
        .amend(
            "Provider",
            "p",
            "/spec/selection",
            json!({ "strategy": "MostHeadroom", "affinity": { "by": "Header", "header": "x-conversation" } }),
        )
        .amend(
            "Provider",
            "p",
            "/spec/errorRules",
            json!([{
                "match": { "bodyContains": "having a nap" }, "fault": "Credential", "scope": "CredentialAndModel",
                "rest": { "reason": "ModelUnavailable", "for": "600s" },
            }]),
        )
        .provider("plain", &upstream.url("/v1"), &["plain-m"])
        .credential("plain", "c")
        .admin()
}

/// Calls `count` models of `p` that nobody has heard of, as many as are wanted by the same caller at once.
async fn call_models(replicas: &Replicas, prefix: &str, count: usize) {
    let mut calls = JoinSet::new();
    for number in 0..count {
        let client = replicas.client(number);
        let model = format!("p/{prefix}-{number}");
        calls.spawn(async move { client.chat(&model).await.status });
        if calls.len() >= 32 {
            calls.join_next().await;
        }
    }
    calls.join_all().await;
}

#[tokio::test]
async fn every_key_goes_by_itself() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(
        When::any().body("tired"),
        Reply::error(400, "x", "y", "having a nap"),
    );
    let mut replicas = Replicas::start_patient(3, &redis.arguments(), &fixture(&upstream)).await;
    for turn in 0..12 {
        let client = replicas
            .client(turn)
            .with("x-conversation", &format!("{}", turn % 4));
        client.chat("m").await.expect(200);
        client.chat("plain-m").await.expect(200);
        client.chat_stream("m").await.finish().await.expect(200);
        let body = json!({ "model": "m", "input": "x" });
        client.post("/v1/responses", &body).await.expect(200);
    }
    call_models(&replicas, "tired", 6).await;
    upstream.once(When::any(), Reply::rate_limited("60"));
    upstream.once(
        When::any(),
        Reply::error(401, "x", "invalid_api_key", "Incorrect API key."),
    );
    for turn in 0..6 {
        replicas.client(turn).chat("m").await;
    }
    // One dies with a call that is under way; its keys are no exception.
    upstream.once(When::any(), Reply::silence());
    let client = replicas.client(2);
    let seen = upstream.count();
    let held = tokio::spawn(async move { client.chat_request("plain-m").attempt().await });
    upstream.until_seen(seen + 1).await;
    replicas.kill(2);
    assert!(held.await.unwrap().is_err());
    let contents = redis.contents().await;
    assert!(contents.len() > 20, "something is there: {contents:#?}");
    let deadline = Instant::now() + RENEWED;
    while !staying(&redis.contents().await).is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let contents = redis.contents().await;
    assert_eq!(staying(&contents), [""; 0], "keys that stay for ever");
}

/// Parts of a key's value that begin with `prefix`.
fn parts(contents: &[Stored], key: &str, prefix: &str) -> usize {
    let parts = contents.iter().filter(|stored| stored.key == key);
    parts
        .flat_map(|stored| &stored.parts)
        .filter(|part| part.starts_with(prefix))
        .count()
}

#[tokio::test]
async fn models_that_callers_make_up_do_not_pile_up() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    upstream.on(
        When::any().body("tired"),
        Reply::error(400, "x", "y", "having a nap"),
    );
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture(&upstream)).await;
    call_models(&replicas, "tired", 500).await;
    call_models(&replicas, "made-up", 900).await;
    replicas.until_settled("p").await;
    let contents = redis.contents().await;
    for account in ["a", "b"] {
        let models = parts(
            &contents,
            &format!("roundhouse:{{p:default/p}}:a:{account}"),
            "m:",
        );
        assert!(
            (1..=256).contains(&models),
            "{account}: models that rest are remembered, and not all; found {models}"
        );
    }
    let lanes = contents
        .iter()
        .filter(|stored| stored.key.contains("{p:default/p}:l:"))
        .count();
    assert!(
        (2..=256).contains(&lanes),
        "orders of models that nobody asks for any more go; found {lanes}"
    );
    let counted = contents
        .iter()
        .filter(|stored| stored.key.contains("{usage}:"))
        .map(|stored| parts(&contents, &stored.key, "model|"))
        .max();
    assert!(
        (2..=1001).contains(&counted.unwrap_or(0)),
        "models are counted by name, and not all; found {counted:?}"
    );
    let size: usize = contents
        .iter()
        .flat_map(|stored| &stored.parts)
        .map(String::len)
        .sum();
    assert!(size < 2 << 20, "all together is little; found {size} bytes");
}
