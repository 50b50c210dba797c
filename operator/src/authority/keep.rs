//! The Secret and the `ConfigMap`: read, and written by compare-and-swap.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Client, Resource,
    api::{GetParams, ObjectMeta},
    core::{NamespaceResourceScope, Request},
};
use pool::Clock;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    AuthoritySettings,
    certificate::{Authority, CertificateError},
    decide::{Step, decide},
    material::{Material, apply},
};
use crate::kubernetes::{CallError, FIELD_MANAGER, call, post};

/// Steps of one look. A start takes four; more happen when others take them at the same time.
const STEPS_MAX: usize = 24;

/// The key of the `ConfigMap`.
const PUBLISHED: &str = "ca.crt";

/// Why the authority is not known to be as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    /// The API server refused, or is not there.
    #[error("cannot {what}")]
    Call {
        what: &'static str,
        #[source]
        source: CallError,
    },
    /// What it answers is not what was asked for.
    #[error("cannot {what}: the answer is not understood")]
    Answer { what: &'static str },
    /// Others write all the time.
    #[error("it was changed by others {STEPS_MAX} times in a row")]
    Contended,
    /// A certificate cannot be made.
    #[error("no certificate can be made")]
    Certificate(#[from] CertificateError),
}

/// Looks after the authority.
pub(super) struct Keeper {
    settings: AuthoritySettings,
    secrets: Store<Secret>,
    maps: Store<ConfigMap>,
    clock: Arc<dyn Clock>,
}

/// Whether a write came through; when not, another was first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    Outrun,
}

impl Keeper {
    pub(super) fn new(client: Client, settings: AuthoritySettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            secrets: Store::new(
                client.clone(),
                &settings.namespace,
                "read the Secret",
                "write the Secret",
            ),
            maps: Store::new(
                client,
                &settings.namespace,
                "read the ConfigMap",
                "write the ConfigMap",
            ),
            settings,
            clock,
        }
    }

    /// Does all that is to be done at this moment, and gives the one that signs.
    pub(super) async fn look(&self) -> Result<Authority, KeepError> {
        for _ in 0..STEPS_MAX {
            // In this order: what is written to the `ConfigMap` is then never older than what was read of it.
            let map = self.maps.read(&self.settings.name).await?;
            let secret = self.secrets.read(&self.settings.name).await?;
            let material = Material::read(secret.as_ref().unwrap_or(&Secret::default()));
            let known = map.as_ref().and_then(|map| map.data.as_ref()?.get(PUBLISHED));
            let standing = material.standing(known.map(String::as_str));
            let now = self.clock.now();
            match (decide(&standing, &self.settings.lives, now), material.current) {
                (Step::Rest, Some(current)) => return Ok(current),
                (Step::Publish | Step::Rest, _) => {
                    self.publish(map, material.published).await?;
                }
                (step, _) => self.change(secret, step).await?,
            }
        }
        Err(KeepError::Contended)
    }

    async fn change(&self, secret: Option<Secret>, step: Step) -> Result<(), KeepError> {
        let is_new = secret.is_none();
        let mut secret = secret.unwrap_or_else(|| Secret {
            metadata: self.metadata(),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        });
        apply(&mut secret, step, &self.settings.lives, self.clock.now())?;
        let written = self.secrets.write(is_new, &secret).await?;
        if written == Written::Yes {
            let name = &self.settings.name;
            match step {
                Step::Begin => tracing::info!(secret = name, "made an authority for discovery"),
                Step::Prepare => tracing::info!(secret = name, "made a successor of discovery's authority"),
                Step::Promote => tracing::info!(secret = name, "the successor signs from now on"),
                Step::Note | Step::Tidy | Step::Publish | Step::Rest => (),
            }
        }
        Ok(())
    }

    async fn publish(&self, map: Option<ConfigMap>, certificates: String) -> Result<(), KeepError> {
        let is_new = map.is_none();
        let mut map = map.unwrap_or_else(|| ConfigMap {
            metadata: self.metadata(),
            ..ConfigMap::default()
        });
        map.data
            .get_or_insert_default()
            .insert(PUBLISHED.to_owned(), certificates);
        self.maps.write(is_new, &map).await.map(drop)
    }

    fn metadata(&self) -> ObjectMeta {
        let managed_by = (
            "app.kubernetes.io/managed-by".to_owned(),
            FIELD_MANAGER.to_owned(),
        );
        ObjectMeta {
            name: Some(self.settings.name.clone()),
            namespace: Some(self.settings.namespace.clone()),
            labels: Some(BTreeMap::from([managed_by])),
            ..ObjectMeta::default()
        }
    }
}

/// Objects of one kind in the namespace. Answers are read as text and decoded here: the client would log a whole answer
/// that it cannot decode, and these hold keys.
struct Store<K> {
    client: Client,
    path: String,
    read: &'static str,
    write: &'static str,
    kind: PhantomData<fn() -> K>,
}

impl<K> Store<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned,
{
    fn new(client: Client, namespace: &str, read: &'static str, write: &'static str) -> Self {
        Self {
            client,
            path: K::url_path(&(), Some(namespace)),
            read,
            write,
            kind: PhantomData,
        }
    }

    async fn read(&self, name: &str) -> Result<Option<K>, KeepError> {
        let what = self.read;
        let request = Request::new(&self.path)
            .get(name, &GetParams::default())
            .map_err(|error| failed(what)(kube::Error::BuildRequest(error).into()))?;
        match call(self.client.request_text(request)).await {
            // What decoding says may quote a value.
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| KeepError::Answer { what }),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(failed(what)(error)),
        }
    }

    /// Makes an object, or replaces the one that was read.
    async fn write(&self, is_new: bool, object: &K) -> Result<Written, KeepError> {
        let what = self.write;
        let body = serde_json::to_vec(object)
            .map_err(|error| failed(what)(kube::Error::SerdeError(error).into()))?;
        let request = Request::new(&self.path);
        let request = if is_new {
            request.create(&post(), body)
        } else {
            let name = object.meta().name.as_deref().unwrap_or_default();
            request.replace(name, &post(), body)
        };
        let request = request.map_err(|error| failed(what)(kube::Error::BuildRequest(error).into()))?;
        match call(self.client.request_text(request)).await {
            Ok(_) => Ok(Written::Yes),
            // Another was first, or it is gone: what to do is decided by what is there then.
            Err(error) if error.code() == Some(409) || (error.code() == Some(404) && !is_new) => {
                Ok(Written::Outrun)
            }
            Err(error) => Err(failed(what)(error)),
        }
    }
}

fn failed(what: &'static str) -> impl FnOnce(CallError) -> KeepError {
    move |source| KeepError::Call { what, source }
}
