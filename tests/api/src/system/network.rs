//! Addresses and names, as a cluster gives them to pods and Services.

use std::{
    env,
    fs::OpenOptions,
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::process::stop;

/// Names the hosts file, which only `hack/netns.sh` sets.
const HOSTS: &str = "ROUNDHOUSE_TEST_HOSTS";

/// Addresses of one system: 10.99.N.0/24.
#[derive(Debug)]
pub(super) struct Network {
    hosts: PathBuf,
    number: u8,
    used: AtomicU8,
}

impl Network {
    /// Takes the next addresses. Fails outside of a network of the tests' own.
    pub(super) fn new() -> Self {
        static USED: AtomicU8 = AtomicU8::new(0);
        let Some(hosts) = env::var_os(HOSTS) else {
            stop(
                "this suite needs a network of its own: run \
                 `hack/netns.sh cargo test --offline -p roundhouse-api-tests --test system`",
            )
        };
        Self {
            hosts: hosts.into(),
            number: USED.fetch_add(1, Ordering::SeqCst) + 1,
            used: AtomicU8::new(0),
        }
    }

    /// Another address.
    pub(super) fn address(&self) -> IpAddr {
        let last = self.used.fetch_add(1, Ordering::SeqCst) + 1;
        Ipv4Addr::new(10, 99, self.number, last).into()
    }

    /// From now on `name` leads to this address, and to those that it led to before.
    pub(super) fn name(&self, name: &str, address: IpAddr) {
        let mut hosts = OpenOptions::new()
            .append(true)
            .open(&self.hosts)
            .expect("the hosts file is writable");
        // At once: processes read the file at any time.
        let line = format!("{address} {name}\n");
        hosts
            .write_all(line.as_bytes())
            .expect("the hosts file is writable");
    }
}
