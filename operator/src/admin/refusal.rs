//! Refusals that say what to do.

use tonic::Status;

use crate::kubernetes::CallError;

/// A field of a request is not as it must be.
pub(super) fn invalid(field: &str, expected: &str) -> Status {
    Status::invalid_argument(format!("{field}: {expected}"))
}

/// The API server did not do `what`. Nothing that the answer says can hold a secret: `what` is about an object that
/// has none, and what is said of Secrets is told by [`about_secret`].
pub(super) fn call(what: &str, error: &CallError) -> Status {
    match error {
        CallError::Refused {
            code,
            reason,
            message,
        } => {
            let message = format!("cannot {what}: {message}");
            match code {
                400 | 422 => Status::invalid_argument(message),
                404 => Status::not_found(message),
                409 if reason == "AlreadyExists" => Status::already_exists(message),
                409 => Status::aborted(format!("{message}; ask again")),
                _ => unable(what, error),
            }
        }
        CallError::TimedOut | CallError::Broken(_) => unable(what, error),
    }
}

/// The API server did not do `what` with a Secret. Its words are left out: they may repeat what they are about.
pub(super) fn about_secret(what: &str, error: &CallError) -> Status {
    match error.code() {
        Some(409) => Status::already_exists(format!(
            "cannot {what}: a Secret of this name is there; take another name"
        )),
        Some(400 | 422) => {
            Status::invalid_argument(format!("cannot {what}: the API server does not accept it"))
        }
        _ => unable(what, error),
    }
}

fn unable(what: &str, error: &CallError) -> Status {
    let status = error.code();
    tracing::warn!(
        what,
        status,
        "the API server did not do what was asked for through the API"
    );
    match status {
        Some(403) => Status::failed_precondition(format!(
            "cannot {what}: the operator's account may not; set clientKeys.mint or gateway.adminRoutes: ReadWrite in \
             the chart, and look at the namespace"
        )),
        _ => Status::unavailable(format!(
            "cannot {what}: the API server did not answer as it should; it may have been done, look before asking again"
        )),
    }
}
