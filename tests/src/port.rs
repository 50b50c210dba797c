//! Ports that stay free while their server is down.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::tools::panic_with;

/// The first port, and how many follow. Together with [`BUS`] they lie below those that the kernel gives to outgoing
/// connections: one of these could take the port of a server that was killed, or even connect to itself. Those below are
/// for the servers of the pool's own tests, which may run at the same time.
const FIRST: u16 = 16_000;
const COUNT: u16 = 5_000;

/// A node of a Cluster also listens this far above its port.
const BUS: u16 = 10_000;

/// A port on which nobody listens, and nobody in this process was told of before.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin in different places.
    let start = process::id() % 97 * 103;
    for _ in 0..COUNT {
        let taken = u32::from(TAKEN.fetch_add(1, Ordering::SeqCst));
        let offset = u16::try_from((start + taken) % u32::from(COUNT)).unwrap_or(0);
        let port = FIRST + offset;
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + BUS) {
            return port;
        }
    }
    panic_with("no port is free")
}
