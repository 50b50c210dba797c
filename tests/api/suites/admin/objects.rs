//! What becomes of objects.

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::{ResourceExt, api::PostParams};
use proto::admin::v1::{self, admin_server::Admin as _};
use resources::kinds::{ClientKey, Credential};
use serde_json::json;
use tonic::Code;

use super::{Installation, by};
use crate::stand_in::Told;

fn addition(installation: &Installation, name: &str, value: &str) -> v1::AddCredentialRequest {
    v1::AddCredentialRequest {
        provider: Some(installation.named("up")),
        name: name.to_owned(),
        secret: Some(v1::Secret {
            value: value.as_bytes().to_vec(),
        }),
        user_id: String::new(),
    }
}

#[tokio::test]
async fn a_credential_is_added_with_its_secret_and_deleted_with_it() {
    let installation = Installation::new("admin-add").await;
    let alice = installation.administrator();
    let told = Told::listen();
    let (world, admin) = (&installation.world, &installation.admin);
    let canary = "sk-canary-0123456789-abcdefghijkl";
    let added = admin
        .add_credential(by(&alice, addition(&installation, "second", canary)))
        .await;
    assert_eq!(
        added.expect("it is added").into_inner().credential,
        Some(installation.named("second"))
    );
    let object = world
        .api::<Credential>()
        .get("second")
        .await
        .expect("it is there");
    let secret = world
        .api::<KubeSecret>()
        .get_metadata("api-credential-second")
        .await
        .expect("it is there");
    assert_eq!(
        secret.owner_references()[0].uid,
        object.uid().expect("it has one")
    );
    assert_eq!(secret.labels()["roundhouse.dev/made-by"], "api");
    let published = world.publish().await;
    assert!(
        published
            .conditions
            .iter()
            .all(resources::ObjectConditions::is_good),
        "{:?}",
        published.conditions
    );

    let list = || v1::ListCredentialsRequest {
        namespace: world.namespace.clone(),
        provider: "up".to_owned(),
        page_size: 1,
        page_token: String::new(),
    };
    let first = admin
        .list_credentials(by(&alice, list()))
        .await
        .expect("it lists")
        .into_inner();
    let rest = v1::ListCredentialsRequest {
        page_token: first.next_page_token.clone(),
        ..list()
    };
    let second = admin
        .list_credentials(by(&alice, rest))
        .await
        .expect("it lists")
        .into_inner();
    assert_eq!(second.next_page_token, "", "there are two");
    let listed: Vec<_> = first.credentials.into_iter().chain(second.credentials).collect();
    let state = |index: usize| {
        let it = &listed[index];
        let name = it.credential.as_ref().map(|name| name.name.as_str());
        (name.unwrap_or_default(), it.usable, it.source())
    };
    assert_eq!(listed.len(), 2);
    assert_eq!(state(0), ("main", true, v1::Source::Applied));
    assert_eq!(state(1), ("second", true, v1::Source::Api));
    assert!(!listed[1].secret_version.is_empty());

    let delete = |name: &str| {
        let credential = Some(installation.named(name));
        admin.delete_credential(by(&alice, v1::DeleteCredentialRequest { credential }))
    };
    let applied = delete("main").await.expect_err("somebody applied it");
    assert_eq!(applied.code(), Code::FailedPrecondition);
    delete("second").await.expect("it was made here");
    assert!(
        world
            .api::<Credential>()
            .get_opt("second")
            .await
            .expect("an answer")
            .is_none()
    );
    assert_eq!(world.value("api-credential-second", "api-key").await, None);
    let gone = delete("second").await.expect_err("it is gone");
    assert_eq!(gone.code(), Code::NotFound);
    let told = told.text();
    assert!(told.contains("credential added through the API"), "{told}");
    assert!(!told.contains("canary"), "a secret was logged");
    let encoded = "c2stY2FuYXJ5";
    assert!(!told.contains(encoded), "a secret was logged in base64");
}

