//! The service for people and tools.

use std::{collections::BTreeSet, sync::Arc};

use pool::redis::{ledger::SharedLedger, link::Link};
use proto::admin::v1::{self, admin_server, reset_quota_request::Subject};
use resources::{
    Objects,
    kinds::{ClientKey, Credential},
};
use snapshot::{CredentialName, ObjectName, Timestamp};
use tonic::{Request, Response, Status, async_trait, metadata::MetadataMap};

use super::{
    access::{Access, Deed, Resource},
    ask::{self, named},
    control::Control,
    credentials::Addition,
    gateways,
    identify::{Caller, Identify},
    keys::{Issue, Issued},
    listing,
    marks::{CLEAR_REST, RESET_QUOTA, with_quota},
    refusal::invalid,
    state::{Sight, moment},
    usage,
};
use crate::gateways::Gateway;

/// The service for people and tools. Each may do what Kubernetes lets it do to the object concerned.
pub struct Admin(Parts);

/// What [`Admin`] is made of.
pub(super) struct Parts {
    pub(super) control: Arc<Control>,
    pub(super) access: Access,
    pub(super) people: Arc<dyn Identify>,
    pub(super) gateway_user: Arc<str>,
    pub(super) gateways: Arc<dyn Fn() -> Vec<Gateway> + Send + Sync>,
    pub(super) in_flight: Arc<dyn Fn(&CredentialName) -> u32 + Send + Sync>,
    pub(super) usage: Option<Arc<SharedLedger<Link>>>,
}

impl Admin {
    pub(super) const fn new(parts: Parts) -> Self {
        Self(parts)
    }

    /// Who calls. Gateways are refused: a client key behind one of them must not come to more than [`super::Delegated`]
    /// gives.
    async fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let caller = self.0.people.identify(metadata).await?;
        if caller.username == *self.0.gateway_user {
            return Err(Status::permission_denied("gateways may not administer"));
        }
        Ok(caller)
    }

    /// Lets a caller do this to an object.
    async fn permit(
        &self,
        caller: &Caller,
        verb: &'static str,
        resource: Resource,
        name: &ObjectName,
    ) -> Result<(), Status> {
        let deed = Deed {
            verb,
            resource,
            namespace: Some(name.namespace()),
            name: Some(name.name()),
        };
        self.0.access.permit(caller, deed).await
    }

    async fn set_suspended(
        &self,
        metadata: &MetadataMap,
        named: Option<&v1::ObjectName>,
        suspend: bool,
    ) -> Result<i64, Status> {
        let _turn = self.0.control.turn()?;
        let caller = self.caller(metadata).await?;
        let name = ask::object(named, "credential")?;
        self.permit(&caller, "patch", Resource::Credentials, &name)
            .await?;
        let generation = self.0.control.suspend(&name, suspend).await?;
        tracing::info!(by = caller.username, object = %name, suspend, "credential changed through the API");
        Ok(generation)
    }

    /// Begins quotas and budgets of a whole namespace anew.
    async fn reset_all(
        &self,
        caller: &Caller,
        namespace: &str,
        at: Timestamp,
    ) -> Result<v1::ResetQuotaResponse, Status> {
        for resource in [Resource::Credentials, Resource::ClientKeys] {
            let deed = Deed {
                verb: "patch",
                resource,
                namespace: Some(namespace),
                name: None,
            };
            self.0.access.permit(caller, deed).await?;
        }
        let published = self.0.control.published()?;
        let (credentials, client_keys) = with_quota(&published.objects, namespace);
        self.0.control.reset_all(&credentials, &client_keys, at).await?;
        tracing::info!(by = caller.username, namespace, "quotas reset through the API");
        Ok(v1::ResetQuotaResponse {
            requested_at: Some(moment(at)),
            credentials: credentials.iter().map(named).collect(),
            client_keys: client_keys.iter().map(named).collect(),
        })
    }
}

