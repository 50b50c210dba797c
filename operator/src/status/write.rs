//! Writing a status, by server-side apply.

use std::fmt::Debug;

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

use super::{board::Write, told::Status};
use crate::kubernetes::{CallError, FIELD_MANAGER, call};

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

/// Writes. Returns the `resourceVersion` that the object has then.
pub(super) async fn write(client: &Client, write: &Write) -> Result<u64, CallError> {
    match write.identity.kind {
        Kind::Provider => patch::<Provider>(client, write).await,
        Kind::Credential => patch::<Credential>(client, write).await,
        Kind::ModelRoute => patch::<ModelRoute>(client, write).await,
        Kind::ClientKey => patch::<ClientKey>(client, write).await,
        // Nobody tells a status of these.
        Kind::Secret | Kind::ConfigMap => Ok(0),
    }
}

async fn patch<K>(client: &Client, write: &Write) -> Result<u64, CallError>
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
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patched = call(api.patch_status(name.name(), &params, &applied)).await?;
    let version = patched.metadata.resource_version;
    // One that cannot be read is older than all that is seen.
    Ok(version.and_then(|version| version.parse().ok()).unwrap_or(0))
}
