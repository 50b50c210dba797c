//! Who may ask, and how.

use harness::{Gateway, Upstream};
use serde_json::json;

use super::{CHIEF_KEY, PLAIN_KEY, fixture};

const ROUTES: [(&str, &str); 8] = [
    ("GET", "/p/v1/credentials"),
    ("POST", "/p/v1/credentials"),
    ("POST", "/p/v1/credentials/delete"),
    ("GET", "/v1/quota"),
    ("POST", "/v1/quota/reset"),
    ("GET", "/api/stats"),
    ("GET", "/auth/keys"),
    ("POST", "/auth/keys"),
];

#[tokio::test]
async fn the_routes_can_be_closed_wholly_or_for_changes() {
    let upstream = Upstream::start().await;
    for (routes, code) in [
        ("ReadOnly", "admin_routes_read_only"),
        ("Disabled", "unknown_route"),
    ] {
        let launch = Gateway::with(fixture(&upstream, ["a"])).arguments(&["--admin-routes", routes]);
        let gateway = launch.start().await;
        for (method, path) in ROUTES {
            let answer = gateway
                .client()
                .request(method, path)
                .json(&json!({}))
                .send()
                .await;
            if routes == "ReadOnly" && method == "GET" {
                answer.expect(200);
            } else {
                let status = if routes == "ReadOnly" { 403 } else { 404 };
                assert_eq!(
                    answer.openai_error(status)["code"],
                    code,
                    "{routes}: {method} {path}"
                );
            }
        }
    }
}

#[tokio::test]
async fn only_admin_keys_get_in() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    for (method, path) in ROUTES {
        let ask = |client: harness::Client| {
            let request = client.request(method, path).json(&json!({}));
            async move { request.send().await }
        };
        let error = ask(gateway.anonymous()).await.openai_error(401);
        assert_eq!(error["code"], "invalid_api_key", "{method} {path}");
        ask(gateway.client_with("rh-unknown-0123456789abcdef"))
            .await
            .openai_error(401);
        let error = ask(gateway.client_with(PLAIN_KEY)).await.openai_error(403);
        assert_eq!(error["code"], "admin_key_required", "{method} {path}");
        let status = ask(gateway.client()).await.status;
        assert!(
            ![401, 403, 404, 405].contains(&status),
            "{method} {path}: {status}"
        );
    }
    assert_eq!(upstream.count(), 0, "nothing of this goes upstream");
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    for (method, path, allowed) in [
        ("DELETE", "/p/v1/credentials", "GET, POST"),
        ("GET", "/p/v1/credentials/delete", "POST"),
        ("POST", "/v1/quota", "GET"),
        ("GET", "/v1/quota/reset", "POST"),
        ("POST", "/api/stats", "GET"),
        ("PUT", "/auth/keys", "GET, POST"),
    ] {
        let answer = gateway.client().request(method, path).send().await;
        answer.openai_error(405);
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn an_administrator_sees_and_changes_its_own_namespace_only() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    gateway.client().chat("m").await.expect(200);
    let chief = gateway.client_with(CHIEF_KEY);

    for path in ["/v1/quota", "/api/stats", "/auth/keys", "/theirs/v1/credentials"] {
        let answer = chief.get(path).await.expect(200);
        assert!(!answer.text().contains("default/"), "{path}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    for path in ["/p/v1/credentials", "/p/v1/credentials/delete"] {
        let body = json!({ "api_key": "sk-strange-0123456789abcdef" });
        let error = chief.post(path, &body).await.openai_error(404);
        assert_eq!(error["code"], "unknown_provider", "{path}");
    }
    for body in [
        json!({ "credential": "default/a" }),
        json!({ "credential": "a" }),
        json!({ "client": "default/app" }),
    ] {
        chief.post("/v1/quota/reset", &body).await.openai_error(404);
    }
    let body = json!({ "name": "default/x" });
    let error = chief.post("/auth/keys", &body).await.openai_error(400);
    assert_eq!(error["code"], "invalid_name");
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_name_and_size() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    for (method, path) in ROUTES.into_iter().filter(|(method, _)| *method == "POST") {
        let error = gateway
            .client()
            .request(method, path)
            .json(&json!({ "colour": "red" }))
            .send()
            .await
            .openai_error(400);
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("unknown field `colour`"), "{path}: {message}");
        let large = " ".repeat((64 << 10) + 1);
        gateway
            .client()
            .request(method, path)
            .body(large)
            .send()
            .await
            .openai_error(413);
        gateway
            .client()
            .request(method, path)
            .body("{")
            .send()
            .await
            .openai_error(400);
    }
}
