//! From a model's name to an upstream.

use harness::{Fixture, Gateway, Upstream};
use serde_json::{Value, json};

fn to(provider: &str, model: &str) -> Value {
    json!([{ "providerRef": { "name": provider }, "model": model }])
}

#[tokio::test]
async fn names_are_resolved_in_the_contracts_order() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .amend(
            "Provider",
            "p",
            "/spec/models",
            json!([{ "name": "shared" }, { "name": "gpt-listed" }, { "name": "alias", "upstreamName": "real-name" }]),
        )
        .provider("q", &upstream.url("/v1"), &[])
        .credential("q", "b")
        .route("exact", &["shared", "two/part"], to("q", "by-exact-route"))
        .route("short", &["gpt-*"], to("q", "by-short-glob"))
        .route("long", &["gpt-4*"], to("q", "by-long-glob"))
        .route("keep", &["kept-*"], json!([{ "providerRef": { "name": "q" } }]))
        .route("middle", &["x-*-y"], to("q", "by-middle-glob"));
    let gateway = Gateway::start(fixture).await;
    for (asked, sent) in [
        ("shared", "by-exact-route"),
        ("two/part", "by-exact-route"),
        ("gpt-listed", "gpt-listed"),
        ("alias", "real-name"),
        ("gpt-3", "by-short-glob"),
        ("gpt-4", "by-long-glob"),
        ("gpt-4-turbo", "by-long-glob"),
        ("kept-name", "kept-name"),
        ("x-1-y", "by-middle-glob"),
        ("p/anything", "anything"),
        ("q/deep/name:tag", "deep/name:tag"),
        ("p/alias", "real-name"),
    ] {
        let answer = gateway.client().chat(asked).await;
        assert_eq!(answer.status, 200, "{asked}: {}", answer.text());
        assert_eq!(upstream.last().json()["model"], sent, "{asked}");
    }
}

#[tokio::test]
async fn only_the_models_name_changes_in_a_body() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).route("r", &["alias"], to("p", "much-longer-name"));
    let gateway = Gateway::start(fixture).await;
    let body = r#"{ "unknown" : {"z":1.0,"a":1e400,"é":"\u00e9"},"model" :"alias" , "messages":[] ,"seed":12345678901234567890123 }"#;
    let call = |body: &str| {
        gateway
            .client()
            .request("POST", "/v1/chat/completions")
            .header("content-type", "application/json")
            .body(body.to_owned())
            .send()
    };
    call(body).await.expect(200);
    let sent = String::from_utf8(upstream.last().body.to_vec()).unwrap();
    assert_eq!(sent, body.replace("\"alias\"", "\"much-longer-name\""));

    let unchanged = body.replace("\"alias\"", "\"m\"");
    call(&unchanged).await.expect(200);
    assert_eq!(String::from_utf8_lossy(&upstream.last().body), unchanged);
}

#[tokio::test]
async fn providers_that_list_the_same_model_share_it() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .provider("q", &upstream.url("/v1"), &["m"])
        .credential("q", "b");
    let gateway = Gateway::start(fixture).await;
    for _ in 0..40 {
        gateway.client().chat("m").await.expect(200);
    }
    let counts = upstream.counts();
    assert!(counts["a"] >= 10 && counts["b"] >= 10, "{counts:?}");
}

#[tokio::test]
async fn a_provider_can_be_pinned_by_path() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .provider("q", &upstream.url("/v1"), &["m"])
        .credential("q", "b")
        .provider("openai", &upstream.url("/v1"), &["m"])
        .credential("openai", "c");
    let gateway = Gateway::start(fixture).await;
    for (path, credential) in [("/p/v1", "a"), ("/q/v1", "b"), ("/openai/v1", "c")] {
        for _ in 0..2 {
            let body = json!({ "model": "m", "messages": [] });
            let answer = gateway
                .client()
                .post(&format!("{path}/chat/completions"), &body)
                .await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(upstream.last().credential(), credential, "{path}");
        }
        let list = gateway
            .client()
            .get(&format!("{path}/models"))
            .await
            .expect(200)
            .json();
        assert_eq!(list["data"][0]["id"], "m", "{path}: {list}");
    }
    let body = json!({ "model": "m", "messages": [] });
    gateway
        .client()
        .post("/nobody/v1/chat/completions", &body)
        .await
        .openai_error(404);
}

