//! Changes of objects: asked for, made, and awaited until they are served.

use std::{sync::Arc, time::Duration};

use dialect::FailureKind;
use http::StatusCode;
use resources::{Identity, Kind};
use snapshot::{ObjectName, Secret, Snapshot};
use tokio::time::timeout;

use super::Admin;
use crate::{
    failure::Failure,
    source::{Change, ChangeError},
};

/// How long a change may take until it is served.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest name of an object made here: names of its files and its Secret are made of it.
const NAME_MAX: usize = 128;

/// The identity of an object to make: the wanted name in the administrator's namespace, or a new one.
pub(super) fn identity(admin: &Admin<'_>, kind: Kind, name: Option<&str>) -> Result<Identity, Failure> {
    let generated = || format!("api-{:08x}", rand::random::<u32>());
    let name = name.map_or_else(generated, str::to_owned);
    if name.len() > NAME_MAX {
        let message = format!("`name` is longer than {NAME_MAX} bytes");
        return Err(Failure::invalid("invalid_name", message).param("name"));
    }
    let name = ObjectName::new(admin.namespace(), &name).map_err(|_| {
        let message = "`name` is a name without namespace: lower-case letters, digits and `-`";
        Failure::invalid("invalid_name", message).param("name")
    })?;
    Ok(Identity { kind, name })
}

/// Makes an object and waits until `is_served`.
pub(super) async fn make(
    admin: &Admin<'_>,
    identity: &Identity,
    manifest: Secret,
    is_served: impl FnMut(&Arc<Snapshot>) -> bool,
) -> Result<(), Failure> {
    let change = Change::Make {
        identity: identity.clone(),
        manifest,
    };
    finish(admin, change, is_served).await?;
    tracing::info!(by = %admin.caller.client.name, object = %identity, "object made through the API");
    Ok(())
}

/// Deletes an object that was made here, and waits until it `is_gone`.
pub(super) async fn unmake(
    admin: &Admin<'_>,
    identity: &Identity,
    is_gone: impl FnMut(&Arc<Snapshot>) -> bool,
) -> Result<(), Failure> {
    finish(admin, Change::Unmake(identity.clone()), is_gone).await?;
    tracing::info!(by = %admin.caller.client.name, object = %identity, "object deleted through the API");
    Ok(())
}

async fn finish(
    admin: &Admin<'_>,
    change: Change,
    wanted: impl FnMut(&Arc<Snapshot>) -> bool,
) -> Result<(), Failure> {
    let done = async {
        admin
            .app
            .changes
            .make(change)
            .await
            .map_err(|error| failed(&error))?;
        admin.app.served(wanted).await;
        Ok(())
    };
    timeout(PATIENCE, done).await.unwrap_or_else(|_| {
        Err(Failure::overloaded(
            "change_not_served_yet",
            "the change takes long and may still be made; look at the listing",
        ))
    })
}

fn failed(error: &ChangeError) -> Failure {
    let message = error.to_string();
    match error {
        ChangeError::Exists(_) => Failure::caller(
            FailureKind::InvalidRequest,
            StatusCode::CONFLICT,
            "name_taken",
            message,
        )
        .param("name"),
        ChangeError::Missing(_) => Failure::not_found("object_not_found", message),
        ChangeError::NotMade(_) => Failure::caller(
            FailureKind::Permission,
            StatusCode::FORBIDDEN,
            "not_made_through_api",
            message,
        ),
        ChangeError::Refused(_) => Failure::invalid("object_not_accepted", message),
        ChangeError::Io { .. } | ChangeError::Closed => {
            tracing::error!(error = error as &dyn std::error::Error, "a change was not made");
            Failure::internal()
        }
    }
}
