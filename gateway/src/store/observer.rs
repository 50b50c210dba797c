//! Tells people and machines whether the shared store is in reach.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pool::{
    Clock,
    redis::link::{Observe, Why},
};
use snapshot::Timestamp;
use telemetry::Health;

use crate::{metrics::StoreMeters, time::rfc3339};

/// Hears how the store does, and says so in metrics and at `/readyz`. The link to the store writes the log.
#[derive(Debug)]
pub struct Observer {
    meters: StoreMeters,
    health: Health,
    clock: Arc<dyn Clock>,
    /// Since when the store is away.
    away: Mutex<Option<Timestamp>>,
}

/// What is degraded, in the words of `/readyz`.
const SUBJECT: &str = "store";

impl Observer {
    /// Hears of a store that has not been reached yet.
    pub const fn new(meters: StoreMeters, health: Health, clock: Arc<dyn Clock>) -> Self {
        Self {
            meters,
            health,
            clock,
            away: Mutex::new(None),
        }
    }
}

impl Observe for Observer {
    fn command(&self, name: &'static str, took: Duration, _: bool) {
        self.meters.command(name, took);
    }

    fn up(&self) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.meters.up();
        self.health.degraded(SUBJECT, None);
    }

    /// Another reason does not begin the time anew.
    fn down(&self, why: Why) {
        let since = *self
            .away
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| self.clock.now());
        self.meters.down();
        self.health
            .degraded(SUBJECT, Some(format!("{why} since {}", rfc3339(since))));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use pool::{
        ManualClock,
        redis::link::{Observe, Why},
    };
    use prometheus::Registry;
    use snapshot::Timestamp;
    use telemetry::Health;

    use super::Observer;
    use crate::metrics::StoreMeters;

    #[test]
    fn readiness_stays_and_tells_why_and_since_when() {
        let health = Health::new();
        health.ready();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let meters = StoreMeters::new(&Registry::new()).unwrap();
        let observer = Observer::new(meters, health.clone(), clock.clone());
        observer.down(Why::Unreachable);
        clock.step(Duration::from_secs(5));
        observer.down(Why::Slow);
        let state = health.state();
        assert!(state.ready, "the gateway serves without the store");
        assert_eq!(state.detail, "degraded: store slow since 1970-01-01T00:00:01Z");
        observer.up();
        assert_eq!(health.state().detail, "");
        observer.down(Why::Unreachable);
        assert_eq!(
            health.state().detail,
            "degraded: store unreachable since 1970-01-01T00:00:06Z"
        );
    }
}
