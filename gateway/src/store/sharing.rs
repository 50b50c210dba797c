//! Telling the other replicas what this one uses.

use std::{sync::Arc, time::Duration};

use pool::{
    Clock,
    redis::{
        ledger::{Incarnation, Publisher, SharedLedger},
        link::Link,
    },
    usage::Ledger,
};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Pool;

/// Writes what this process has used to the shared store, every two seconds and at its end.
pub struct Sharing {
    publisher: Publisher<Link>,
    clock: Arc<dyn Clock>,
}

/// How often it is written. What a process used after its last writing is lost when it is killed.
const EVERY: Duration = Duration::from_secs(2);
/// How long each part of the last writing may take.
const FAREWELL: Duration = Duration::from_secs(2);

impl Sharing {
    /// Shares what `ledger` counts.
    pub(super) fn new(
        shared: &Arc<SharedLedger<Link>>,
        ledger: &Arc<Ledger>,
        incarnation: Incarnation,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            publisher: Publisher::new(shared.clone(), ledger.clone(), incarnation),
            clock,
        }
    }

    /// Writes until it is dropped. An error is no news: the link tells of a store that is away, and what was not
    /// written is written the next time.
    pub async fn run(&mut self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.publisher.beat(self.clock.now()).await {
                tracing::debug!(%error, "usage will be shared later");
            }
        }
    }

    /// Writes what is left, so that nothing of it counts as an estimate.
    pub async fn farewell(self, pool: &Pool) {
        let heard = timeout(FAREWELL, pool.heard()).await;
        let last = self.publisher.goodbye(self.clock.now());
        if !matches!(timeout(FAREWELL, last).await, Ok(Ok(()))) || heard.is_err() {
            tracing::warn!("the last usage could not be shared; the other replicas take over what they know");
        }
    }
}
