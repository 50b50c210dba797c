//! Tells people and machines how discovery does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use pool::Clock;
use prometheus::{IntGauge, Registry};
use snapshot::Timestamp;
use telemetry::Health;
use tokio::sync::watch;

use crate::time::rfc3339;

/// What is degraded, in the words of `/readyz`.
const DISCOVERY: &str = "discovery";
const SNAPSHOT: &str = "snapshot";

/// Hears how discovery does, and says so in the log, in metrics and at `/readyz`.
pub(super) struct Observer {
    health: Health,
    clock: Arc<dyn Clock>,
    /// Streams to operators.
    connected: IntGauge,
    count: watch::Sender<usize>,
    /// Whether an operator has confirmed what is served.
    confirmed: AtomicBool,
}

impl Observer {
    /// Registers with `registry`. No operator is connected yet. Fails when a name is registered already.
    pub(super) fn new(
        health: Health,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let connected = IntGauge::new(
            "roundhouse_discovery_connected",
            "Streams to operators that are open.",
        )?;
        registry.register(Box::new(connected.clone()))?;
        let observer = Self {
            health,
            clock,
            connected,
            count: watch::Sender::new(0),
            confirmed: AtomicBool::new(false),
        };
        observer.cut_off();
        Ok(observer)
    }

    /// What is served comes from the run before, which got it at `since`.
    pub(super) fn stale(&self, since: Timestamp) {
        tracing::info!(
            since = rfc3339(since),
            "serving what the run before has kept, until an operator is reached"
        );
        let how = format!("stale since {}", rfc3339(since));
        self.health.degraded(SNAPSHOT, Some(how));
    }

    /// An operator has said what is to be served, and it is.
    pub(super) fn confirmed(&self) {
        if !self.confirmed.swap(true, Ordering::Relaxed) {
            self.health.degraded(SNAPSHOT, None);
            self.health.ready();
        }
    }

    /// A stream is open.
    pub(super) fn connected(&self, replica: SocketAddr) {
        tracing::info!(%replica, "connected to an operator");
        self.count.send_modify(|count| {
            *count += 1;
            self.connected.inc();
            self.health.degraded(DISCOVERY, None);
        });
    }

    /// A stream has ended.
    pub(super) fn disconnected(&self) {
        self.count.send_modify(|count| {
            *count -= 1;
            self.connected.dec();
            if *count == 0 {
                self.cut_off();
            }
        });
    }

    /// Waits until no stream is open.
    pub(super) async fn disconnected_from_all(&self) {
        // The sender lives as long as this.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn cut_off(&self) {
        let how = format!("disconnected since {}", rfc3339(self.clock.now()));
        self.health.degraded(DISCOVERY, Some(how));
    }
}
