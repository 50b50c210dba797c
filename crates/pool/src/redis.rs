//! What replicas share through Redis or Valkey.

pub mod ledger;
