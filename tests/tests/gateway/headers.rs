//! Which headers pass, in both directions, and request ids.

use harness::{Fixture, Gateway, Upstream};
use serde_json::json;

#[tokio::test]
async fn only_what_an_upstream_needs_goes_upstream() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .secret("extra", &[("value", "from-a-secret")])
        .amend(
            "Provider",
            "p",
            "/spec/headers",
            json!([
                { "name": "x-literal", "value": "written" },
                { "name": "x-secret", "valueFrom": { "secretKeyRef": { "name": "extra", "key": "value" } } },
            ]),
        );
    let gateway = Gateway::start(fixture).await;
    let blocked = [
        ("cookie", "session=secret"),
        ("proxy-authorization", "Basic eDp5"),
        ("x-forwarded-for", "10.1.2.3"),
        ("forwarded", "for=10.1.2.3"),
        ("openai-organization", "org-of-the-client"),
        ("openai-project", "proj-of-the-client"),
        ("x-anything-else", "private"),
        ("te", "trailers"),
        ("x-literal", "from-the-client"),
    ];
    let mut request = gateway
        .client()
        .request("POST", "/v1/chat/completions")
        .json(&json!({ "model": "m", "messages": [] }))
        .header("openai-beta", "assistants=v2")
        .header("idempotency-key", "once")
        .header("accept", "application/json")
        .header("user-agent", "client/1.0");
    for (name, value) in blocked {
        request = request.header(name, value);
    }
    request.send().await.expect(200);
    let seen = upstream.last();
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("openai-beta"), "assistants=v2");
    assert_eq!(seen.header("idempotency-key"), "once");
    assert_eq!(seen.header("host"), upstream.address().to_string());
    assert_eq!(seen.header("x-literal"), "written");
    assert_eq!(seen.header("x-secret"), "from-a-secret");
    assert_eq!(seen.header("transfer-encoding"), "", "a whole body has a length");
    for (name, value) in blocked {
        assert!(
            !seen
                .headers
                .iter()
                .any(|(header, sent)| header == name && sent.contains(value)),
            "{name} went upstream: {:?}",
            seen.headers
        );
    }
}

#[tokio::test]
async fn what_tells_of_the_account_does_not_reach_the_client() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for answer in [
        gateway.client().chat("m").await.expect(200),
        gateway.client().chat_stream("m").await.finish().await.expect(200),
    ] {
        for name in [
            "set-cookie",
            "openai-organization",
            "x-ratelimit-remaining-requests",
            "openai-project",
        ] {
            assert_eq!(answer.header(name), "", "{name} reached the client");
        }
        assert_ne!(
            answer.header("x-request-id"),
            "upstream-request-id",
            "the id is ours"
        );
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn a_clients_request_id_is_kept_when_it_is_harmless() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let long = "x".repeat(64);
    for kept in ["my-id_1.2", long.as_str()] {
        let answer = gateway.client().with("x-request-id", kept).chat("m").await;
        assert_eq!(answer.header("x-request-id"), kept);
    }
    let longer = "x".repeat(65);
    for replaced in [
        "",
        "with space",
        "semi;colon",
        "new\tline",
        longer.as_str(),
        "slash/",
    ] {
        let answer = gateway.client().with("x-request-id", replaced).chat("m").await;
        let id = answer.header("x-request-id");
        assert!(!id.is_empty() && id != replaced, "{replaced:?} became {id:?}");
    }
    let ids = [gateway.client().chat("m").await, gateway.client().chat("m").await];
    assert_ne!(
        ids[0].header("x-request-id"),
        ids[1].header("x-request-id"),
        "each call has its own"
    );
    for answer in [
        gateway.anonymous().get("/v1/models").await,
        gateway.client().get("/nothing").await,
        gateway.client().chat("nothing").await,
    ] {
        assert!(
            !answer.header("x-request-id").is_empty(),
            "{}: {:?}",
            answer.status,
            answer.headers
        );
    }
}

#[tokio::test]
async fn anthropics_routes_carry_both_ids() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::anthropic(&upstream, ["a"])).await;
    let body = json!({ "model": "claude-m", "max_tokens": 9, "messages": [] });
    let answer = gateway
        .client()
        .with("x-request-id", "mine")
        .post("/v1/messages", &body)
        .await
        .expect(200);
    assert_eq!(answer.header("request-id"), "mine");
    assert_eq!(answer.header("x-request-id"), "mine");
}
