//! An operator in the same process: what it is asked, and what becomes of its answers.

use std::sync::Mutex;

use proto::admin::v1::delegated_server::{self, DelegatedServer};
use tonic::{Code, Request as Asked, Response as Told, async_trait};

use super::*;

const KEY: &str = "canary-of-an-administrator";

/// Writes down what it is asked, with the caller's key.
#[derive(Default)]
struct Operator(Mutex<Vec<String>>);

impl Operator {
    fn note<T: fmt::Debug>(&self, request: &Asked<T>) {
        let key = request.metadata().get_bin(CLIENT_KEY);
        let key = key.and_then(|key| key.to_bytes().ok()).unwrap_or_default();
        let key = String::from_utf8_lossy(&key).into_owned();
        self.0
            .lock()
            .unwrap()
            .push(format!("{key}: {:?}", request.get_ref()));
    }
}

/// The service, in place of a connection to it.
struct Within(Arc<Operator>);

impl Transport for Within {
    fn send(&self, request: Request<Body>) -> Answer {
        let mut service = DelegatedServer::from_arc(self.0.clone());
        Box::pin(async move { Ok(service.call(request).await?) })
    }
}

/// Nobody is there.
struct Nobody;

impl Transport for Nobody {
    fn send(&self, _: Request<Body>) -> Answer {
        Box::pin(async { Err("no operator is known".into()) })
    }
}

#[async_trait]
impl delegated_server::Delegated for Operator {
    async fn start_login(
        &self,
        _: Asked<v1::StartLoginRequest>,
    ) -> Result<Told<v1::StartLoginResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn poll_login(
        &self,
        _: Asked<v1::PollLoginRequest>,
    ) -> Result<Told<v1::PollLoginResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn add_credential(
        &self,
        request: Asked<v1::AddCredentialRequest>,
    ) -> Result<Told<v1::AddCredentialResponse>, Status> {
        self.note(&request);
        let secret = request.into_inner().secret.map(|secret| secret.value);
        assert_eq!(secret.as_deref(), Some(&b"sk-new"[..]));
        Ok(Told::new(v1::AddCredentialResponse::default()))
    }

    async fn delete_credential(
        &self,
        request: Asked<v1::DeleteCredentialRequest>,
    ) -> Result<Told<v1::DeleteCredentialResponse>, Status> {
        self.note(&request);
        Err(Status::failed_precondition("delete it where it was applied"))
    }

    async fn issue_client_key(
        &self,
        request: Asked<v1::IssueClientKeyRequest>,
    ) -> Result<Told<v1::IssueClientKeyResponse>, Status> {
        self.note(&request);
        Ok(Told::new(v1::IssueClientKeyResponse {
            key: (request.get_ref().name == "tool").then(|| v1::Secret {
                value: b"rh-minted".to_vec(),
            }),
            ..v1::IssueClientKeyResponse::default()
        }))
    }
}

fn name(text: &str) -> ObjectName {
    text.parse().expect("a name")
}

#[tokio::test]
async fn what_is_asked_arrives_with_the_callers_key() {
    let operator = Arc::new(Operator::default());
    let origin = Uri::from_static("https://operator:9443");
    let delegated = Delegated::new(Arc::new(Within(operator.clone())), origin);
    let key = Secret::new(KEY);
    let secret = Secret::new("sk-new");
    let (up, main) = (name("team/up"), name("team/main"));
    let added = delegated.add_credential(&key, &up, &main, &secret).await;
    added.expect("it is added");
    let refused = delegated.delete_credential(&key, &main).await;
    let refused = refused.expect_err("it was applied");
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::FailedPrecondition, "delete it where it was applied")
    );
    let issue = |name: &str| Issue {
        name: name.parse().expect("a name"),
        admin: true,
        models: vec!["gpt-*".to_owned()],
        limits: None,
        expires_at: Some("2027-01-31T00:00:00.5Z".parse().expect("a time")),
    };
    let issued = delegated.issue_client_key(&key, issue("team/tool")).await;
    assert_eq!(issued.expect("it is issued").expose(), b"rh-minted");
    let empty = delegated.issue_client_key(&key, issue("team/silent")).await;
    assert_eq!(empty.expect_err("no key was told").code(), Code::Internal);

    let asked = operator.0.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| asked.starts_with(KEY)), "{asked:?}");
    assert!(
        asked[0].contains(r#"name: "up""#) && asked[0].contains(r#"name: "main""#),
        "{asked:?}"
    );
    assert!(!asked[0].contains("sk-new"), "a secret was printed");
    assert!(
        asked[2].contains("seconds: 1801353600") && asked[2].contains("nanos: 500000000"),
        "{asked:?}"
    );
    assert_eq!(format!("{delegated:?}"), "Delegated");
}

#[tokio::test]
async fn an_operator_that_is_away_is_no_refusal() {
    let delegated = Delegated::new(Arc::new(Nobody), Uri::from_static("https://operator:9443"));
    let refused = delegated
        .delete_credential(&Secret::new(KEY), &name("team/main"))
        .await;
    let refused = refused.expect_err("nobody is there");
    assert!(
        !matches!(refused.code(), Code::NotFound | Code::PermissionDenied),
        "{refused}"
    );
    assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
}
