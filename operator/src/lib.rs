//! The control plane: resources in, snapshots out, status that tells the truth.
//!
//! Objects are watched, [indexed](index) and compiled, and what comes of it is [published]: gateways
//! follow it over discovery, and the leader tells it in the status of the objects. Index and compile are plain
//! synchronous code, tested with objects in and results out.
//!
//! ```text
//! watch ──> index ──> compile ──> published ──> discovery ──> gateways
//!                                     │             │ acks, reports
//!                                     └──> status <─┘
//! ```

pub mod admin;
pub mod annotations;
pub mod arguments;
pub mod authority;
pub mod commands;
pub mod digest_key;
pub mod discovery;
pub mod events;
pub mod gateways;
pub mod identity;
pub mod index;
pub mod kubernetes;
pub mod leader;
pub mod metrics;
pub mod mint;
pub mod monitor;
pub mod parts;
pub mod publish;
pub mod published;
pub mod refusals;
pub mod serve;
pub mod status;
pub mod store;
pub mod watch;
