//! Operators and gateways together, with a real API server, a real Redis and an upstream that remembers.
//!
//! It needs a network of its own: `hack/netns.sh cargo test --offline -p roundhouse-api-tests --test system`.
#![expect(
    clippy::print_stdout,
    reason = "the times that things took are for people; a busy machine is no failure"
)]

mod administration;
mod callers;
mod canary;
mod creation;
mod leaders;
mod minting;
mod outage;
mod partition;
mod people;
mod removal;
mod rotation;
mod secrets;
mod thousand;
mod trial;
