//! Against a real server.

mod interleavings;
mod life;
mod network;
mod process;
mod sharing;

use crate::redis::testing::Server;

/// A server with nothing in it.
fn server() -> Server {
    wait(Server::start(&[]))
}

/// What a future gives. The tests themselves wait for nothing: messages arrive when they say so.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(future)
}
