//! Changes of objects: asked for, made, and awaited until they are served.

use std::{future::Future, sync::Arc, time::Duration};

use dialect::FailureKind;
use http::StatusCode;
use resources::{Identity, Kind};
use snapshot::{ObjectName, Secret, Snapshot};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::Admin;
use crate::{
    failure::Failure,
    source::{Change, ChangeError, FileChanges},
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

/// Makes an object in files and waits until `is_served`.
pub(super) async fn make(
    admin: &Admin<'_>,
    changes: &FileChanges,
    identity: &Identity,
    manifest: Secret,
    is_served: impl FnMut(&Arc<Snapshot>) -> bool,
) -> Result<(), Failure> {
    let change = Change::Make {
        identity: identity.clone(),
        manifest,
    };
    let made = async { changes.make(change).await.map_err(|error| failed(&error)) };
    finish(admin, made, is_served).await?;
    tracing::info!(by = %admin.caller.client.name, object = %identity, "object made through the API");
    Ok(())
}

/// Deletes an object that was made here from files, and waits until it `is_gone`.
pub(super) async fn unmake(
    admin: &Admin<'_>,
    changes: &FileChanges,
    identity: &Identity,
    is_gone: impl FnMut(&Arc<Snapshot>) -> bool,
) -> Result<(), Failure> {
    let change = Change::Unmake(identity.clone());
    let unmade = async { changes.make(change).await.map_err(|error| failed(&error)) };
    finish(admin, unmade, is_gone).await?;
    tracing::info!(by = %admin.caller.client.name, object = %identity, "object deleted through the API");
    Ok(())
}

/// Waits for an operator to do what was asked of it, and until this gateway serves what is `wanted`.
pub(super) async fn asked<T>(
    admin: &Admin<'_>,
    answer: impl Future<Output = Result<T, Status>>,
    wanted: impl FnMut(&Arc<Snapshot>) -> bool,
) -> Result<T, Failure> {
    let answer = async { answer.await.map_err(|status| refused(&status)) };
    finish(admin, answer, wanted).await
}

/// The key on whose behalf an operator is asked.
pub(super) fn key<'a>(admin: &'a Admin<'_>) -> Result<&'a Secret, Failure> {
    admin.key.as_ref().ok_or_else(Failure::internal)
}

async fn finish<T>(
    admin: &Admin<'_>,
    change: impl Future<Output = Result<T, Failure>>,
    wanted: impl FnMut(&Arc<Snapshot>) -> bool,
) -> Result<T, Failure> {
    let done = async {
        let done = change.await?;
        admin.app.served(wanted).await;
        Ok(done)
    };
    timeout(PATIENCE, done).await.unwrap_or_else(|_| {
        Err(Failure::overloaded(
            "change_not_served_yet",
            "the change takes long and may still be made; look at the listing",
        ))
    })
}

/// What an operator refused, in its own words: they are made for administrators and hold no secret.
fn refused(status: &Status) -> Failure {
    let message = status.message().to_owned();
    match status.code() {
        Code::AlreadyExists => taken(message),
        Code::NotFound => Failure::not_found("object_not_found", message),
        Code::InvalidArgument => Failure::invalid("object_not_accepted", message),
        Code::FailedPrecondition => Failure::caller(
            FailureKind::Permission,
            StatusCode::FORBIDDEN,
            "change_not_possible",
            message,
        ),
        Code::PermissionDenied => Failure::caller(
            FailureKind::Permission,
            StatusCode::FORBIDDEN,
            "change_not_allowed",
            message,
        ),
        code => {
            tracing::warn!(?code, message, "the operator did not make a change");
            Failure::overloaded(
                "operator_away",
                "the operator did not answer as it should; the change may have been made, look at the listing",
            )
        }
    }
}

fn taken(message: String) -> Failure {
    Failure::caller(
        FailureKind::InvalidRequest,
        StatusCode::CONFLICT,
        "name_taken",
        message,
    )
    .param("name")
}

fn failed(error: &ChangeError) -> Failure {
    let message = error.to_string();
    match error {
        ChangeError::Exists(_) => taken(message),
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

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::refused;

    #[test]
    fn an_operators_refusal_keeps_its_words_and_nothing_else_is_told() {
        let cases = [
            (Code::AlreadyExists, 409, "name_taken", true),
            (Code::NotFound, 404, "object_not_found", true),
            (Code::InvalidArgument, 400, "object_not_accepted", true),
            (Code::FailedPrecondition, 403, "change_not_possible", true),
            (Code::PermissionDenied, 403, "change_not_allowed", true),
            (Code::Unauthenticated, 503, "operator_away", false),
            (Code::Unavailable, 503, "operator_away", false),
            (Code::Unknown, 503, "operator_away", false),
        ];
        for (code, status, name, is_told) in cases {
            let failure = refused(&Status::new(code, "what to do"));
            assert_eq!(
                (failure.status.as_u16(), &*failure.code),
                (status, name),
                "{code:?}"
            );
            assert_eq!(failure.message == "what to do", is_told, "{code:?}");
        }
    }
}
