//! Credentials: listed, added, deleted.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use harness::{Answer, Gateway, Reply, Upstream, When, credential_key};
use serde_json::{Value, json};

use super::fixture;

const PATH: &str = "/p/v1/credentials";

fn names(answer: &Answer) -> Vec<String> {
    let entries = answer.json()["credentials"].clone();
    let names = entries.as_array().expect("a list").iter();
    names
        .map(|entry| entry["name"].as_str().expect("a name").to_owned())
        .collect()
}

async fn listing(gateway: &Gateway) -> Answer {
    gateway.client().get(PATH).await.expect(200)
}

async fn add(gateway: &Gateway, name: &str) -> Answer {
    let body = json!({ "name": name, "api_key": credential_key(name) });
    gateway.client().post(PATH, &body).await
}

#[tokio::test]
async fn a_listing_tells_what_is_known_and_no_secret() {
    let upstream = Upstream::start().await;
    let fixture = fixture(&upstream, ["a", "b"]).amend("Credential", "b", "/spec/suspend", json!(true));
    let gateway = Gateway::start(fixture).await;
    gateway.client().chat("m").await.expect(200);
    upstream.once(When::any(), Reply::rate_limited("60"));
    gateway.client().chat("m").await.expect(429);

    let answer = gateway.client().get(PATH).await.expect(200);
    let said = answer.json();
    assert_eq!(said["provider"], "default/p");
    assert_eq!(names(&answer), ["default/a", "default/b"]);
    let a = &said["credentials"][0];
    assert_eq!(
        (
            &a["index"],
            &a["provider"],
            &a["suspended"],
            &a["usable"],
            &a["source"]
        ),
        (
            &json!(0),
            &json!("default/p"),
            &json!(false),
            &json!(false),
            &json!("file")
        )
    );
    assert_eq!(a["rests"][0]["reason"], "RateLimited", "{a}");
    assert!(a["rests"][0].get("model").is_none(), "it is for all models: {a}");
    let until = a["rests"][0]["until"].as_str().expect("a time");
    assert!(until.starts_with("20") && until.ends_with('Z'), "{until}");
    assert_eq!(a["windows"], json!([]));
    for usage in ["today", "total"] {
        assert_eq!(a["usage"][usage]["requests"], 2, "{a}");
        assert!(a["usage"][usage]["tokens"]["input"].is_u64(), "{a}");
    }
    let b = &said["credentials"][1];
    assert_eq!(
        (&b["suspended"], &b["usable"], &b["in_flight"]),
        (&json!(true), &json!(false), &json!(0))
    );
    assert!(!answer.text().contains("sk-"), "{}", answer.text());

    let error = gateway
        .client()
        .get("/nobody/v1/credentials")
        .await
        .openai_error(404);
    assert_eq!(error["code"], "unknown_provider");
}

#[tokio::test]
async fn an_added_credential_serves_at_once_and_after_a_restart() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    let before = fs::read(gateway.resources().join("resources.yaml")).unwrap();
    let added = add(&gateway, "new").await.expect(201);
    let entry = added.json();
    assert_eq!(
        (&entry["name"], &entry["usable"], &entry["source"]),
        (&json!("default/new"), &json!(true), &json!("api"))
    );
    assert!(entry.get("index").is_none(), "it was not listed: {entry}");
    assert!(!added.text().contains("sk-new"), "{}", added.text());
    for _ in 0..2 {
        gateway.client().chat("m").await.expect(200);
    }
    let used: Vec<String> = upstream
        .seen()
        .iter()
        .map(|seen| seen.credential().to_owned())
        .collect();
    assert!(used.contains(&"new".to_owned()), "{used:?}");

    let file = gateway.state().join("resources/credential.default.new.yaml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read(gateway.resources().join("resources.yaml")).unwrap(),
        before,
        "files of users are never rewritten"
    );
    let log = gateway.log();
    assert!(!log.contains("sk-new"), "{log}");
    let audit = log
        .lines()
        .find(|line| line.contains("object made through the API"))
        .expect("an audit line");
    assert!(
        audit.contains("default/app") && audit.contains("Credential default/new"),
        "{audit}"
    );

    gateway.terminate();
    gateway.exit(Duration::from_secs(10)).await;
    let again = Gateway::bare().in_folder_of(gateway.folder()).start().await;
    assert_eq!(names(&listing(&again).await), ["default/a", "default/new"]);
    assert_eq!(listing(&again).await.json()["credentials"][1]["source"], "api");
}

#[tokio::test]
async fn a_bearer_token_is_a_key_and_a_name_is_made_where_none_is_given() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, [])).await;
    // What looks like a reference is a key like any other here: nothing of it is expanded.
    let body = json!({ "bearer_token": "${HOME}-0123456789" });
    let entry = gateway.client().post(PATH, &body).await.expect(201).json();
    let name = entry["name"].as_str().expect("a name");
    assert!(name.starts_with("default/api-"), "{name}");
    gateway.client().chat("m").await.expect(200);
    assert_eq!(
        upstream.last().header("authorization"),
        "Bearer ${HOME}-0123456789"
    );
}

