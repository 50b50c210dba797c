//! Wire formats of language-model APIs: framing, peeking and splicing of requests, taps over
//! responses, and errors in each client's own words.
//!
//! This crate is pure: it knows no socket, no clock and no randomness, and nothing of credentials,
//! routes or policy. Bytes go in, bytes and facts come out. Start with [`Operation`], which names what
//! a caller may ask for, and [`Dialect`], which names who speaks how.
//!
//! What stays in its format is never decoded as a whole. A request is [peeked](peek()) into and
//! [spliced](Peeked::splice); an answer is [read](read_answer) for the few facts that matter, or [tapped](Tap)
//! while it streams:
//!
//! ```
//! use bytes::Bytes;
//! use dialect::{Api, Edits, Ending, Operation, Tap, peek};
//!
//! let chat = Operation::Generate(Api::ChatCompletions);
//! let body = Bytes::from_static(br#"{"model":"fast","stream":true,"messages":[]}"#);
//! let peeked = peek(chat, &body)?;
//! let outbound = peeked.splice(&body, &Edits { model: Some("gpt-5"), ask_usage: !peeked.wants_usage });
//! assert_eq!(
//!     outbound.into_iter().flatten().collect::<Vec<u8>>(),
//!     br#"{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
//! );
//!
//! let mut tap = Tap::new(chat, !peeked.wants_usage);
//! let mut to_client = Vec::new();
//! let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;
//! tap.feed(Bytes::from(format!("{usage}\n\ndata: [DONE]\n\n")), &mut to_client);
//! assert_eq!(tap.end(&mut to_client), Ending::Complete);
//! assert_eq!(to_client.concat(), b"data: [DONE]\n\n");
//! assert_eq!(tap.usage().map(|usage| usage.input), Some(9));
//! # Ok::<(), dialect::PeekError>(())
//! ```
//!
//! When an upstream refuses, [`read_refusal`] says what it means; when the gateway itself must,
//! [`encode_failure`] says it in the client's words.

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
pub use refusal::{Headroom, Refusal, RefusalKind, Retry, headroom, read_refusal, retry_after, scrub};
pub use tap::{Ending, Tap};
pub use usage::Usage;
