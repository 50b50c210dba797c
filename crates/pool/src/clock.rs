//! Wall time as an argument.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use snapshot::Timestamp;

/// Tells the time. It never runs backwards.
pub trait Clock: Send + Sync + Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
///
/// When the machine's time is set back, this clock stands still for the moment and then goes on at the
/// usual pace, so that rests and windows keep their length; it stays ahead by that much from then on.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicU64,
    ahead: AtomicU64,
}

/// A clock for tests, which only moves when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

/// Threads read the wall clock and store what they read in any order; less than this is no step back.
const TOLERANCE_MICROS: u64 = 1_000_000;

impl SystemClock {
    fn advance(&self, wall: u64) -> u64 {
        let time = wall.saturating_add(self.ahead.load(Ordering::Relaxed));
        let latest = self.latest.fetch_max(time, Ordering::Relaxed);
        if latest > time.saturating_add(TOLERANCE_MICROS) {
            // Should two threads notice at once, the later computation wins and is as good.
            self.ahead.store(latest.saturating_sub(wall), Ordering::Relaxed);
        }
        time.max(latest)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the clock that the others are given"
        )]
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(self.advance(u64::try_from(wall.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub const fn new(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.as_micros()))
    }

    /// Moves the clock forward.
    pub fn step(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::SystemClock;

    #[test]
    fn a_wall_clock_that_is_set_back_keeps_its_pace_and_never_runs_backwards() {
        let clock = SystemClock::default();
        let hour = 3_600_000_000;
        let steps = [
            (10 * hour, 10 * hour, "as the wall says"),
            (9 * hour, 10 * hour, "stands still when set back"),
            (9 * hour + 5, 10 * hour + 5, "goes on at the usual pace"),
            (12 * hour, 13 * hour, "and stays ahead"),
        ];
        for (wall, expected, why) in steps {
            assert_eq!(clock.advance(wall), expected, "{why}");
        }
    }
}