#[tokio::test]
async fn what_cannot_be_added_says_why_and_leaves_nothing() {
    let upstream = Upstream::start().await;
    let fixture = fixture(&upstream, ["a"])
        .namespace("default")
        .provider("open", &upstream.url("/v1"), &["o"])
        .spec("auth", json!({ "type": "None" }));
    let gateway = Gateway::start(fixture).await;
    let key = "canary-key-0123456789";
    let cases: [(&str, Value, u16, &str, &str); 10] = [
        (
            PATH,
            json!({ "name": "a", "api_key": key }),
            409,
            "name_taken",
            "Credential default/a",
        ),
        (PATH, json!({}), 400, "invalid_request_body", "api_key"),
        (
            PATH,
            json!({ "api_key": key, "bearer_token": key }),
            400,
            "invalid_request_body",
            "one of",
        ),
        (
            PATH,
            json!({ "api_key": 7 }),
            400,
            "invalid_request_body",
            "another type",
        ),
        (
            PATH,
            json!({ "api_key": "" }),
            400,
            "object_not_accepted",
            "is empty",
        ),
        (
            PATH,
            json!({ "api_key": "a\nb" }),
            400,
            "object_not_accepted",
            "control character",
        ),
        (
            PATH,
            json!({ "name": "Up", "api_key": key }),
            400,
            "object_not_accepted",
            "metadata.name",
        ),
        (
            PATH,
            json!({ "name": "../x", "api_key": key }),
            400,
            "invalid_name",
            "name",
        ),
        (
            PATH,
            json!({ "bearer_token": key, "user_id": "u" }),
            400,
            "user_id_not_used",
            "user_id",
        ),
        (
            "/open/v1/credentials",
            json!({ "api_key": key }),
            400,
            "object_not_accepted",
            "takes no key",
        ),
    ];
    for (path, body, status, code, part) in cases {
        let answer = gateway.client().post(path, &body).await;
        let error = answer.openai_error(status);
        assert_eq!(error["code"], code, "{body}: {error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{body}: {message}");
        assert!(!answer.text().contains("canary"), "{}", answer.text());
    }
    let kept = fs::read_dir(gateway.state().join("resources")).map_or(0, Iterator::count);
    assert_eq!(kept, 0, "nothing of this is kept");
    assert!(!gateway.log().contains("canary"), "{}", gateway.log());
}

#[tokio::test]
async fn additions_at_once_are_all_kept_and_of_one_name_one_is() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    let (one, two, three, four) = tokio::join!(
        add(&gateway, "n1"),
        add(&gateway, "n2"),
        add(&gateway, "same"),
        add(&gateway, "same")
    );
    assert_eq!((one.status, two.status), (201, 201));
    let mut same = [three.status, four.status];
    same.sort_unstable();
    assert_eq!(same, [201, 409]);
    assert_eq!(
        names(&listing(&gateway).await),
        ["default/a", "default/n1", "default/n2", "default/same"]
    );
}

#[tokio::test]
async fn only_what_was_added_here_is_deleted_by_name_or_place() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    for name in ["n1", "n2", "n3"] {
        add(&gateway, name).await.expect(201);
    }
    let path = "/p/v1/credentials/delete";
    let delete = async |body: Value| gateway.client().post(path, &body).await;

    let error = delete(json!({ "index": 1 })).await.openai_error(409);
    assert_eq!(
        error["code"], "credentials_not_listed",
        "a guess could be another"
    );

    let deleted = delete(json!({ "name": "n1" })).await.expect(200).json();
    assert_eq!(deleted, json!({ "deleted": "default/n1" }));
    assert_eq!(
        names(&listing(&gateway).await),
        ["default/a", "default/n2", "default/n3"],
        "gone as soon as the answer is there"
    );
    let deleted = delete(json!({ "index": 1 })).await.expect(200).json();
    assert_eq!(deleted, json!({ "deleted": "default/n2" }));
    let deleted = delete(json!({ "index": 2 })).await.expect(200).json();
    assert_eq!(
        deleted,
        json!({ "deleted": "default/n3" }),
        "as it stood in the listing, though another has gone since"
    );

    for body in [json!({ "name": "a" }), json!({ "index": 0 })] {
        let error = delete(body).await.openai_error(403);
        assert_eq!(error["code"], "not_made_through_api");
    }
    for body in [
        json!({ "name": "n1" }),
        json!({ "index": 1 }),
        json!({ "name": "team/x" }),
    ] {
        let error = delete(body).await.openai_error(404);
        assert_eq!(error["code"], "credential_not_found");
    }
    for body in [json!({}), json!({ "name": "n1", "index": 0 })] {
        delete(body).await.openai_error(400);
    }
    assert_eq!(names(&listing(&gateway).await), ["default/a"]);
    gateway.client().chat("m").await.expect(200);
    assert_eq!(upstream.last().credential(), "a");
}
