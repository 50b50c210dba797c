//! Writing a status, by server-side apply.

use std::{fmt::Debug, time::Duration};

use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use resources::{
    Kind,
    kinds::{ClientKey, Credential, ModelRoute, Provider},
};
use serde::Serialize;
use tokio::time::timeout;

use super::{board::Write, told::Status};

/// Who owns what is written.
pub const MANAGER: &str = "roundhouse-operator";
/// How long a write may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The object is gone, or another has its name.
    Gone,
    /// It may work later.
    Again,
}

/// An object with nothing but its status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    status: &'a Status,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    name: &'a str,
    /// An object that was made anew is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

/// What the API server answers instead, as far as it goes.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It refuses, and why.
    Refused(Box<kube::Error>),
    /// It does not answer in time.
    Silent,
}

/// Writes. Returns the `resourceVersion` that the object has then.
pub(super) async fn write(client: &Client, write: &Write) -> Result<u64, (Failed, Trouble)> {
    let patched = match write.identity.kind {
        Kind::Provider => patch::<Provider>(client, write).await,
        Kind::Credential => patch::<Credential>(client, write).await,
        Kind::ModelRoute => patch::<ModelRoute>(client, write).await,
        Kind::ClientKey => patch::<ClientKey>(client, write).await,
        // Nobody tells a status of these.
        Kind::Secret | Kind::ConfigMap => return Ok(0),
    };
    let Some(patched) = patched else {
        return Err((Failed::Again, Trouble::Silent));
    };
    match patched {
        // One that cannot be read is older than all that is seen.
        Ok(version) => Ok(version.and_then(|version| version.parse().ok()).unwrap_or(0)),
        Err(error) => {
            let failed = match &error {
                kube::Error::Api(status) if status.is_not_found() => Failed::Gone,
                _ => Failed::Again,
            };
            Err((failed, Trouble::Refused(Box::new(error))))
        }
    }
}

async fn patch<K>(client: &Client, write: &Write) -> Option<kube::Result<Option<String>>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let name = &write.identity.name;
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client.clone(), name.namespace());
    let kind = write.identity.kind;
    let applied = Patch::Apply(Applied {
        api_version: kind.api_version(),
        kind: kind.as_str(),
        metadata: Metadata {
            name: name.name(),
            uid: write.uid.as_deref(),
        },
        status: &write.status,
    });
    let params = PatchParams::apply(MANAGER).force();
    let patched = timeout(DEADLINE, api.patch_status(name.name(), &params, &applied));
    Some(patched.await.ok()?.map(|object| object.metadata.resource_version))
}
