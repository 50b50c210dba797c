//! Calls to the API server that end.

use std::{future::Future, time::Duration};

use tokio::time::timeout;

/// How long a call may take. kube's client repeats a call many times by itself, which takes minutes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a call to the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It took too long; it may have been done all the same.
    #[error("no answer from the API server within {} s", PATIENCE.as_secs())]
    Timeout,
    /// The API server refused it, or could not be reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

impl CallError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Kube(kube::Error::Api(status)) => Some(status.code),
            Self::Kube(_) | Self::Timeout => None,
        }
    }

    /// Whether somebody else made, changed or deleted the object first: what is there now decides.
    pub fn is_lost_race(&self) -> bool {
        matches!(self.status(), Some(404 | 409))
    }
}

/// Waits for a call, but not for ever.
pub async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match timeout(PATIENCE, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::Timeout),
    }
}