#[tokio::test]
async fn what_would_not_work_is_refused_and_leaves_nothing() {
    let installation = Installation::new("admin-refuse").await;
    let alice = installation.administrator();
    let (world, admin) = (&installation.world, &installation.admin);
    world
        .secret("api-credential-taken", "api-key", "sk-of-somebody")
        .await;
    let elsewhere = v1::AddCredentialRequest {
        provider: Some(installation.named("missing")),
        ..addition(&installation, "a", "sk-a")
    };
    let account = v1::AddCredentialRequest {
        user_id: "u".to_owned(),
        ..addition(&installation, "a", "sk-a")
    };
    let long = "k".repeat((64 << 10) + 1);
    let cases = [
        (
            addition(&installation, "main", "sk-a"),
            Code::AlreadyExists,
            "main",
        ),
        (
            addition(&installation, "taken", "sk-a"),
            Code::AlreadyExists,
            "Secret",
        ),
        (elsewhere, Code::NotFound, "missing"),
        (account, Code::InvalidArgument, "user_id"),
        (
            addition(&installation, "a", ""),
            Code::InvalidArgument,
            "secret.value",
        ),
        (
            addition(&installation, "a", "canary canary\nx"),
            Code::InvalidArgument,
            "secret.value",
        ),
        (
            addition(&installation, "a", &long),
            Code::InvalidArgument,
            "secret.value",
        ),
        (
            addition(&installation, "../a", "sk-a"),
            Code::InvalidArgument,
            "name",
        ),
    ];
    for (request, code, text) in cases {
        let refused = admin.add_credential(by(&alice, request)).await.expect_err(text);
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(text), "{refused}");
        assert!(!refused.message().contains("canary"), "{refused}");
    }
    let left = world
        .api::<Credential>()
        .list_metadata(&kube::api::ListParams::default())
        .await;
    let left: Vec<_> = left
        .expect("it lists")
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(left, ["main"]);
    assert_eq!(
        world.value("api-credential-taken", "api-key").await.as_deref(),
        Some("sk-of-somebody")
    );
}

