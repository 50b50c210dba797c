//! The data plane.

pub mod commands;
pub mod source;
