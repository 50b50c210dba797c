//! What an upstream's error may tell a client.

use harness::{Fixture, Gateway, Reply, Upstream, When, credential_key};
use serde_json::json;

#[tokio::test]
async fn a_leased_key_in_an_upstreams_error_never_reaches_the_client() {
    let upstream = Upstream::start().await;
    let key = credential_key("a");
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let piece = &key[4..16];
    for status in [400, 403, 404, 422] {
        upstream.once(
            When::any(),
            Reply::json(
                status,
                json!({ "error": {
                    "message": format!("Bad request by {key} ({piece}***) of org-abcdef123456 and user ops@example.com"),
                    "type": "invalid_request_error", "param": key, "code": "invalid_value",
                } }),
            ),
        );
        let answer = gateway.client().chat("m").await;
        let all = format!("{:?} {}", answer.headers, answer.text());
        for secret in [key.as_str(), piece, "org-abcdef123456", "ops@example.com"] {
            assert!(
                !all.contains(secret),
                "{status}: {secret} reached the client: {all}"
            );
        }
    }
}

#[tokio::test]
async fn a_leased_key_in_an_error_frame_never_reaches_the_client() {
    let upstream = Upstream::start().await;
    let key = credential_key("a");
    let error =
        json!({ "error": { "message": format!("oops {key}"), "type": "server_error", "code": null } });
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for reply in [
        Reply::stream().chunk(format!("data: {error}\n\n")).end(),
        Reply::stream()
            .chunk(crate::frames::content("Hel"))
            .chunk(format!("data: {error}\n\n"))
            .end(),
    ] {
        upstream.on(When::any(), reply);
        let answer = gateway.client().chat_stream("m").await.finish().await;
        assert!(!answer.text().contains(&key[3..]), "{}", answer.text());
        upstream.behave();
    }
}

#[tokio::test]
async fn faults_of_the_upstream_and_the_account_are_told_in_our_words() {
    let upstream = Upstream::start().await;
    let marker = "INTERNAL-DETAIL-OF-THE-VENDOR";
    for (status, code) in [
        (500, "oops"),
        (503, "overloaded"),
        (401, "invalid_api_key"),
        (429, "rate_limit_exceeded"),
    ] {
        let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
        upstream.on(When::any(), Reply::error(status, "some_error", code, marker));
        let answer = gateway.client().chat("m").await;
        assert!(answer.status >= 429, "{status}: {}", answer.status);
        assert!(!answer.text().contains(marker), "{status}: {}", answer.text());
        answer.openai_error(answer.status);
        upstream.behave();
    }
}
