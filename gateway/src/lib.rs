//! The data plane.

pub mod admin;
pub mod arguments;
pub mod commands;
pub mod lifecycle;
pub mod server;
pub mod state;
