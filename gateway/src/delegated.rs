//! What administrators ask over HTTP in a cluster: passed on to an operator, which changes the objects.
//!
//! The gateway says who it is, and passes on the caller's key: alone it may do nothing. How an operator is reached is
//! a [`Transport`].

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, Uri};
use proto::admin::v1::{self, delegated_client::DelegatedClient};
use snapshot::{CallLimits, ObjectName, Secret};
use tonic::{Status, body::Body, metadata::MetadataValue};
use tower_service::Service;

/// The metadata in which the caller's key is passed on.
const CLIENT_KEY: &str = "roundhouse-client-key-bin";

/// An answer that is awaited.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Box<dyn Error + Send + Sync>>> + Send>>;

/// Reaches an operator.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request to an operator, with the token that says that this is a gateway. Whoever implements it gives
    /// up after some time.
    fn send(&self, request: Request<Body>) -> Answer;
}

/// Passes on to an operator what administrators ask. Cheap to clone.
#[derive(Clone)]
pub struct Delegated(DelegatedClient<Shared>);

/// A client key to issue.
#[derive(Clone, Debug)]
pub(crate) struct Issue {
    /// Its name.
    pub(crate) name: ObjectName,
    /// Whether it may use the admin routes of its namespace.
    pub(crate) admin: bool,
    /// The models that it may name; empty is all.
    pub(crate) models: Vec<String>,
    /// What it may use at most.
    pub(crate) limits: Option<CallLimits>,
    /// When it stops working.
    pub(crate) expires_at: Option<jiff::Timestamp>,
}

impl Delegated {
    /// Asks the operator that `transport` reaches. `origin` is its URL.
    pub fn new(transport: Arc<dyn Transport>, origin: Uri) -> Self {
        Self(DelegatedClient::with_origin(Shared(transport), origin))
    }

    /// Adds a credential for whoever has this key.
    pub(crate) async fn add_credential(
        &self,
        key: &Secret,
        provider: &ObjectName,
        name: &ObjectName,
        secret: &Secret,
    ) -> Result<(), Status> {
        let message = v1::AddCredentialRequest {
            provider: Some(named(provider)),
            name: name.name().to_owned(),
            secret: Some(v1::Secret {
                value: secret.expose().to_vec(),
            }),
            user_id: String::new(),
        };
        let mut client = self.0.clone();
        // Boxed: every request would be as large otherwise.
        let answer = Box::pin(client.add_credential(on_behalf(key, message))).await;
        answer.map(drop)
    }

    /// Deletes a credential for whoever has this key.
    pub(crate) async fn delete_credential(&self, key: &Secret, name: &ObjectName) -> Result<(), Status> {
        let message = v1::DeleteCredentialRequest {
            credential: Some(named(name)),
        };
        let mut client = self.0.clone();
        let answer = Box::pin(client.delete_credential(on_behalf(key, message))).await;
        answer.map(drop)
    }

    /// Issues a client key for whoever has this key, and returns it.
    pub(crate) async fn issue_client_key(&self, key: &Secret, issue: Issue) -> Result<Secret, Status> {
        let message = v1::IssueClientKeyRequest {
            namespace: issue.name.namespace().to_owned(),
            name: issue.name.name().to_owned(),
            admin: issue.admin,
            models: issue.models,
            limits: issue.limits.map(|limits| v1::CallLimits {
                concurrency: limits.concurrency,
                requests_per_minute: limits.requests_per_minute,
                tokens_per_minute: limits.tokens_per_minute,
            }),
            expires_at: issue.expires_at.map(|end| prost_types::Timestamp {
                seconds: end.as_second(),
                nanos: end.subsec_nanosecond(),
            }),
        };
        let mut client = self.0.clone();
        let answer = Box::pin(client.issue_client_key(on_behalf(key, message))).await?;
        let key = answer.into_inner().key;
        key.map(|key| Secret::new(key.value))
            .ok_or_else(|| Status::internal("the operator's answer has no key"))
    }
}

impl fmt::Debug for Delegated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delegated")
    }
}

fn on_behalf<T>(key: &Secret, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let mut key = MetadataValue::from_bytes(key.expose());
    key.set_sensitive(true);
    request.metadata_mut().insert_bin(CLIENT_KEY, key);
    request
}

fn named(name: &ObjectName) -> v1::ObjectName {
    v1::ObjectName {
        namespace: name.namespace().to_owned(),
        name: name.name().to_owned(),
    }
}

#[derive(Clone)]
struct Shared(Arc<dyn Transport>);

impl Service<Request<Body>> for Shared {
    type Response = Response<Body>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.send(request)
    }
}

#[cfg(test)]
mod tests;