#[tokio::test]
async fn routes_work_without_their_prefix() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for (path, body) in [
        ("/chat/completions", json!({ "model": "m", "messages": [] })),
        ("/embeddings", json!({ "model": "m", "input": "x" })),
        ("/completions", json!({ "model": "m", "prompt": "x" })),
        ("/responses", json!({ "model": "m", "input": "x" })),
    ] {
        let answer = gateway.client().post(path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(upstream.last().path, format!("/v1{path}"));
    }
    gateway.client().get("/models").await.expect(200);
}

#[tokio::test]
async fn an_unknown_model_is_answered_with_close_names() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).amend(
        "Provider",
        "p",
        "/spec/models",
        json!([{ "name": "gpt-4o-mini" }, { "name": "gpt-4o" }, { "name": "zebra" }]),
    );
    let gateway = Gateway::start(fixture).await;
    let error = gateway.client().chat("gpt-4o-mni").await.openai_error(404);
    assert_eq!(error["code"], "model_not_found");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("gpt-4o-mini"), "{message}");
    assert!(!message.contains("zebra"), "only close names: {message}");
    let body = json!({ "model": "claude-x", "max_tokens": 1, "messages": [] });
    gateway
        .client()
        .post("/v1/messages", &body)
        .await
        .anthropic_error(404, "not_found_error");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_key_may_be_held_to_some_models() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .spec("models", json!({ "allow": ["m", "small-*"] }))
        .amend(
            "Provider",
            "p",
            "/spec/models",
            json!([{ "name": "m" }, { "name": "small-1" }, { "name": "big" }]),
        );
    let gateway = Gateway::start(fixture).await;
    gateway.client().chat("m").await.expect(200);
    gateway.client().chat("small-1").await.expect(200);
    for refused in ["big", "p/big"] {
        let answer = gateway.client().chat(refused).await;
        assert!(matches!(answer.status, 403 | 404), "{refused}: {}", answer.text());
        answer.openai_error(answer.status);
    }
    let list = gateway.client().get("/v1/models").await.text();
    assert!(list.contains("small-1") && !list.contains("big"), "{list}");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn namespaces_keep_to_themselves_unless_they_share() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new()
        .namespace("red")
        .provider("p", &upstream.url("/v1"), &["mine", "both"])
        .credential("p", "red")
        .client("app", "rh-red-key-0123456789abcdef")
        .namespace("blue")
        .provider("p", &upstream.url("/v1"), &["private", "both"])
        .credential("p", "blue")
        .provider("public", &upstream.url("/v1"), &["shared", "both"])
        .spec("consumers", json!("All"))
        .credential("public", "public")
        .route("route", &["open-route"], to("p", "private"))
        .spec("consumers", json!("All"))
        .client("app", "rh-blue-key-0123456789abcdef");
    let gateway = Gateway::start(fixture).await;
    let red = gateway.client_with("rh-red-key-0123456789abcdef");
    for (model, credential) in [
        ("mine", "red"),
        ("both", "red"),
        ("shared", "public"),
        ("open-route", "blue"),
    ] {
        let answer = red.chat(model).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        assert_eq!(upstream.last().credential(), credential, "{model}");
    }
    for hidden in ["private", "blue/p/private"] {
        let error = red.chat(hidden).await.openai_error(404);
        assert!(
            !error["message"]
                .as_str()
                .unwrap()
                .replace(hidden, "")
                .contains("private"),
            "close names of others are not told: {error}"
        );
    }
    let list = red.get("/v1/models").await.text();
    assert!(
        list.contains("shared") && list.contains("mine") && !list.contains("private"),
        "{list}"
    );
}

#[tokio::test]
async fn a_route_that_is_unknown_or_asked_wrongly_is_said_so() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    gateway.client().get("/v1/nothing/here").await.openai_error(404);
    gateway
        .client()
        .post("/v2/chat/completions", &json!({}))
        .await
        .openai_error(404);
    let answer = gateway.client().get("/v1/chat/completions").await;
    answer.openai_error(405);
    assert!(
        answer.header("allow").contains("POST"),
        "allow: {:?}",
        answer.header("allow")
    );
    gateway.client().get("/v1/messages").await.expect(405);
    gateway
        .client()
        .request("DELETE", "/v1/models")
        .send()
        .await
        .openai_error(405);
}
