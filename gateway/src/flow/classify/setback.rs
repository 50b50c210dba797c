//! Why an attempt did not lead to an answer.

use http::StatusCode;
use pool::Rest;
use snapshot::{FallbackOn, Fault, RestScope};

use crate::failure::Failure;

/// Why an attempt did not lead to an answer, and what follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Setback {
    /// Who is to blame.
    pub(crate) fault: Fault,
    /// What the caller is told if this is the last word.
    pub(crate) failure: Failure,
    /// What rests.
    pub(crate) rest: Option<(RestScope, Rest)>,
    /// What the upstream refused with, where its meaning is only guessed. The same guess about two credentials
    /// means that the request is at fault.
    pub(crate) guess: Option<(u16, Option<String>)>,
    /// Whether the upstream answered at all.
    pub(crate) answered: bool,
    /// What a route may list to move on to its next priority.
    pub(crate) reason: Option<FallbackOn>,
}

impl Setback {
    /// The upstream is at fault.
    pub(crate) fn upstream(
        status: StatusCode,
        code: &'static str,
        message: &'static str,
        reason: FallbackOn,
    ) -> Self {
        Self {
            fault: Fault::Upstream,
            failure: Failure::upstream(status, code, message),
            rest: None,
            guess: None,
            answered: false,
            reason: Some(reason),
        }
    }

    /// The upstream took too long.
    pub(crate) fn timeout(message: &'static str) -> Self {
        Self::upstream(
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_timeout",
            message,
            FallbackOn::Timeout,
        )
    }

    /// The upstream broke off in the middle of its answer.
    pub(crate) fn broken_off() -> Self {
        Self::upstream(
            StatusCode::BAD_GATEWAY,
            "upstream_broke_off",
            "the upstream broke off before its answer was complete",
            FallbackOn::UpstreamFailed,
        )
    }

    /// The caller, or this gateway, is at fault; there is nothing to retry.
    pub(crate) fn final_word(failure: Failure) -> Self {
        Self {
            fault: failure.fault,
            failure,
            rest: None,
            guess: None,
            answered: false,
            reason: None,
        }
    }
}
