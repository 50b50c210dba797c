//! What gateways ask on behalf of the callers of their admin routes.

use std::sync::Arc;

use proto::admin::v1::{self, delegated_server};
use snapshot::ClientName;
use subtle::ConstantTimeEq;
use tonic::{Request, Response, Status, async_trait, metadata::MetadataMap};

use super::{
    ask::{self, named},
    control::Control,
    credentials::Addition,
    identify::Identify,
    keys::Issue,
    service::logins_later,
};

/// The metadata in which a gateway passes on the caller's key.
pub const CLIENT_KEY_METADATA: &str = "roundhouse-client-key-bin";

/// Longest client key that is looked at, in bytes.
const KEY_MAX: usize = 4096;

/// The service for gateways. Everything is done in the namespace of the caller's key.
pub struct Delegated {
    control: Arc<Control>,
    identities: Arc<dyn Identify>,
    gateway_user: Arc<str>,
}

impl Delegated {
    pub(super) fn new(control: Arc<Control>, identities: Arc<dyn Identify>, gateway_user: Arc<str>) -> Self {
        Self {
            control,
            identities,
            gateway_user,
        }
    }

    /// The administrator on whose behalf a gateway asks.
    async fn administrator(&self, metadata: &MetadataMap) -> Result<ClientName, Status> {
        let caller = self.identities.identify(metadata).await?;
        if caller.username != *self.gateway_user {
            return Err(Status::permission_denied(format!(
                "this service is for the gateways of this installation, and {} is none",
                caller.username
            )));
        }
        let key = metadata
            .get_bin(CLIENT_KEY_METADATA)
            .and_then(|key| key.to_bytes().ok());
        let key = key.filter(|key| !key.is_empty() && key.len() <= KEY_MAX);
        let key = key.ok_or_else(|| Status::permission_denied("the caller's client key is missing"))?;
        let contents = &self.control.published()?.contents;
        let digest = contents.digest_key().digest(&key);
        let now = self.control.clock.now();
        let is_over = |end: Option<snapshot::Timestamp>| end.is_some_and(|end| end <= now);
        let mut known = None;
        // All are looked at: how long it takes says nothing about which one it is.
        for client in contents.snapshot().clients.values() {
            for key in &client.keys {
                let is_it: bool = key.digest.as_bytes().ct_eq(digest.as_bytes()).into();
                if is_it && !is_over(key.valid_until) && !is_over(client.expires_at) && client.admin {
                    known = Some(client.name.clone());
                }
            }
        }
        known.ok_or_else(|| {
            Status::permission_denied(
                "the client key is not known, has ended, or is not one of an administrator",
            )
        })
    }

    /// The administrator, when what it asks for is in its namespace.
    async fn within(&self, metadata: &MetadataMap, namespace: &str) -> Result<ClientName, Status> {
        let administrator = self.administrator(metadata).await?;
        if administrator.namespace() == namespace {
            return Ok(administrator);
        }
        Err(Status::permission_denied(
            "a client key acts in its own namespace only",
        ))
    }
}

#[async_trait]
impl delegated_server::Delegated for Delegated {
    async fn start_login(
        &self,
        request: Request<v1::StartLoginRequest>,
    ) -> Result<Response<v1::StartLoginResponse>, Status> {
        self.administrator(request.metadata()).await?;
        Err(logins_later())
    }

    async fn poll_login(
        &self,
        request: Request<v1::PollLoginRequest>,
    ) -> Result<Response<v1::PollLoginResponse>, Status> {
        self.administrator(request.metadata()).await?;
        Err(logins_later())
    }

    async fn add_credential(
        &self,
        request: Request<v1::AddCredentialRequest>,
    ) -> Result<Response<v1::AddCredentialResponse>, Status> {
        let _turn = self.control.turn()?;
        let namespace = request
            .get_ref()
            .provider
            .as_ref()
            .map(|provider| &*provider.namespace);
        let by = self
            .within(request.metadata(), namespace.unwrap_or_default())
            .await?;
        let addition = Addition::read(request.into_inner())?;
        self.control.add(&by, &addition).await?;
        Ok(Response::new(v1::AddCredentialResponse {
            credential: Some(named(&addition.name)),
        }))
    }

    async fn delete_credential(
        &self,
        request: Request<v1::DeleteCredentialRequest>,
    ) -> Result<Response<v1::DeleteCredentialResponse>, Status> {
        let _turn = self.control.turn()?;
        let credential = request.get_ref().credential.as_ref();
        let namespace = credential.map(|credential| &*credential.namespace);
        let by = self
            .within(request.metadata(), namespace.unwrap_or_default())
            .await?;
        let name = ask::object(credential, "credential")?;
        self.control.remove(&by, &name).await?;
        Ok(Response::new(v1::DeleteCredentialResponse {
            credential: Some(named(&name)),
        }))
    }

    async fn issue_client_key(
        &self,
        request: Request<v1::IssueClientKeyRequest>,
    ) -> Result<Response<v1::IssueClientKeyResponse>, Status> {
        let _turn = self.control.turn()?;
        let by = self
            .within(request.metadata(), &request.get_ref().namespace)
            .await?;
        let issue = Issue::read(request.into_inner(), self.control.clock.now())?;
        let issued = self.control.issue(&by, issue).await?;
        Ok(Response::new(issued.into()))
    }
}
