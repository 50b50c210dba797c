//! Operators and gateways together, with a real API server, a real Redis and an upstream that remembers.
//!
//! It needs a network of its own: `hack/netns.sh cargo test --offline -p roundhouse-api-tests --test system`.

mod creation;
