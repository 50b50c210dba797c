//! What the black-box suites are made of: the real gateway as a process, an upstream that does as it is told, fixtures
//! for resources, and clients that can be polite or rude.
//!
//! It knows nothing of the gateway's code. Start reading at [`Gateway`] and [`Upstream`].
#![expect(
    clippy::missing_panics_doc,
    reason = "a harness reports by panicking; every function here may"
)]

mod client;
mod fixture;
mod gateway;
mod metrics;
pub mod raw;
pub mod sse;
mod tools;
mod upstream;

pub use client::{Answer, Client, Request, Streaming};
pub use fixture::{CLIENT_KEY, Fixture, credential_key};
pub use gateway::{Gateway, Launch, Validation, binary, validate, validate_with};
pub use metrics::Metrics;
pub use tools::{eventually, repository, tool_cache};
pub use upstream::{Certificates, Gate, Reply, Seen, Upstream, When};
