//! Who may do what.

use cluster::ApiServer;
use proto::admin::v1::{self, admin_server::Admin as _};
use tonic::{Code, Request, Response, Status};

use super::{Installation, by};

/// The codes of all that can be asked of the Credential `main` and the like, in a fixed order.
async fn answers(installation: &Installation, token: &str) -> Vec<(&'static str, Code)> {
    let mut answers = looks_and_marks(installation, token).await;
    answers.extend(makes_and_deletes(installation, token).await);
    answers
}

async fn looks_and_marks(installation: &Installation, token: &str) -> Vec<(&'static str, Code)> {
    let admin = &installation.admin;
    let namespace = || installation.world.namespace.clone();
    let credential = Some(installation.named("main"));
    let list = v1::ListCredentialsRequest {
        namespace: namespace(),
        ..v1::ListCredentialsRequest::default()
    };
    let usage = v1::GetUsageRequest {
        namespace: namespace(),
        ..v1::GetUsageRequest::default()
    };
    let gateways = v1::ListGatewaysRequest {};
    let clear = v1::ClearRestRequest {
        credential: credential.clone(),
    };
    let reset = v1::ResetQuotaRequest {
        subject: Some(v1::reset_quota_request::Subject::Namespace(namespace())),
    };
    let suspend = v1::SuspendRequest {
        credential: credential.clone(),
    };
    let resume = v1::ResumeRequest {
        credential: credential.clone(),
    };
    let refresh = v1::RefreshNowRequest { credential };
    let login = v1::StartLoginRequest::default();
    vec![
        ("list", code(&admin.list_credentials(by(token, list)).await)),
        ("usage", code(&admin.get_usage(by(token, usage)).await)),
        ("gateways", code(&admin.list_gateways(by(token, gateways)).await)),
        ("clear", code(&admin.clear_rest(by(token, clear)).await)),
        ("reset", code(&admin.reset_quota(by(token, reset)).await)),
        ("suspend", code(&admin.suspend(by(token, suspend)).await)),
        ("resume", code(&admin.resume(by(token, resume)).await)),
        ("refresh", code(&admin.refresh_now(by(token, refresh)).await)),
        ("login", code(&admin.start_login(by(token, login)).await)),
    ]
}

async fn makes_and_deletes(installation: &Installation, token: &str) -> Vec<(&'static str, Code)> {
    let admin = &installation.admin;
    let add = v1::AddCredentialRequest {
        provider: Some(installation.named("up")),
        name: "added".to_owned(),
        secret: Some(v1::Secret {
            value: b"sk-added".to_vec(),
        }),
        user_id: String::new(),
    };
    let delete = v1::DeleteCredentialRequest {
        credential: Some(installation.named("added")),
    };
    let issue = v1::IssueClientKeyRequest {
        namespace: installation.world.namespace.clone(),
        name: "issued".to_owned(),
        ..v1::IssueClientKeyRequest::default()
    };
    let revoke = v1::RevokeClientKeyRequest {
        client_key: Some(installation.named("issued")),
    };
    vec![
        ("add", code(&admin.add_credential(by(token, add)).await)),
        ("delete", code(&admin.delete_credential(by(token, delete)).await)),
        ("issue", code(&admin.issue_client_key(by(token, issue)).await)),
        ("revoke", code(&admin.revoke_client_key(by(token, revoke)).await)),
    ]
}

fn code<T>(answer: &Result<Response<T>, Status>) -> Code {
    answer.as_ref().map_or_else(Status::code, |_| Code::Ok)
}

#[tokio::test]
async fn each_may_do_what_kubernetes_lets_it_do() {
    let installation = Installation::new("admin-rights").await;
    let alice = installation.administrator();
    let bob = installation.person("bob", &[]);
    let reader = installation.person("reader", &[("list", "credentials.roundhouse.dev")]);
    let (ok, no, later) = (Code::Ok, Code::PermissionDenied, Code::Unimplemented);
    let expected = |cells: [Code; 13]| {
        let names = [
            "list", "usage", "gateways", "clear", "reset", "suspend", "resume", "refresh", "login", "add",
            "delete", "issue", "revoke",
        ];
        names.into_iter().zip(cells).collect::<Vec<_>>()
    };
    // There is no Redis here that knows what was used.
    let away = Code::Unavailable;
    assert_eq!(
        answers(&installation, &bob).await,
        expected([no, no, no, no, no, no, no, later, later, no, no, no, no])
    );
    assert_eq!(
        answers(&installation, &reader).await,
        expected([ok, no, ok, no, no, no, no, later, later, no, no, no, no])
    );
    assert_eq!(
        answers(&installation, &alice).await,
        expected([ok, away, ok, ok, ok, ok, ok, later, later, ok, ok, ok, ok])
    );
}

#[tokio::test]
async fn who_is_not_known_or_is_a_gateway_is_refused() {
    let installation = Installation::new("admin-strangers").await;
    let alice = installation.administrator();
    let world = &installation.world;
    let gateway = installation.token("roundhouse-gateway");
    let wrong = world.token("alice", "roundhouse-discovery");
    let plain = ApiServer::shared().token(&world.namespace, "alice", &[]);
    let (claims, signature) = alice.rsplit_once('.').expect("a token has parts");
    // Not at its end, where some bits mean nothing.
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{claims}.{other}{}", &signature[1..]);
    let cases = [
        ("a gateway", &gateway, Code::PermissionDenied),
        ("another audience", &wrong, Code::Unauthenticated),
        ("a token for the API server", &plain, Code::Unauthenticated),
        ("a forged token", &forged, Code::Unauthenticated),
    ];
    for (who, token, expected) in cases {
        for (what, code) in answers(&installation, token).await {
            assert_eq!(code, expected, "{who}: {what}");
        }
    }
    let nobody = installation
        .admin
        .list_gateways(Request::new(v1::ListGatewaysRequest {}))
        .await;
    assert_eq!(nobody.expect_err("nobody asks").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn who_may_list_one_namespace_sees_that_one() {
    let installation = Installation::new("admin-visible").await;
    let alice = installation.administrator();
    let everywhere = by(&alice, v1::ListCredentialsRequest::default());
    let listed = installation
        .admin
        .list_credentials(everywhere)
        .await
        .expect("one may be listed");
    assert_eq!(listed.get_ref().credentials.len(), 1);
    let elsewhere = v1::ListCredentialsRequest {
        namespace: "default".to_owned(),
        ..Default::default()
    };
    let refused = installation.admin.list_credentials(by(&alice, elsewhere)).await;
    let refused = refused.expect_err("not there");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        refused
            .message()
            .contains("list credentials.roundhouse.dev in namespace default"),
        "{refused}"
    );
}
