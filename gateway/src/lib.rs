//! The data plane.

pub mod upstream;
