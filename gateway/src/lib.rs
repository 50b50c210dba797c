//! The data plane: serves the client dialects from a pool of upstream credentials.
//!
//! Start with [`app::App`], what all calls share, and the private module `flow`, one call through its rooms. This
//! crate must never learn of Kubernetes, nor write a secret to a log, metric, span or error.

pub mod admin;
pub mod app;
pub mod arguments;
pub mod body;
pub mod commands;
pub mod delegated;
pub mod discovery;
mod failure;
mod flow;
pub mod lifecycle;
mod live;
mod manage;
pub mod metrics;
pub mod server;
pub mod source;
pub mod state;
pub mod store;
mod time;
pub mod upstream;
mod usage;
