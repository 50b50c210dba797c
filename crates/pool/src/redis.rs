//! The store that replicas share: a Redis or Valkey server, Sentinel group or cluster.

pub mod link;
#[cfg(any(test, feature = "conformance"))]
pub mod testing;
