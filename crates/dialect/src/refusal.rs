//! What an upstream said no with, read from whatever it sent.
//!
//! The wire differs per vendor and proxy; what the gateway needs is one closed set, [`RefusalKind`], from which
//! the fault and what rests follow. The rules are in `rules`, each with the vendor it is there for.

mod body;
mod headroom;
pub mod retry_after;
mod rules;
mod scrub;

use std::time::Duration;

use http::HeaderMap;

pub use headroom::{Headroom, headroom};
pub use scrub::scrub;

use crate::Dialect;
use crate::json::raw::Raw;
use body::ErrorBody;

/// An upstream's refusal, in its own words and in ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status it came with; for an error inside a 200, the one it should have come with.
    pub status: u16,
    /// What it means.
    pub kind: RefusalKind,
    /// The vendor's code, as a string even where the vendor sends a number.
    pub code: Option<String>,
    /// The vendor's error type.
    pub error_type: Option<String>,
    /// The vendor's message, cut at 4 KiB; not scrubbed (see [`scrub()`]). `None` for HTML and the like.
    pub message: Option<String>,
    /// The parameter that the vendor names.
    pub param: Option<String>,
    /// When it may be tried again, where the vendor says so.
    pub retry: Option<Retry>,
}

/// When a vendor says that it may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A hint: `Retry-After` and its relatives, "try again in 1.5s".
    After(Duration),
    /// The vendor states when the quota resets.
    Reset(Duration),
}

/// What a refusal means. Closed: a new kind is a decision about who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The request is wrong.
    Malformed,
    /// The request has too many bytes, or more tokens than the account may ever send at once.
    TooLarge,
    /// The prompt does not fit the model's context.
    ContextTooLong,
    /// The prompt or the answer was refused for what it says.
    ContentRefused,
    /// There is no such model or deployment.
    ModelNotFound,
    /// There is no such route, object or resource.
    NotFound,
    /// The key is wrong, expired or revoked.
    Unauthorized,
    /// The account or organization is suspended, disabled or deactivated.
    AccountBlocked,
    /// The account may not use this model.
    ModelForbidden,
    /// The account may not do this, for another reason or for none that is known.
    Forbidden,
    /// Too much in too short a time.
    RateLimited,
    /// Credits, budget or a long window are used up; waiting a minute does not help.
    QuotaExhausted,
    /// The vendor has too much to do, whoever asks.
    Overloaded,
    /// The vendor failed.
    ServerError,
    /// The vendor gave up waiting.
    Timeout,
    /// Nothing that a known API says, such as a proxy's error page or a redirect.
    Unrecognised,
}

/// The longest message that is kept, in bytes.
const MAX_MESSAGE: usize = 4096;

/// Reads an answer with an error status. `now` is the time since the Unix epoch.
pub fn read_refusal(
    dialect: Dialect,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: Duration,
) -> Refusal {
    let error = ErrorBody::read(body);
    let kind = rules::kind(dialect, status, &error);
    let stated = error.retry(Some(now));
    let retry = match stated {
        Some(Retry::Reset(_)) => stated,
        _ => retry_after::parse(headers, now).or(stated),
    };
    error.refusal(status, kind, retry)
}

/// Reads an error that came with a 200, in a stream or as a whole answer: `event` is the object that holds it.
pub(crate) fn read_event(dialect: Dialect, event: &[u8]) -> Refusal {
    let error = ErrorBody::read(event);
    let said = error.status();
    let kind = rules::kind(dialect, said.unwrap_or(rules::NO_STATUS), &error);
    // Without a clock only lengths of time can be used, not moments.
    let retry = error.retry(None);
    error.refusal(said.unwrap_or_else(|| kind.usual_status()), kind, retry)
}

/// Whether a top-level object of a stream or answer is an error rather than a chunk.
pub(crate) fn is_error(value: Raw<'_>) -> bool {
    !value.is_empty() && value.as_bytes() != b"false"
}

impl RefusalKind {
    /// The status that a vendor would have sent, for errors that came without one.
    const fn usual_status(self) -> u16 {
        match self {
            Self::Malformed | Self::ContextTooLong | Self::ContentRefused => 400,
            Self::Unauthorized => 401,
            Self::AccountBlocked | Self::ModelForbidden | Self::Forbidden => 403,
            Self::ModelNotFound | Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::RateLimited | Self::QuotaExhausted => 429,
            Self::ServerError => 500,
            Self::Unrecognised => 502,
            Self::Overloaded => 503,
            Self::Timeout => 504,
        }
    }
}
