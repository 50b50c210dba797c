//! Who may do what.

use proto::admin::v1::{self, admin_server::Admin as _};
use tonic::{Code, Request, Status};

use super::{Installation, by};
use crate::stand_in::token;

/// The codes of all that can be asked of the Credential `main` and the like, in a fixed order. What changes something
/// comes last.
async fn answers(installation: &Installation, token: &str) -> Vec<(&'static str, Code)> {
    let namespace = installation.world.namespace.clone();
    let credential = || installation.named("main");
    let list = v1::ListCredentialsRequest {
        namespace: namespace.clone(),
        ..Default::default()
    };
    let usage = v1::GetUsageRequest {
        namespace: namespace.clone(),
        ..Default::default()
    };
    let all = v1::reset_quota_request::Subject::Namespace(namespace.clone());
    let add = v1::AddCredentialRequest {
        provider: installation.named("up"),
        name: "added".to_owned(),
        secret: Some(v1::Secret {
            value: b"sk-added".to_vec(),
        }),
        user_id: String::new(),
    };
    let issue = v1::IssueClientKeyRequest {
        namespace,
        name: "issued".to_owned(),
        ..Default::default()
    };
    let admin = &installation.admin;
    let one = |credential| v1::ClearRestRequest { credential };
    let code = |status: Result<(), Status>| status.map_or_else(|status| status.code(), |()| Code::Ok);
    vec![
        (
            "list",
            code(admin.list_credentials(by(token, list)).await.map(drop)),
        ),
        ("usage", code(admin.get_usage(by(token, usage)).await.map(drop))),
        (
            "gateways",
            code(
                admin
                    .list_gateways(by(token, v1::ListGatewaysRequest {}))
                    .await
                    .map(drop),
            ),
        ),
        (
            "clear",
            code(admin.clear_rest(by(token, one(credential()))).await.map(drop)),
        ),
        (
            "reset",
            code(
                admin
                    .reset_quota(by(token, v1::ResetQuotaRequest { subject: Some(all) }))
                    .await
                    .map(drop),
            ),
        ),
        (
            "suspend",
            code(
                admin
                    .suspend(by(
                        token,
                        v1::SuspendRequest {
                            credential: credential(),
                        },
                    ))
                    .await
                    .map(drop),
            ),
        ),
        (
            "resume",
            code(
                admin
                    .resume(by(
                        token,
                        v1::ResumeRequest {
                            credential: credential(),
                        },
                    ))
                    .await
                    .map(drop),
            ),
        ),
        (
            "refresh",
            code(
                admin
                    .refresh_now(by(
                        token,
                        v1::RefreshNowRequest {
                            credential: credential(),
                        },
                    ))
                    .await
                    .map(drop),
            ),
        ),
        (
            "login",
            code(
                admin
                    .start_login(by(token, v1::StartLoginRequest::default()))
                    .await
                    .map(drop),
            ),
        ),
        ("add", code(admin.add_credential(by(token, add)).await.map(drop))),
        (
            "delete",
            code(
                admin
                    .delete_credential(by(
                        token,
                        v1::DeleteCredentialRequest {
                            credential: installation.named("added"),
                        },
                    ))
                    .await
                    .map(drop),
            ),
        ),
        (
            "issue",
            code(admin.issue_client_key(by(token, issue)).await.map(drop)),
        ),
        (
            "revoke",
            code(
                admin
                    .revoke_client_key(by(
                        token,
                        v1::RevokeClientKeyRequest {
                            client_key: installation.named("issued"),
                        },
                    ))
                    .await
                    .map(drop),
            ),
        ),
    ]
}

#[tokio::test]
async fn each_may_do_what_kubernetes_lets_it_do() {
    let installation = Installation::new("admin-rights").await;
    let alice = installation.administrator().await;
    let bob = installation.person("bob", &[]).await;
    let reader = installation
        .person("reader", &[("list", "credentials.roundhouse.dev")])
        .await;
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
    let alice = installation.administrator().await;
    let world = &installation.world;
    let gateway = installation.token("roundhouse-gateway").await;
    let wrong = token(
        &world.client,
        &world.namespace,
        "alice",
        Some("roundhouse-discovery"),
    )
    .await;
    let plain = token(&world.client, &world.namespace, "alice", None).await;
    let forged = format!("{}x", &alice[..alice.len() - 1]);
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
    let alice = installation.administrator().await;
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
