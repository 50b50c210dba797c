//! Azure's shapes, on both sides.

use harness::{CLIENT_KEY, Fixture, Gateway, Upstream, credential_key};
use serde_json::{Value, json};

fn fixture(upstream: &Upstream, path: &str, azure: Value) -> Fixture {
    Fixture::new()
        .provider("az", &upstream.url(path), &[])
        .spec("azure", azure)
        .spec("auth", json!({ "type": "Header", "header": "api-key" }))
        .spec(
            "models",
            json!([{ "name": "m", "upstreamName": "my-deployment" }]),
        )
        .credential("az", "a")
        .client("app", CLIENT_KEY)
}

#[tokio::test]
async fn deployments_are_named_in_the_path() {
    let upstream = Upstream::start().await;
    for path in ["", "/", "/openai", "/openai/"] {
        let azure = json!({ "style": "Deployments", "apiVersion": "2024-10-21" });
        let gateway = Gateway::start(fixture(&upstream, path, azure)).await;
        for (route, body) in [
            ("chat/completions", json!({ "model": "m", "messages": [] })),
            ("embeddings", json!({ "model": "m", "input": "x" })),
            ("completions", json!({ "model": "m", "prompt": "x" })),
        ] {
            let answer = gateway.client().post(&format!("/v1/{route}"), &body).await;
            assert_eq!(answer.status, 200, "{path:?} {route}: {}", answer.text());
            let seen = upstream.last();
            assert_eq!(
                seen.path,
                format!("/openai/deployments/my-deployment/{route}?api-version=2024-10-21"),
                "{path:?}"
            );
            assert_eq!(seen.header("api-key"), credential_key("a"));
            assert_eq!(seen.header("authorization"), "", "never both");
        }
    }
}

#[tokio::test]
async fn the_new_style_names_them_in_the_body() {
    let upstream = Upstream::start().await;
    for path in ["", "/openai/v1", "/openai/v1/"] {
        let gateway = Gateway::start(fixture(&upstream, path, json!({ "style": "V1" }))).await;
        for (route, body) in [
            ("chat/completions", json!({ "model": "m", "messages": [] })),
            ("responses", json!({ "model": "m", "input": "x" })),
        ] {
            let answer = gateway.client().post(&format!("/v1/{route}"), &body).await;
            assert_eq!(answer.status, 200, "{path:?} {route}: {}", answer.text());
            let seen = upstream.last();
            assert_eq!(seen.path, format!("/openai/v1/{route}"), "{path:?}");
            assert_eq!(seen.json()["model"], "my-deployment");
        }
    }
}

#[tokio::test]
async fn azures_sdks_are_served_by_any_provider() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).route(
        "r",
        &["alias"],
        json!([{ "providerRef": { "name": "p" }, "model": "m" }]),
    );
    let gateway = Gateway::start(fixture).await;
    let client = gateway.anonymous().with("api-key", CLIENT_KEY);
    for (path, body) in [
        (
            "/openai/deployments/alias/chat/completions?api-version=2024-10-21",
            json!({ "model": "alias", "messages": [] }),
        ),
        (
            "/openai/deployments/alias/chat/completions?api-version=2024-10-21",
            json!({ "messages": [] }),
        ),
        (
            "/openai/deployments/alias/chat/completions?api-version=2024-10-21",
            json!({ "model": "ignored", "messages": [] }),
        ),
        (
            "/openai/deployments/alias/embeddings?api-version=1",
            json!({ "input": "x" }),
        ),
        (
            "/openai/v1/chat/completions",
            json!({ "model": "alias", "messages": [] }),
        ),
        (
            "/openai/v1/chat/completions?api-version=preview",
            json!({ "model": "alias", "messages": [] }),
        ),
    ] {
        let answer = client.post(path, &body).await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        let seen = upstream.last();
        assert_eq!(seen.json()["model"], "m", "{path} {body}");
        assert!(!seen.path.contains("api-version"), "{}", seen.path);
        assert!(seen.path.starts_with("/v1/"), "{}", seen.path);
        assert_eq!(seen.header("api-key"), "");
    }
    let body = json!({ "messages": [] });
    client
        .post(
            "/openai/deployments/nothing/chat/completions?api-version=1",
            &body,
        )
        .await
        .openai_error(404);
}

#[tokio::test]
async fn refused_content_rests_nothing() {
    let upstream = Upstream::start().await;
    let azure = json!({ "style": "Deployments", "apiVersion": "2024-10-21" });
    let gateway = Gateway::start(fixture(&upstream, "", azure)).await;
    upstream.once(
        harness::When::any(),
        harness::Reply::json(
            400,
            json!({ "error": { "code": "content_filter", "message": "The response was filtered.", "param": "prompt",
                "status": 400, "type": null, "innererror": { "code": "ResponsibleAIPolicyViolation" } } }),
        ),
    );
    let error = gateway.client().chat("m").await.openai_error(400);
    assert_eq!(error["message"], "The response was filtered.");
    gateway.client().chat("m").await.expect(200);
    assert_eq!(upstream.count(), 2, "neither retried nor rested");
}
