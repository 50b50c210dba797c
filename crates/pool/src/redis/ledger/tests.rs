//! Against a real server.

mod interleavings;
mod life;
mod network;
mod process;
mod server;
mod sharing;
