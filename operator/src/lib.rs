//! The control plane: resources in, snapshots out, status that tells the truth.
//!
//! Objects are watched, [indexed](index) and compiled, and what comes of it is [published](published): gateways
//! follow it over discovery, and the leader tells it in the status of the objects. Index and compile are plain
//! synchronous code, tested with objects in and results out.
//!
//! ```text
//! watch ──> index ──> compile ──> published ──> discovery ──> gateways
//!                                     │             │ acks, reports
//!                                     └──> status <─┘
//! ```

pub mod annotations;
pub mod events;
pub mod gateways;
pub mod leader;
pub mod published;
pub mod status;
pub mod store;
