//! What the tags of a process have in common.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use snapshot::Timestamp;
use tokio::time::Instant;

use super::Pace;
use crate::{
    Memory,
    redis::{RedisSettings, args::Args, encode::micros, link::Link},
};

/// What all tags of a process share.
#[derive(Debug)]
pub(in crate::redis) struct Context {
    /// The way to the store.
    pub(in crate::redis) link: Link,
    /// What all keys begin with.
    pub(in crate::redis) prefix: String,
    /// This process: no other ever has this name.
    pub(in crate::redis) owner: String,
    /// Whether the store takes the time from its callers, for tests.
    callers_clock: bool,
    /// What this process knows by itself.
    pub(in crate::redis) local: Arc<Memory>,
    /// How often it does what time demands.
    pub(in crate::redis) pace: Pace,
    /// The last lease's number.
    pub(super) leases: AtomicU64,
    /// What the process's clock shows beyond `started`, in microseconds.
    offset: AtomicU64,
    started: Instant,
}

impl Context {
    pub(in crate::redis) fn new(link: Link, settings: RedisSettings, pace: Pace, local: Arc<Memory>) -> Self {
        Self {
            link,
            prefix: settings.prefix,
            owner: settings.owner,
            callers_clock: settings.callers_clock,
            local,
            pace,
            leases: AtomicU64::new(0),
            offset: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// The number of another lease.
    pub(in crate::redis) fn next_lease(&self) -> u64 {
        self.take_leases(1)
    }

    /// Takes the numbers of so many leases, and gives the first of them.
    pub(in crate::redis) fn take_leases(&self, count: u64) -> u64 {
        self.leases.fetch_add(count, Ordering::Relaxed) + 1
    }

    /// Notes the time of an operation.
    pub(in crate::redis) fn at(&self, now: Timestamp) {
        let offset = now.as_micros().saturating_sub(self.until(Instant::now()));
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// The time at present; where the store takes it from its callers, that of the last operation.
    pub(in crate::redis) fn now(&self) -> Timestamp {
        self.time_of(Instant::now())
    }

    /// The same of a moment that is known.
    pub(super) fn time_of(&self, moment: Instant) -> Timestamp {
        Timestamp::from_micros(self.offset.load(Ordering::Relaxed) + self.until(moment))
    }

    fn until(&self, moment: Instant) -> u64 {
        if self.callers_clock {
            return 0;
        }
        micros(moment.saturating_duration_since(self.started))
    }

    /// The first argument of every script.
    pub(in crate::redis) fn clock(&self) -> Args {
        if self.callers_clock {
            Args::default().number(self.now().as_micros())
        } else {
            Args::default().text("")
        }
    }
}
