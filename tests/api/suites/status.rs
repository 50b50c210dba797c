//! The statuses that the operator writes, with hand-made gateways.

mod many;
mod orders;
mod people;
mod world;
