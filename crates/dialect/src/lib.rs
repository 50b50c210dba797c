//! Wire formats of language-model APIs: framing, peeking and splicing of requests, taps over
//! responses, and errors in each client's own words.
//!
//! This crate is pure: it knows no socket, no clock and no randomness, and nothing of credentials,
//! routes or policy. Bytes go in, bytes and facts come out. Start with [`Operation`], which names what
//! a caller may ask for, and [`Dialect`], which names who speaks how.

mod answer;
mod calendar;
mod failure;
mod headers;
mod json;
mod models;
pub mod multipart;
mod operation;
mod peek;
mod refusal;
mod tap;
mod usage;

pub use answer::{Answer, NotAnAnswer, read_answer};
pub use failure::{Failure, FailureKind, encode_failure, encode_stream_failure};
pub use headers::{request_header_allowed, response_header_allowed};
pub use models::{ModelEntry, Page, encode_model, encode_models};
pub use operation::{Api, Dialect, Operation, Passthrough};
pub use peek::{Edits, JsonType, Member, PeekError, Peeked, Segments, peek};
pub use refusal::{Refusal, RefusalKind, Retry, read_refusal, retry_after, scrub};
pub use tap::{Ending, Tap};
pub use usage::Usage;
