//! What the black-box suites are made of: the real gateway as a process, alone or as replicas that share a real Redis,
//! an upstream that does as it is told, fixtures for resources, and clients that can be polite or rude.
//!
//! It knows nothing of the gateway's code. Start reading at [`Gateway`], [`Upstream`] and [`Replicas`].
#![expect(
    clippy::missing_panics_doc,
    reason = "a harness reports by panicking; every function here may"
)]

mod client;
mod fixture;
mod gateway;
mod load;
mod metrics;
mod port;
pub mod raw;
mod redis;
mod replicas;
pub mod sse;
mod stats;
mod tools;
mod upstream;

pub use client::{Answer, Client, Request, Streaming};
pub use fixture::{ADMIN_KEY, CLIENT_KEY, Fixture, credential_key};
pub use gateway::{Gateway, Launch, Validation, binary, validate, validate_with};
pub use load::{Load, Tally};
pub use metrics::Metrics;
pub use port::free_port;
pub use redis::{Cluster, Monitor, Redis, RedisLaunch, Sentinel, SlowPath, Stored};
pub use replicas::Replicas;
pub use stats::{Stats, Totals};
pub use tools::{eventually, repository, tool_cache};
pub use upstream::{Certificates, Gate, Reply, Seen, Upstream, When};
