//! Credentials that are made through the API.

use std::{collections::BTreeMap, fmt, sync::Arc};

use k8s_openapi::{
    ByteString, api::core::v1::Secret as KubeSecret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use proto::admin::v1;
use resources::{
    Identity, Kind, Object, Reason, SecretValue, SecretValues, compile,
    kinds::{ApiKey, Credential, CredentialSpec, LocalReference, SecretKeyReference},
};
use snapshot::{ObjectName, Secret};
use tonic::Status;

use super::{
    ask,
    control::{Control, MADE_BY},
    refusal::{self, invalid},
};
use crate::{
    kubernetes::{call, post},
    mint::LABELS,
};

/// The only key of Secrets that are made here.
const KEY: &str = "api-key";

/// Longest secret, in bytes.
const SECRET_MAX: usize = 64 << 10;

/// A credential to add.
pub(super) struct Addition {
    /// Its name.
    pub(super) name: ObjectName,
    provider: ObjectName,
    secret: Secret,
}

impl Addition {
    /// Reads a request.
    pub(super) fn read(request: v1::AddCredentialRequest) -> Result<Self, Status> {
        let provider = ask::object(request.provider.as_ref(), "provider")?;
        let name = ask::made(provider.namespace(), &request.name, "name")?;
        let secret = request.secret.map(|secret| Secret::new(secret.value));
        let secret = secret
            .filter(|secret| !secret.expose().is_empty())
            .ok_or_else(|| invalid("secret.value", "is required"))?;
        if secret.expose().len() > SECRET_MAX {
            return Err(invalid(
                "secret.value",
                &format!("is longer than {} KiB", SECRET_MAX >> 10),
            ));
        }
        if !request.user_id.is_empty() {
            return Err(invalid(
                "user_id",
                "is for Providers whose accounts have one, and this Provider's have none; leave it out",
            ));
        }
        Ok(Self {
            name,
            provider,
            secret,
        })
    }

    fn secret_name(&self) -> String {
        format!("api-credential-{}", self.name.name())
    }

    fn object(&self) -> Credential {
        let spec = CredentialSpec {
            provider_ref: LocalReference {
                name: self.provider.name().to_owned(),
            },
            api_key: ApiKey {
                secret_ref: SecretKeyReference {
                    name: self.secret_name(),
                    key: KEY.to_owned(),
                },
            },
            weight: 1,
            priority: 0,
            models: None,
            limits: None,
            quota: None,
            suspend: false,
        };
        let mut object = Credential::new(self.name.name(), spec);
        let (label, value) = MADE_BY;
        object.metadata.labels = Some([(label.to_owned(), value.to_owned())].into());
        object
    }

    /// The Secret, which goes with the Credential.
    fn kept(&self, owner: &Credential) -> KubeSecret {
        let labels = LABELS.into_iter().chain([MADE_BY]);
        let owner = owner.owner_ref(&()).into_iter();
        KubeSecret {
            metadata: ObjectMeta {
                name: Some(self.secret_name()),
                labels: Some(
                    labels
                        .map(|(label, value)| (label.to_owned(), value.to_owned()))
                        .collect(),
                ),
                owner_references: Some(owner.collect()),
                ..ObjectMeta::default()
            },
            data: Some([(KEY.to_owned(), ByteString(self.secret.expose().to_vec()))].into()),
            type_: Some("Opaque".to_owned()),
            ..KubeSecret::default()
        }
    }
}

impl Control {
    /// Adds a credential. The Credential comes first: it takes the name, and the Secret goes with it from the
    /// first moment on, so that nothing is left behind whatever fails.
    pub(super) async fn add(&self, by: &impl fmt::Display, addition: &Addition) -> Result<(), Status> {
        self.is_accepted(addition)?;
        let name = &addition.name;
        let made: Credential = self.create(name, &addition.object()).await?;
        let secrets: Api<KubeSecret> = self.api(name.namespace());
        let kept = call(secrets.create(&post(), &addition.kept(&made))).await;
        if let Err(error) = kept {
            if let Err(error) = self.delete(name, &made).await {
                tracing::warn!(object = %name, error = error.message(), "a Credential without a Secret is left");
            }
            return Err(refusal::about_secret("make the Secret of the Credential", &error));
        }
        tracing::info!(%by, object = %name, "credential added through the API");
        Ok(())
    }

    /// Deletes a credential that was added here, with its Secret.
    pub(super) async fn remove(&self, by: &impl fmt::Display, name: &ObjectName) -> Result<(), Status> {
        let object: Credential = self.made(name).await?;
        self.delete(name, &object).await?;
        tracing::info!(%by, object = %name, "credential deleted through the API");
        self.remove_secret(name, &object.spec.api_key.secret_ref.name, object.uid())
            .await;
        Ok(())
    }

    /// Deletes the Secret of an object that is deleted, without waiting for garbage collection. Where that fails it is
    /// left to it.
    pub(super) async fn remove_secret(&self, name: &ObjectName, secret: &str, owner: Option<String>) {
        let secrets: Api<KubeSecret> = self.api(name.namespace());
        let removed = async {
            let Some(found) = call(secrets.get_metadata_opt(secret)).await? else {
                return Ok(());
            };
            let owners = found.owner_references();
            if !owners.iter().any(|found| Some(&found.uid) == owner.as_ref()) {
                return Ok(());
            }
            let params = DeleteParams::default().preconditions(Preconditions {
                uid: found.uid(),
                resource_version: found.resource_version(),
            });
            call(secrets.delete(secret, &params)).await.map(|_| ())
        };
        if let Err(error) = removed.await
            && !error.is_lost_race()
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(object = %name, error, "the Secret of what was deleted is left to garbage collection");
        }
    }

    /// Whether the credential would be usable beside all others.
    fn is_accepted(&self, addition: &Addition) -> Result<(), Status> {
        let published = self.published()?;
        let identity = Identity {
            kind: Kind::Credential,
            name: addition.name.clone(),
        };
        if published.objects.get(&identity).is_some() {
            return Err(Status::already_exists(format!("there is a {identity} already")));
        }
        let mut objects = (*published.objects).clone();
        let value = SecretValue::Known(addition.secret.clone());
        let values = SecretValues::from(BTreeMap::from([(KEY.to_owned(), value)]));
        let secret = ObjectName::new(addition.name.namespace(), &addition.secret_name())
            .map_err(|_| invalid("name", "is required"))?;
        objects.insert(secret, Object::Secret(Arc::new(values)));
        objects.insert(
            addition.name.clone(),
            Object::Credential(Arc::new(addition.object())),
        );
        let key = published.contents.digest_key();
        let compiled = compile(&objects, &key, self.settings.place);
        let conditions = compiled.conditions.into_iter().find(|it| it.identity == identity);
        let wrong = conditions.and_then(|it| it.conditions.into_iter().find(|it| !it.status));
        let Some(wrong) = wrong else { return Ok(()) };
        Err(match wrong.reason {
            Reason::ProviderNotFound => Status::not_found(wrong.message),
            Reason::EmptyKey | Reason::InvalidKey | Reason::UnexpandedVariable => {
                // The message is about the Secret that is not made.
                invalid(
                    "secret.value",
                    "is empty, is no UTF-8 text, or has spaces or control characters where a key has none",
                )
            }
            _ => Status::failed_precondition(wrong.message),
        })
    }
}
