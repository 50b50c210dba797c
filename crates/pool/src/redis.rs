//! The store that replicas share: a Redis or Valkey server, Sentinel group or cluster.
//!
//! [`link`] is the way there. [`Redis`] is the store: its scripts are in the folder `scripts`, each the twin of a
//! part of the memory store. Their state is made of tags, one for each Provider and each caller with limits.

mod args;
mod encode;
mod hold;
pub mod ledger;
pub mod link;
mod record;
mod reply;
mod scripts;
mod store;
mod tag;
#[cfg(any(test, feature = "conformance"))]
pub mod testing;

pub(crate) use encode::LaneText;
pub use store::{Redis, RedisSettings};

#[cfg(test)]
mod tests;
