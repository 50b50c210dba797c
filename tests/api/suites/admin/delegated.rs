//! What gateways may ask, and for whom.

use operator::admin::CLIENT_KEY_METADATA;
use proto::admin::v1::{self, delegated_server::Delegated as _};
use resources::kinds::ClientKey;
use serde_json::json;
use tonic::{Code, Request, metadata::MetadataValue};

use super::{Installation, by};
use crate::stand_in::Told;

/// Of tokens with which gateways prove themselves.
const AUDIENCE: &str = "roundhouse-discovery";
const ADMIN: &str = "canary-of-an-administrator-0123456789";
const PLAIN: &str = "canary-of-a-caller-0123456789-0123456789";
const OVER: &str = "canary-of-somebody-former-0123456789";

async fn installation(namespace: &str) -> Installation {
    let installation = Installation::new(namespace).await;
    let world = &installation.world;
    for (name, key, more) in [
        ("boss", ADMIN, json!({"admin": true})),
        ("tool", PLAIN, json!({})),
        (
            "former",
            OVER,
            json!({"admin": true, "expiresAt": "2026-01-01T00:00:00Z"}),
        ),
    ] {
        world.secret(name, "api-key", key).await;
        let mut spec = json!({"secretRef": {"name": name}});
        spec.as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        world.make::<ClientKey>(name, &spec).await;
    }
    world.publish().await;
    installation
}

/// A request of a gateway on behalf of whoever has this key.
fn on_behalf<T>(token: &str, key: Option<&str>, message: T) -> Request<T> {
    let mut request = by(token, message);
    if let Some(key) = key {
        let key = MetadataValue::from_bytes(key.as_bytes());
        request.metadata_mut().insert_bin(CLIENT_KEY_METADATA, key);
    }
    request
}

fn issue(namespace: &str, name: &str) -> v1::IssueClientKeyRequest {
    v1::IssueClientKeyRequest {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..v1::IssueClientKeyRequest::default()
    }
}

#[tokio::test]
async fn a_gateway_alone_may_do_nothing() {
    let installation = installation("delegated-matrix").await;
    let alice = installation.administrator();
    let told = Told::listen();
    let (world, delegated) = (&installation.world, &installation.delegated);
    let here = world.namespace.as_str();
    let gateway = world.token("roundhouse-gateway", AUDIENCE);
    let person = world.token("alice", AUDIENCE);
    let admins = installation.token("roundhouse-gateway");
    let (no, who) = (Code::PermissionDenied, Code::Unauthenticated);
    let cases = [
        ("no key", &gateway, None, here, no),
        (
            "an unknown key",
            &gateway,
            Some("canary-of-nobody-at-all-0123456789"),
            here,
            no,
        ),
        ("an empty key", &gateway, Some(""), here, no),
        (
            "the key of a caller who is no administrator",
            &gateway,
            Some(PLAIN),
            here,
            no,
        ),
        ("a key that has expired", &gateway, Some(OVER), here, no),
        ("another namespace", &gateway, Some(ADMIN), "default", no),
        ("somebody who is no gateway", &person, Some(ADMIN), here, no),
        ("a gateway's token for people", &admins, Some(ADMIN), here, who),
        ("a person's token for people", &alice, Some(ADMIN), here, who),
        (
            "an administrator behind a gateway",
            &gateway,
            Some(ADMIN),
            here,
            Code::Ok,
        ),
    ];
    for (why, token, key, namespace, expected) in cases {
        let request = on_behalf(token, key, issue(namespace, "issued"));
        let answer = delegated.issue_client_key(request).await;
        let code = answer.as_ref().map_or_else(tonic::Status::code, |_| Code::Ok);
        assert_eq!(code, expected, "{why}: {answer:?}");
        if let Err(refused) = answer {
            assert!(!refused.message().contains("canary"), "{why}: {refused}");
        }
    }
    let nobody = delegated
        .issue_client_key(Request::new(issue(here, "issued")))
        .await;
    assert_eq!(nobody.expect_err("nobody asks").code(), who);
    let login = v1::StartLoginRequest::default();
    let login = delegated
        .start_login(on_behalf(&gateway, Some(ADMIN), login))
        .await;
    assert_eq!(login.expect_err("not yet").code(), Code::Unimplemented);
    let told = told.text();
    assert!(told.contains("client key issued through the API"), "{told}");
    assert!(!told.contains("canary"), "a key was logged");
    assert!(!told.contains("Y2FuYXJ5"), "a key was logged in base64");
}

#[tokio::test]
async fn an_administrator_changes_its_own_namespace_through_a_gateway() {
    let installation = installation("delegated-change").await;
    let (world, delegated) = (&installation.world, &installation.delegated);
    let gateway = world.token("roundhouse-gateway", AUDIENCE);
    let add = |namespace: &str| v1::AddCredentialRequest {
        provider: Some(v1::ObjectName {
            namespace: namespace.to_owned(),
            name: "up".to_owned(),
        }),
        name: "second".to_owned(),
        secret: Some(v1::Secret {
            value: b"sk-second".to_vec(),
        }),
        user_id: String::new(),
    };
    let added = delegated
        .add_credential(on_behalf(&gateway, Some(ADMIN), add(&world.namespace)))
        .await;
    assert_eq!(
        added.expect("it is added").into_inner().credential,
        Some(installation.named("second"))
    );
    let elsewhere = delegated
        .add_credential(on_behalf(&gateway, Some(ADMIN), add("default")))
        .await;
    assert_eq!(elsewhere.expect_err("not there").code(), Code::PermissionDenied);
    let delete = |credential| {
        let request = v1::DeleteCredentialRequest { credential };
        delegated.delete_credential(on_behalf(&gateway, Some(ADMIN), request))
    };
    let nobody = delete(None).await.expect_err("nobody is named");
    assert_eq!(nobody.code(), Code::PermissionDenied);
    let applied = delete(Some(installation.named("main")))
        .await
        .expect_err("somebody applied it");
    assert_eq!(applied.code(), Code::FailedPrecondition);
    delete(Some(installation.named("second")))
        .await
        .expect("it was made here");
}