#[tokio::test]
async fn what_is_asked_for_is_written_on_the_object() {
    let installation = Installation::new("admin-marks").await;
    let alice = installation.administrator();
    let (world, admin) = (&installation.world, &installation.admin);
    let credential = || Some(installation.named("main"));
    let spec = json!({
        "secretRef": {"name": "main"},
        "budgets": [{"name": "day", "duration": "24h", "requests": 10}],
    });
    world.make::<ClientKey>("tool", &spec).await;
    world.publish().await;

    let cleared = admin
        .clear_rest(by(
            &alice,
            v1::ClearRestRequest {
                credential: credential(),
            },
        ))
        .await
        .expect("it is asked for");
    let read = async || world.api::<Credential>().get("main").await.expect("it is there");
    let written: jiff::Timestamp = read().await.annotations()["roundhouse.dev/clear-rest"]
        .parse()
        .expect("a time");
    let told = cleared.into_inner().requested_at.expect("a time");
    assert_eq!(
        (written.as_second(), written.subsec_nanosecond()),
        (told.seconds, told.nanos)
    );

    let all = v1::reset_quota_request::Subject::Namespace(world.namespace.clone());
    let reset = admin
        .reset_quota(by(&alice, v1::ResetQuotaRequest { subject: Some(all) }))
        .await
        .expect("it is asked for")
        .into_inner();
    assert_eq!(reset.credentials, [], "main has no quota");
    assert_eq!(reset.client_keys, [installation.named("tool")]);
    let tool = world.api::<ClientKey>().get("tool").await.expect("it is there");
    assert!(tool.annotations().contains_key("roundhouse.dev/reset-quota"));
    let nobody = admin
        .reset_quota(by(&alice, v1::ResetQuotaRequest { subject: None }))
        .await;
    assert_eq!(nobody.expect_err("nobody is named").code(), Code::InvalidArgument);

    let before = read().await.metadata.generation.expect("it has one");
    let suspended = admin
        .suspend(by(
            &alice,
            v1::SuspendRequest {
                credential: credential(),
            },
        ))
        .await;
    assert_eq!(suspended.expect("it is done").into_inner().generation, before + 1);
    assert!(read().await.spec.suspend);
    let resumed = admin
        .resume(by(
            &alice,
            v1::ResumeRequest {
                credential: credential(),
            },
        ))
        .await;
    assert_eq!(resumed.expect("it is done").into_inner().generation, before + 2);
    assert!(!read().await.spec.suspend);
    let missing = v1::SuspendRequest {
        credential: Some(installation.named("missing")),
    };
    let missing = admin
        .suspend(by(&alice, missing))
        .await
        .expect_err("nothing is made by a change");
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_client_key_is_told_once_and_can_be_revoked() {
    let installation = Installation::new("admin-keys").await;
    let alice = installation.administrator();
    let log = Told::listen();
    let (world, admin) = (&installation.world, &installation.admin);
    let issue = |name: &str| v1::IssueClientKeyRequest {
        namespace: world.namespace.clone(),
        name: name.to_owned(),
        admin: true,
        models: vec!["gpt-*".to_owned()],
        limits: Some(v1::CallLimits {
            requests_per_minute: Some(60),
            ..v1::CallLimits::default()
        }),
        expires_at: None,
    };
    let issued = admin
        .issue_client_key(by(&alice, issue("tool")))
        .await
        .expect("it is issued")
        .into_inner();
    let key = issued.key.expect("it is told").value;
    let text = String::from_utf8(key.clone()).expect("text");
    assert_eq!(
        world.value(&issued.secret_name, "api-key").await.as_ref(),
        Some(&text)
    );
    let contents = world.publish().await.contents.clone();
    let client = contents.snapshot().clients.values().next().expect("it works");
    assert_eq!(client.keys, [contents.digest_key().digest(&key).into()]);
    assert!(client.admin && client.limits.requests_per_minute == Some(60));

    let twice = admin
        .issue_client_key(by(&alice, issue("tool")))
        .await
        .expect_err("the name is taken");
    assert_eq!(twice.code(), Code::AlreadyExists);
    let bad = v1::IssueClientKeyRequest {
        models: vec![String::new()],
        ..issue("bad")
    };
    let bad = admin
        .issue_client_key(by(&alice, bad))
        .await
        .expect_err("a model has a name");
    assert_eq!(bad.code(), Code::InvalidArgument);
    assert!(bad.message().contains("spec.models.allow[0]"), "{bad}");
    world
        .secret("api-clientkey-squatted", "api-key", "of somebody else")
        .await;
    let squatted = admin
        .issue_client_key(by(&alice, issue("squatted")))
        .await
        .expect_err("the Secret is taken");
    assert_eq!(squatted.code(), Code::AlreadyExists);
    assert!(
        world
            .api::<ClientKey>()
            .get_opt("squatted")
            .await
            .expect("an answer")
            .is_none(),
        "nothing is left"
    );
    assert!(
        world.value("api-clientkey-squatted", "api-key").await.is_some(),
        "nor is anything taken"
    );

    let applied: ClientKey = serde_json::from_str(
        r#"{"apiVersion": "roundhouse.dev/v1alpha1", "kind": "ClientKey", "metadata": {"name": "applied"},
            "spec": {"secretRef": {"name": "main"}}}"#,
    )
    .expect("a ClientKey");
    world
        .api()
        .create(&PostParams::default(), &applied)
        .await
        .expect("it is made");
    let revoke = |name: &str| {
        let client_key = Some(installation.named(name));
        admin.revoke_client_key(by(&alice, v1::RevokeClientKeyRequest { client_key }))
    };
    let refused = revoke("applied").await.expect_err("somebody applied it");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    revoke("tool").await.expect("it was issued here");
    assert_eq!(world.value(&issued.secret_name, "api-key").await, None);
    let clients = &world.publish().await.contents.snapshot().clients.len();
    assert_eq!(*clients, 0);
    let log = log.text();
    assert!(log.contains("client key issued through the API"), "{log}");
    assert!(
        !log.contains(&text) && !log.contains(&text[3..20]),
        "the key was logged"
    );
}
