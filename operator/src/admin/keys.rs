//! Client keys that are issued through the API.

use std::fmt;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::{Api, ResourceExt};
use proto::admin::v1;
use resources::kinds::{ClientKey, ClientKeySpec, ClientLimits, ClientModels, CreationPolicy, MintTarget};
use snapshot::{ObjectName, Secret, Timestamp};
use tonic::Status;

use super::{
    ask,
    control::{Control, MADE_BY},
    refusal::{self, invalid},
};
use crate::{
    kubernetes::{CallError, call},
    mint::{Decision, MintError, settle},
};

/// The key in the Secret of a client key that is made here.
const KEY: &str = "api-key";

/// A client key to issue.
pub(super) struct Issue {
    /// Its name.
    pub(super) name: ObjectName,
    spec: ClientKeySpec,
}

/// A client key that was issued.
pub(super) struct Issued {
    pub(super) name: ObjectName,
    pub(super) key: Secret,
    pub(super) secret_name: String,
}

impl Issue {
    /// Reads a request.
    pub(super) fn read(request: v1::IssueClientKeyRequest, now: Timestamp) -> Result<Self, Status> {
        let namespace = ask::namespace(&request.namespace, "namespace")?;
        let name = ask::made(namespace, &request.name, "name")?;
        let expires_at = request.expires_at.map(|end| moment(end, now)).transpose()?;
        let limits = request.limits.map(|limits| ClientLimits {
            concurrency: limits.concurrency,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
            ..ClientLimits::default()
        });
        let models = (!request.models.is_empty()).then_some(ClientModels {
            allow: request.models,
        });
        let spec = ClientKeySpec {
            secret_ref: None,
            target: Some(MintTarget {
                name: format!("api-clientkey-{}", name.name()),
                key: KEY.to_owned(),
                creation_policy: CreationPolicy::Owner,
            }),
            rotation: None,
            admin: request.admin,
            models,
            limits,
            budgets: Vec::new(),
            expires_at,
            debug_headers: false,
        };
        Ok(Self { name, spec })
    }
}

/// A moment to come, as specs have it.
fn moment(end: prost_types::Timestamp, now: Timestamp) -> Result<String, Status> {
    let time = jiff::Timestamp::new(end.seconds, end.nanos)
        .map_err(|_| invalid("expires_at", "expected a time that can be written"))?;
    let micros = u64::try_from(time.as_microsecond()).unwrap_or(0);
    if Timestamp::from_micros(micros) <= now {
        return Err(invalid("expires_at", "lies in the past"));
    }
    Ok(time.to_string())
}

impl Control {
    /// Issues a client key: makes the object, and mints its key at once. The leader does the same; whoever is first
    /// wins, and both see one key.
    pub(super) async fn issue(&self, by: &impl fmt::Display, issue: Issue) -> Result<Issued, Status> {
        if !self.settings.mints {
            return Err(Status::failed_precondition(
                "this installation mints no client keys; set clientKeys.mint in the chart",
            ));
        }
        let Issue { name, spec } = issue;
        let secret_name = spec.kept_in().map(|kept| kept.name).unwrap_or_default();
        let mut object = ClientKey::new(name.name(), spec);
        let (label, value) = MADE_BY;
        object.metadata.labels = Some([(label.to_owned(), value.to_owned())].into());
        let made: ClientKey = self.create(&name, &object).await?;
        match self.minted(&name, &secret_name).await {
            Ok(key) => {
                tracing::info!(%by, object = %name, "client key issued through the API");
                Ok(Issued {
                    name,
                    key,
                    secret_name,
                })
            }
            Err(status) => {
                // Nobody was told the key, so nobody needs it, and the name is free for another attempt.
                if let Err(error) = self.delete(&name, &made).await {
                    tracing::warn!(object = %name, error = error.message(), "a client key that nobody knows is left");
                }
                self.remove_secret(&name, &secret_name, made.uid()).await;
                Err(status)
            }
        }
    }

    async fn minted(&self, name: &ObjectName, secret_name: &str) -> Result<Secret, Status> {
        let settled = settle(&self.client, name, &*self.clock)
            .await
            .map_err(|error| not_minted(&error))?;
        if settled == Decision::Refuse {
            return Err(Status::already_exists(format!(
                "there is a Secret {secret_name} that is not this client key's; take another name"
            )));
        }
        let secrets: Api<KubeSecret> = self.api(name.namespace());
        let mut secret = call(secrets.get(secret_name))
            .await
            .map_err(|error| not_read(&error))?;
        let key = secret.data.as_mut().and_then(|data| data.remove(KEY));
        key.map(|key| Secret::new(key.0))
            .ok_or_else(|| Status::aborted("somebody else changes the client key meanwhile; ask again"))
    }

    /// Deletes a client key that was issued here, with its Secret.
    pub(super) async fn revoke(&self, by: &impl fmt::Display, name: &ObjectName) -> Result<(), Status> {
        let object: ClientKey = self.made(name).await?;
        self.delete(name, &object).await?;
        tracing::info!(%by, object = %name, "client key revoked through the API");
        if let Some(kept) = object.spec.kept_in() {
            self.remove_secret(name, &kept.name, object.uid()).await;
        }
        Ok(())
    }
}

fn not_minted(error: &MintError) -> Status {
    match error {
        MintError::Call { what, source } => refusal::about_secret(what, source),
        MintError::Contended => Status::aborted("somebody else changes the client key meanwhile; ask again"),
        MintError::Random(_) => {
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "a client key cannot be minted");
            Status::internal("no random bits for a key")
        }
    }
}

fn not_read(error: &CallError) -> Status {
    refusal::about_secret("read the Secret of the client key", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_lies_ahead() {
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        let issue = |seconds: i64, nanos: i32| {
            let request = v1::IssueClientKeyRequest {
                namespace: "team".to_owned(),
                name: "tool".to_owned(),
                expires_at: Some(prost_types::Timestamp { seconds, nanos }),
                ..v1::IssueClientKeyRequest::default()
            };
            Issue::read(request, now).map(|issue| issue.spec.expires_at)
        };
        let end = issue(1_767_225_601, 500_000_000).expect("it lies ahead");
        assert_eq!(end.as_deref(), Some("2026-01-01T00:00:01.5Z"));
        for (seconds, nanos) in [(1_767_225_600, 0), (-1, 0), (i64::MAX, 0), (i64::MIN, 0), (0, -1)] {
            let refused = issue(seconds, nanos).expect_err("it does not");
            assert!(
                refused.message().starts_with("expires_at: "),
                "{}",
                refused.message()
            );
        }
    }
}
