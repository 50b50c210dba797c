//! Listings of models.

use harness::{Fixture, Gateway, Upstream};
use serde_json::{Value, json};

async fn gateway(upstream: &Upstream) -> Gateway {
    let fixture = Fixture::pool(upstream, ["a"])
        .amend(
            "Provider",
            "p",
            "/spec/models",
            json!([{ "name": "m", "maxInputTokens": 1000, "maxOutputTokens": 100 }, { "name": "vendor/model:tag" }]),
        )
        .route("r", &["alias", "glob-*"], json!([{ "providerRef": { "name": "p" }, "model": "m" }]));
    Gateway::start(fixture).await
}

fn ids(list: &Value) -> Vec<String> {
    list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn models_are_listed_as_openai_does() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    let answer = gateway.client().get("/v1/models").await.expect(200);
    assert!(answer.header("content-type").starts_with("application/json"));
    let list = answer.json();
    assert_eq!(list["object"], "list");
    let mut names = ids(&list);
    names.sort();
    assert_eq!(names, ["alias", "m", "vendor/model:tag"], "globs are no models");
    for entry in list["data"].as_array().unwrap() {
        assert_eq!(entry["object"], "model", "{entry}");
        assert!(entry["created"].is_u64(), "{entry}");
        assert!(entry["owned_by"].is_string(), "{entry}");
    }
    assert_eq!(upstream.count(), 0, "answered from what is configured");
}

#[tokio::test]
async fn one_model_is_found_by_its_name_however_it_is_encoded() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    for path in ["vendor/model:tag", "vendor%2Fmodel:tag", "vendor%2Fmodel%3Atag"] {
        let model = gateway
            .client()
            .get(&format!("/v1/models/{path}"))
            .await
            .expect(200)
            .json();
        assert_eq!(model["id"], "vendor/model:tag");
        assert_eq!(model["object"], "model");
    }
    let error = gateway.client().get("/v1/models/nothing").await.openai_error(404);
    assert_eq!(error["code"], "model_not_found");
}

#[tokio::test]
async fn models_are_listed_as_anthropic_does_for_its_clients() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    let client = gateway.client().with("anthropic-version", "2023-06-01");
    let list = client.get("/v1/models?limit=1000").await.expect(200).json();
    let names = ids(&list);
    assert_eq!(names.len(), 3);
    assert_eq!(list["has_more"], false);
    assert_eq!(list["first_id"], names[0].as_str());
    assert_eq!(list["last_id"], names[2].as_str());
    for entry in list["data"].as_array().unwrap() {
        assert_eq!(entry["type"], "model", "{entry}");
        assert!(entry["display_name"].is_string(), "{entry}");
        assert!(
            entry["created_at"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z')),
            "{entry}"
        );
    }

    let first = client.get("/v1/models?limit=2").await.expect(200).json();
    assert_eq!(ids(&first), names[..2]);
    assert_eq!(first["has_more"], true);
    let rest = client
        .get(&format!(
            "/v1/models?limit=2&after_id={}",
            names[1].replace('/', "%2F")
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(ids(&rest), names[2..]);
    assert_eq!(rest["has_more"], false);

    let one = client.get("/v1/models/m").await.expect(200).json();
    assert_eq!(
        (one["type"].as_str(), one["id"].as_str()),
        (Some("model"), Some("m"))
    );
    client
        .get("/v1/models/nothing")
        .await
        .anthropic_error(404, "not_found_error");
}
