//! Does what was decided, on the objects as they are at this moment.

use std::io;

use k8s_openapi::{ByteString, api::core::v1::Secret as KubeSecret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use pool::Clock;
use resources::{SecretValues, kinds::ClientKey};
use snapshot::ObjectName;

use super::{
    decide::{Change, Decision, decide},
    keys,
};
use crate::kubernetes::{CallError, call, post};

/// How often a write may lose to another before it is left to the next occasion.
const ATTEMPTS: usize = 5;

/// Why a client key was not settled. Holds nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The API server did not do something.
    #[error("cannot {what}")]
    Call {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        #[source]
        source: CallError,
    },
    /// Others wrote the Secret again and again.
    #[error("the Secret was changed {ATTEMPTS} times meanwhile")]
    Contended,
    /// The system gives no random bits.
    #[error("no random bits for a key")]
    Random(#[source] io::Error),
}

/// Does what has to be done for a `ClientKey` now, and says what remains: [`Decision::Wait`] or [`Decision::Refuse`].
///
/// Any number of processes may do so at the same time: each write is made on what was decided on, or not at all.
/// Dropping the future leaves a step done or not done.
pub async fn settle(client: &Client, name: &ObjectName, clock: &dyn Clock) -> Result<Decision, MintError> {
    let objects: Api<ClientKey> = Api::namespaced(client.clone(), name.namespace());
    let secrets: Api<KubeSecret> = Api::namespaced(client.clone(), name.namespace());
    for _ in 0..ATTEMPTS {
        // What is published may be old, and a key must not be made for an object that is gone.
        let object = call(objects.get_opt(name.name()))
            .await
            .map_err(failed("read the ClientKey"))?;
        let Some(object) = object else {
            return Ok(Decision::Wait { until: None });
        };
        let target = object.spec.target.as_ref();
        let found = match target {
            Some(target) => call(secrets.get_opt(&target.name))
                .await
                .map_err(failed("read the Secret"))?,
            None => None,
        };
        let decision = decide(&object, found.as_ref().map(values).as_ref(), clock.now());
        let (Some(target), Decision::Create | Decision::Replace | Decision::Write(_)) = (target, decision)
        else {
            return Ok(decision);
        };
        let key = keys::mint().map_err(MintError::Random)?;
        let written = match (decision, found) {
            (Decision::Write(change), Some(mut secret)) => {
                keys::apply(&mut secret, change, &object, target, &key, clock.now());
                // It carries the resource version that was read, so this fails where somebody else wrote.
                call(secrets.replace(&target.name, &post(), &secret))
                    .await
                    .map(|_| ())
                    .map_err(|error| ("write the Secret", error))
            }
            (Decision::Replace, Some(secret)) => {
                let former = DeleteParams::default().preconditions(Preconditions {
                    uid: secret.uid(),
                    resource_version: secret.resource_version(),
                });
                call(secrets.delete(&target.name, &former))
                    .await
                    .map(|_| ())
                    .map_err(|error| ("delete the Secret of a former ClientKey", error))
            }
            _ => {
                let secret = keys::secret(&object, target, &key, clock.now());
                call(secrets.create(&post(), &secret))
                    .await
                    .map(|_| ())
                    .map_err(|error| ("make the Secret", error))
            }
        };
        match written {
            Ok(()) => told(name, decision),
            Err((_, error)) if error.is_lost_race() => (),
            Err((what, source)) => return Err(MintError::Call { what, source }),
        }
    }
    Err(MintError::Contended)
}

/// The values and notes of a Secret.
fn values(secret: &KubeSecret) -> SecretValues {
    let data = secret.data.iter().flatten();
    let data = data.map(|(key, ByteString(value))| (key.clone(), value.clone()));
    SecretValues::from_cluster(data, &secret.metadata)
}

fn told(object: &ObjectName, decision: Decision) {
    match decision {
        Decision::Create | Decision::Write(Change::Mint) => {
            tracing::info!(%object, "a client key was minted");
        }
        Decision::Write(Change::Rotate) => tracing::info!(%object, "a client key was replaced by a new one"),
        Decision::Write(Change::Retire) => tracing::info!(%object, "the former client key ended"),
        Decision::Replace => tracing::info!(%object, "the key of a deleted ClientKey was removed"),
        Decision::Write(Change::Own) | Decision::Wait { .. } | Decision::Refuse => (),
    }
}

fn failed(what: &'static str) -> impl FnOnce(CallError) -> MintError {
    move |source| MintError::Call { what, source }
}
