//! Who may call.

use harness::{CLIENT_KEY, Fixture, Gateway, Upstream};
use serde_json::json;

#[tokio::test]
async fn every_form_of_the_key_is_taken_and_none_goes_upstream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let body = json!({ "model": "m", "messages": [] });
    for (name, value) in [
        ("authorization", format!("Bearer {CLIENT_KEY}")),
        ("authorization", format!("bearer {CLIENT_KEY}")),
        ("x-api-key", CLIENT_KEY.to_owned()),
        ("api-key", CLIENT_KEY.to_owned()),
        ("x-goog-api-key", CLIENT_KEY.to_owned()),
    ] {
        let answer = gateway
            .anonymous()
            .with(name, &value)
            .post("/v1/chat/completions", &body)
            .await;
        assert_eq!(answer.status, 200, "{name}: {value}: {}", answer.text());
    }
    let path = format!("/v1/chat/completions?key={CLIENT_KEY}");
    gateway.anonymous().post(&path, &body).await.expect(200);

    assert_eq!(upstream.count(), 6);
    for seen in upstream.seen() {
        let all = format!(
            "{} {:?} {}",
            seen.path,
            seen.headers,
            String::from_utf8_lossy(&seen.body)
        );
        assert!(!all.contains(CLIENT_KEY), "the client's key went upstream: {all}");
        assert_eq!(seen.credential(), "a");
    }
}

#[tokio::test]
async fn without_a_right_key_nothing_goes_upstream_and_the_error_speaks_the_dialect() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let body = json!({ "model": "m", "messages": [] });
    for client in [
        gateway.anonymous(),
        gateway.client_with("wrong-key-0123456789abcdef"),
        gateway.client_with(""),
        gateway.anonymous().with("authorization", "Basic dXNlcjpwYXNz"),
        gateway.client_with(&CLIENT_KEY[..CLIENT_KEY.len() - 1]),
    ] {
        let error = client.post("/v1/chat/completions", &body).await.openai_error(401);
        assert_eq!(error["code"], "invalid_api_key");
        client.get("/v1/models").await.openai_error(401);
        client
            .post("/v1/messages", &body)
            .await
            .anthropic_error(401, "authentication_error");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn of_two_keys_the_known_one_counts() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    gateway
        .client_with("some-other-token-0123456789")
        .with("x-api-key", CLIENT_KEY)
        .chat("m")
        .await
        .expect(200);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .client("old", "rh-old-key-0123456789abcdef")
        .spec("expiresAt", json!("2024-01-01T00:00:00Z"))
        .client("young", "rh-young-key-0123456789abcdef")
        .spec("expiresAt", json!("2100-01-01T00:00:00Z"));
    let gateway = Gateway::start(fixture).await;
    gateway
        .client_with("rh-old-key-0123456789abcdef")
        .chat("m")
        .await
        .openai_error(401);
    gateway
        .client_with("rh-young-key-0123456789abcdef")
        .chat("m")
        .await
        .expect(200);
}

#[tokio::test]
async fn anonymous_callers_are_served_only_where_it_was_asked_for() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::with(Fixture::pool(&upstream, ["a"]))
        .arguments(&["--allow-anonymous"])
        .start()
        .await;
    gateway.anonymous().chat("m").await.expect(200);
    // A key that is presented must still be right.
    gateway.client().chat("m").await.expect(200);
}

#[tokio::test]
async fn probes_need_no_key() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for (method, path) in [
        ("GET", "/"),
        ("HEAD", "/"),
        ("HEAD", "/api/hello"),
        ("GET", "/health"),
    ] {
        let answer = gateway.anonymous().request(method, path).send().await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    }
    let probe = gateway.client().request("HEAD", "/v1/responses").send().await;
    assert_eq!(probe.status, 200);
}

#[tokio::test]
async fn debug_headers_are_for_keys_that_ask_for_them() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .client("curious", "rh-curious-0123456789abcdef")
        .spec("debugHeaders", json!(true));
    let gateway = Gateway::start(fixture).await;
    let plain = gateway.client().chat("m").await.expect(200);
    assert_eq!(plain.header("x-roundhouse-credential"), "");
    assert_eq!(plain.header("x-roundhouse-attempts"), "");
    let told = gateway
        .client_with("rh-curious-0123456789abcdef")
        .chat("m")
        .await
        .expect(200);
    assert!(
        told.header("x-roundhouse-credential").ends_with('a'),
        "{:?}",
        told.headers
    );
    assert_eq!(told.header("x-roundhouse-attempts"), "1");
}
