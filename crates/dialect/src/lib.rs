//! Wire formats of language-model APIs: framing, peeking and splicing of requests, taps over
//! responses, and errors in each client's own words.
//!
//! This crate is pure: it knows no socket, no clock and no randomness, and nothing of credentials,
//! routes or policy. Bytes go in, bytes and facts come out. Start with [`Operation`], which names what
//! a caller may ask for, and [`Dialect`], which names who speaks how.

mod operation;

pub use operation::{Api, Dialect, Operation, Passthrough};
