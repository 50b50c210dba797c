//! Client keys: listed and minted.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use harness::{Fixture, Gateway, Upstream};
use serde_json::{Value, json};

use super::{ADMIN_KEY, PLAIN_KEY, fixture};

const PATH: &str = "/auth/keys";

#[tokio::test]
async fn a_listing_tells_what_keys_may_and_not_what_they_are() {
    let upstream = Upstream::start().await;
    let fixture = fixture(&upstream, ["a"])
        .amend(
            "ClientKey",
            "plain",
            "/spec/models",
            json!({ "allow": ["m", "gpt-*"] }),
        )
        .amend(
            "ClientKey",
            "plain",
            "/spec/limits",
            json!({ "requestsPerMinute": 60 }),
        )
        .amend(
            "ClientKey",
            "plain",
            "/spec/expiresAt",
            json!("2100-01-01T00:00:00Z"),
        );
    let gateway = Gateway::start(fixture).await;
    let answer = gateway.client().get(PATH).await.expect(200);
    assert_eq!(
        answer.json()["keys"],
        json!([
            {
                "name": "default/app", "admin": true, "models": [],
                "limits": { "concurrency": null, "requests_per_minute": null, "tokens_per_minute": null },
                "budgets": [], "expires_at": null, "source": "file",
            },
            {
                "name": "default/plain", "admin": false, "models": ["m", "gpt-*"],
                "limits": { "concurrency": null, "requests_per_minute": 60, "tokens_per_minute": null },
                "budgets": [], "expires_at": "2100-01-01T00:00:00Z", "source": "file",
            },
        ])
    );
    for key in [ADMIN_KEY, PLAIN_KEY] {
        assert!(!answer.text().contains(&key[3..]), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_minted_key_works_at_once_and_after_a_restart_and_is_told_once() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    let wanted = json!({
        "name": "minted", "models": ["m"], "limits": { "concurrency": 3, "tokens_per_minute": 1000 },
        "expires_at": "2100-01-01T00:00:00Z",
    });
    let minted = gateway.client().post(PATH, &wanted).await.expect(201).json();
    let key = minted["key"].as_str().expect("a key").to_owned();
    assert!(key.starts_with("rh-") && key.len() == 3 + 43, "256 bits: {key}");
    let told = json!({
        "name": "default/minted", "key": key, "admin": false, "models": ["m"],
        "limits": { "concurrency": 3, "requests_per_minute": null, "tokens_per_minute": 1000 },
        "expires_at": "2100-01-01T00:00:00Z",
    });
    assert_eq!(minted, told);
    gateway.client_with(&key).chat("m").await.expect(200);
    gateway.client_with(&key).chat("other").await.openai_error(403);
    gateway.client_with(&key).get(PATH).await.openai_error(403);

    let listing = gateway.client().get(PATH).await.expect(200);
    assert!(!listing.text().contains(&key[3..]), "{}", listing.text());
    let keys = listing.json()["keys"].clone();
    let entry = keys.as_array().expect("a list").iter();
    let entry = entry.clone().find(|entry| entry["name"] == "default/minted");
    assert_eq!(entry.expect("it is listed")["source"], "api");
    let log = gateway.log();
    assert!(!log.contains(&key[3..]), "{log}");
    assert!(log.contains("ClientKey default/minted"), "{log}");
    let file = gateway.state().join("resources/clientkey.default.minted.yaml");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);

    gateway.terminate();
    gateway.exit(Duration::from_secs(10)).await;
    let again = Gateway::bare().in_folder_of(gateway.folder()).start().await;
    again.client_with(&key).chat("m").await.expect(200);
}

#[tokio::test]
async fn keys_minted_at_once_differ_and_have_names() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    let client = gateway.client();
    let wanted = json!({ "admin": true });
    let (one, two) = tokio::join!(client.post(PATH, &wanted), client.post(PATH, &wanted));
    let (one, two) = (one.expect(201).json(), two.expect(201).json());
    assert_ne!(one["key"], two["key"]);
    for minted in [&one, &two] {
        let name = minted["name"].as_str().expect("a name");
        assert!(name.starts_with("default/api-"), "{name}");
        let key = minted["key"].as_str().expect("a key");
        gateway.client_with(key).get(PATH).await.expect(200);
    }
}

#[tokio::test]
async fn whoever_has_the_generated_key_keeps_it() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new()
        .provider("p", &upstream.url("/v1"), &["m"])
        .credential("p", "a");
    let mut gateway = Gateway::start(fixture).await;
    let generated = fs::read_to_string(gateway.state().join("client-key")).unwrap();
    let mint = json!({ "name": "minted" });
    let minted = gateway
        .client_with(generated.trim())
        .post(PATH, &mint)
        .await
        .expect(201)
        .json();
    gateway.client_with(generated.trim()).get(PATH).await.expect(200);

    gateway.terminate();
    gateway.exit(Duration::from_secs(10)).await;
    let again = Gateway::bare().in_folder_of(gateway.folder()).start().await;
    again.client_with(generated.trim()).get(PATH).await.expect(200);
    let key = minted["key"].as_str().expect("a key");
    again.client_with(key).chat("m").await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_minted_says_why() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    let cases: [(Value, u16, &str, &str); 6] = [
        (
            json!({ "name": "plain" }),
            409,
            "name_taken",
            "ClientKey default/plain",
        ),
        (
            json!({ "name": "a b" }),
            400,
            "object_not_accepted",
            "metadata.name",
        ),
        (
            json!({ "expires_at": "soon" }),
            400,
            "object_not_accepted",
            "expiresAt",
        ),
        (
            json!({ "expires_at": "2001-01-01T00:00:00Z" }),
            400,
            "invalid_expires_at",
            "past",
        ),
        (
            json!({ "limits": { "per_hour": 1 } }),
            400,
            "invalid_request_body",
            "per_hour",
        ),
        (json!({ "models": [""] }), 400, "object_not_accepted", "models"),
    ];
    for (body, status, code, part) in cases {
        let error = gateway.client().post(PATH, &body).await.openai_error(status);
        assert_eq!(error["code"], code, "{body}: {error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{body}: {message}");
    }
}
