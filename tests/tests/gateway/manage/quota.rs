//! Quotas and budgets: told, and begun anew.

use harness::{Gateway, Reply, Upstream, When};
use serde_json::json;

use super::fixture;

#[tokio::test]
async fn rests_are_told_by_provider_and_credential() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a", "b"])).await;
    upstream.once(When::credential("a"), Reply::rate_limited("60"));
    for _ in 0..2 {
        gateway.client().chat("m").await.expect(200);
    }
    let quota = gateway.client().get("/v1/quota").await.expect(200).json();
    let provider = &quota["providers"][0];
    assert_eq!(provider["name"], "default/p");
    let (a, b) = (&provider["credentials"][0], &provider["credentials"][1]);
    assert_eq!((&a["name"], &a["usable"]), (&json!("default/a"), &json!(false)));
    assert_eq!(a["rests"][0]["reason"], "RateLimited");
    assert_eq!((&b["name"], &b["usable"]), (&json!("default/b"), &json!(true)));
    assert_eq!((&b["rests"], &b["windows"]), (&json!([]), &json!([])));
    assert_eq!(
        quota["clients"],
        json!([{ "name": "default/app", "budgets": [] }, { "name": "default/plain", "budgets": [] }])
    );
    assert_eq!(quota["providers"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_reset_tells_whose_quota_began_anew() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a", "b"])).await;
    let everybody = json!({ "reset": {
        "credentials": ["default/a", "default/b"], "clients": ["default/app", "default/plain"],
    } });
    let cases = [
        (json!({}), everybody.clone()),
        (
            json!({ "credential": "a" }),
            json!({ "reset": { "credentials": ["default/a"], "clients": [] } }),
        ),
        (
            json!({ "client": "default/plain" }),
            json!({ "reset": { "credentials": [], "clients": ["default/plain"] } }),
        ),
        (
            json!({ "credential": "default/b", "client": "app" }),
            json!({ "reset": { "credentials": ["default/b"], "clients": ["default/app"] } }),
        ),
    ];
    for (body, expected) in cases {
        let said = gateway.client().post("/v1/quota/reset", &body).await.expect(200);
        assert_eq!(said.json(), expected, "{body}");
    }
    let bare = gateway.client().request("POST", "/v1/quota/reset").send().await;
    assert_eq!(bare.expect(200).json(), everybody, "no body names nobody");
    for (body, code) in [
        (json!({ "credential": "nobody" }), "credential_not_found"),
        (json!({ "client": "nobody" }), "client_not_found"),
        (
            json!({ "credential": "a", "client": "nobody" }),
            "client_not_found",
        ),
    ] {
        let answer = gateway.client().post("/v1/quota/reset", &body).await;
        assert_eq!(answer.openai_error(404)["code"], code, "{body}");
    }
    let audits = gateway
        .log()
        .lines()
        .filter(|line| line.contains("reset through the API"))
        .count();
    assert_eq!(audits, 5, "one line for each reset, none for what was refused");
}

#[tokio::test]
async fn a_reset_ends_a_rest_for_lack_of_quota_and_no_other() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    let reset = async || {
        let body = json!({ "credential": "a" });
        gateway.client().post("/v1/quota/reset", &body).await.expect(200);
    };
    let spent = Reply::error(429, "insufficient_quota", "insufficient_quota", "no quota left");
    upstream.once(When::any(), spent);
    gateway.client().chat("m").await.expect(429);
    gateway.client().chat("m").await.expect(429);
    assert_eq!(upstream.count(), 1, "it rests");
    reset().await;
    gateway.client().chat("m").await.expect(200);

    upstream.once(When::any(), Reply::rate_limited("60"));
    gateway.client().chat("m").await.expect(429);
    reset().await;
    gateway.client().chat("m").await.expect(429);
    assert_eq!(upstream.count(), 3, "a rate limit is no lack of quota");
}