#[async_trait]
impl admin_server::Admin for Admin {
    async fn list_credentials(
        &self,
        request: Request<v1::ListCredentialsRequest>,
    ) -> Result<Response<v1::ListCredentialsResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let caller = self.caller(request.metadata()).await?;
        let question = listing::Question::read(request.into_inner())?;
        let published = self.0.control.published()?;
        let namespace = question.namespace.as_deref();
        let all = namespaces(&published.objects);
        let visible = self
            .0
            .access
            .visible(&caller, &[Resource::Credentials], namespace, all)
            .await?;
        let sight = Sight {
            published: &published,
            gateways: &(self.0.gateways)(),
            in_flight: &*self.0.in_flight,
            now: self.0.control.clock.now(),
        };
        Ok(Response::new(question.answer(&sight, &visible)))
    }

    async fn clear_rest(
        &self,
        request: Request<v1::ClearRestRequest>,
    ) -> Result<Response<v1::ClearRestResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let caller = self.caller(request.metadata()).await?;
        let name = ask::object(request.get_ref().credential.as_ref(), "credential")?;
        self.permit(&caller, "patch", Resource::Credentials, &name)
            .await?;
        let by = caller.username;
        let at = self.0.control.clock.now();
        self.0.control.mark::<Credential>(&name, CLEAR_REST, at).await?;
        tracing::info!(by, object = %name, "rests cleared through the API");
        Ok(Response::new(v1::ClearRestResponse {
            requested_at: Some(moment(at)),
        }))
    }

    async fn reset_quota(
        &self,
        request: Request<v1::ResetQuotaRequest>,
    ) -> Result<Response<v1::ResetQuotaResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let at = self.0.control.clock.now();
        let caller = self.caller(request.metadata()).await?;
        let mut answer = v1::ResetQuotaResponse {
            requested_at: Some(moment(at)),
            ..v1::ResetQuotaResponse::default()
        };
        let control = &self.0.control;
        match &request.get_ref().subject {
            None => {
                return Err(invalid(
                    "subject",
                    "name a credential, a client key or a namespace",
                ));
            }
            Some(Subject::Namespace(namespace)) => {
                let namespace = ask::namespace(namespace, "namespace")?;
                answer = self.reset_all(&caller, namespace, at).await?;
            }
            Some(Subject::Credential(name)) => {
                let name = ask::object(Some(name), "credential")?;
                self.permit(&caller, "patch", Resource::Credentials, &name)
                    .await?;
                let by = &caller.username;
                control.mark::<Credential>(&name, RESET_QUOTA, at).await?;
                tracing::info!(by, object = %name, "quota reset through the API");
                answer.credentials.push(named(&name));
            }
            Some(Subject::ClientKey(name)) => {
                let name = ask::object(Some(name), "client_key")?;
                self.permit(&caller, "patch", Resource::ClientKeys, &name).await?;
                let by = &caller.username;
                control.mark::<ClientKey>(&name, RESET_QUOTA, at).await?;
                tracing::info!(by, object = %name, "budgets reset through the API");
                answer.client_keys.push(named(&name));
            }
        }
        Ok(Response::new(answer))
    }

    async fn refresh_now(
        &self,
        request: Request<v1::RefreshNowRequest>,
    ) -> Result<Response<v1::RefreshNowResponse>, Status> {
        self.caller(request.metadata()).await?;
        Err(Status::unimplemented(
            "this version has no credentials with tokens; a key is changed in its Secret",
        ))
    }

    async fn suspend(
        &self,
        request: Request<v1::SuspendRequest>,
    ) -> Result<Response<v1::SuspendResponse>, Status> {
        let named = request.get_ref().credential.as_ref();
        let generation = self.set_suspended(request.metadata(), named, true).await?;
        Ok(Response::new(v1::SuspendResponse { generation }))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeResponse>, Status> {
        let named = request.get_ref().credential.as_ref();
        let generation = self.set_suspended(request.metadata(), named, false).await?;
        Ok(Response::new(v1::ResumeResponse { generation }))
    }

    async fn get_usage(
        &self,
        request: Request<v1::GetUsageRequest>,
    ) -> Result<Response<v1::GetUsageResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let caller = self.caller(request.metadata()).await?;
        let asked = request.get_ref();
        let question = usage::Question::read(asked, self.0.control.clock.now())?;
        let namespace = ask::namespace_or_all(&asked.namespace, "namespace")?;
        let all = namespaces(&self.0.control.published()?.objects);
        let both = [Resource::Credentials, Resource::ClientKeys];
        let visible = self.0.access.visible(&caller, &both, namespace, all).await?;
        let Some(shared) = &self.0.usage else {
            return Err(Status::unavailable(
                "this installation has no Redis in which gateways share what was used; ask a gateway's metrics",
            ));
        };
        let report = shared.usage(&question.days, None).await.map_err(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "usage cannot be read");
            Status::unavailable("the store of usage does not answer; ask again")
        })?;
        Ok(Response::new(question.answer(report, &visible)))
    }

    async fn start_login(
        &self,
        request: Request<v1::StartLoginRequest>,
    ) -> Result<Response<v1::StartLoginResponse>, Status> {
        self.caller(request.metadata()).await?;
        Err(logins_later())
    }

    async fn poll_login(
        &self,
        request: Request<v1::PollLoginRequest>,
    ) -> Result<Response<v1::PollLoginResponse>, Status> {
        self.caller(request.metadata()).await?;
        Err(logins_later())
    }

    async fn add_credential(
        &self,
        request: Request<v1::AddCredentialRequest>,
    ) -> Result<Response<v1::AddCredentialResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let (metadata, _, asked) = request.into_parts();
        let caller = self.caller(&metadata).await?;
        let addition = Addition::read(asked)?;
        self.permit(&caller, "create", Resource::Credentials, &addition.name)
            .await?;
        let by = caller.username;
        self.0.control.add(&by, &addition).await?;
        Ok(Response::new(v1::AddCredentialResponse {
            credential: Some(named(&addition.name)),
        }))
    }

    async fn delete_credential(
        &self,
        request: Request<v1::DeleteCredentialRequest>,
    ) -> Result<Response<v1::DeleteCredentialResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let caller = self.caller(request.metadata()).await?;
        let name = ask::object(request.get_ref().credential.as_ref(), "credential")?;
        self.permit(&caller, "delete", Resource::Credentials, &name)
            .await?;
        let by = caller.username;
        self.0.control.remove(&by, &name).await?;
        Ok(Response::new(v1::DeleteCredentialResponse {
            credential: Some(named(&name)),
        }))
    }

    async fn issue_client_key(
        &self,
        request: Request<v1::IssueClientKeyRequest>,
    ) -> Result<Response<v1::IssueClientKeyResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let (metadata, _, asked) = request.into_parts();
        let caller = self.caller(&metadata).await?;
        let issue = Issue::read(asked, self.0.control.clock.now())?;
        self.permit(&caller, "create", Resource::ClientKeys, &issue.name)
            .await?;
        let by = caller.username;
        let issued = self.0.control.issue(&by, issue).await?;
        Ok(Response::new(issued.into()))
    }

    async fn revoke_client_key(
        &self,
        request: Request<v1::RevokeClientKeyRequest>,
    ) -> Result<Response<v1::RevokeClientKeyResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let caller = self.caller(request.metadata()).await?;
        let name = ask::object(request.get_ref().client_key.as_ref(), "client_key")?;
        self.permit(&caller, "delete", Resource::ClientKeys, &name)
            .await?;
        let by = caller.username;
        self.0.control.revoke(&by, &name).await?;
        Ok(Response::new(v1::RevokeClientKeyResponse {
            client_key: Some(named(&name)),
        }))
    }

    async fn list_gateways(
        &self,
        request: Request<v1::ListGatewaysRequest>,
    ) -> Result<Response<v1::ListGatewaysResponse>, Status> {
        let _turn = self.0.control.turn()?;
        let caller = self.caller(request.metadata()).await?;
        // Gateways are no objects: whoever may see the credentials beside the installation may see who serves them.
        let deed = Deed {
            verb: "list",
            resource: Resource::Credentials,
            namespace: Some(&self.0.control.settings.namespace),
            name: None,
        };
        self.0.access.permit(&caller, deed).await?;
        let published = self.0.control.published()?;
        let now = self.0.control.clock.now();
        let answer = gateways::list(&published, (self.0.gateways)(), now);
        Ok(Response::new(answer))
    }
}

impl From<Issued> for v1::IssueClientKeyResponse {
    fn from(issued: Issued) -> Self {
        Self {
            client_key: Some(named(&issued.name)),
            key: Some(v1::Secret {
                value: issued.key.expose().to_vec(),
            }),
            secret_name: issued.secret_name,
        }
    }
}

/// The namespaces of all objects.
fn namespaces(objects: &Objects) -> BTreeSet<String> {
    let names = objects
        .iter()
        .map(|(identity, _)| identity.name.namespace().to_owned());
    names.collect()
}

pub(super) fn logins_later() -> Status {
    Status::unimplemented("this version has no logins at vendors; add a credential with its key")
}
