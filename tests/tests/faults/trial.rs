//! Gateways under steady load, to which something happens.

use std::{env, time::Duration};

use harness::{Fixture, Load, Replicas, Upstream, eventually};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Trials at a time: each loads the machine on purpose.
const TRIALS: u32 = 2;
static PLACES: Semaphore = Semaphore::const_new(TRIALS as usize);

/// Calls per second of most trials.
const CALLS: u32 = 60;

/// Three gateways that share a store, three credentials, and a load that goes on whatever happens.
pub(crate) struct Trial {
    pub(crate) upstream: Upstream,
    pub(crate) replicas: Replicas,
    load: Load,
    _place: SemaphorePermit<'static>,
}

/// Commands that a gateway sent to its store, and calls that it answered.
struct Effort {
    commands: f64,
    calls: f64,
}

/// How long the store is away: `ROUNDHOUSE_OUTAGE` seconds, or eight.
pub(crate) fn outage() -> Duration {
    let seconds = env::var("ROUNDHOUSE_OUTAGE").ok();
    let seconds = seconds.map(|text| text.parse().expect("ROUNDHOUSE_OUTAGE is whole seconds"));
    Duration::from_secs(seconds.unwrap_or(8))
}

impl Trial {
    /// Starts the gateways and a moderate load, and waits until it flows.
    pub(crate) async fn start(store: &[String]) -> Self {
        let place = PLACES.acquire().await.expect("nobody closes it");
        Self::with(store, CALLS, place).await
    }

    /// The same with so many calls per second, while no other trial runs.
    pub(crate) async fn start_alone(store: &[String], per_second: u32) -> Self {
        let place = PLACES.acquire_many(TRIALS).await.expect("nobody closes it");
        Self::with(store, per_second, place).await
    }

    async fn with(store: &[String], per_second: u32, place: SemaphorePermit<'static>) -> Self {
        let upstream = Upstream::start().await;
        let fixture = Fixture::pool(&upstream, ["a", "b", "c"]).admin();
        let replicas = Replicas::start(3, store, &fixture).await;
        let trial = Self {
            load: Load::start(replicas.clients(), per_second),
            upstream,
            replicas,
            _place: place,
        };
        trial.go_on().await;
        trial
    }

    /// Waits for some more calls.
    pub(crate) async fn go_on(&self) {
        self.load.until_more(90).await;
    }

    /// Waits until all gateways miss their store, sees them say so and stay ready, and lets the outage last, in which
    /// they do not try the store for every call.
    pub(crate) async fn expect_outage(&self) {
        self.replicas.until_store_is(false).await;
        for gateway in self.replicas.iter() {
            let readiness = gateway.readiness().await.to_lowercase();
            assert!(
                readiness.contains("degraded"),
                "/readyz says that it is degraded: {readiness}"
            );
        }
        let before = self.effort().await;
        tokio::time::sleep(outage()).await;
        self.go_on().await;
        let after = self.effort().await;
        for (number, (before, after)) in before.into_iter().zip(after).enumerate() {
            assert!(before.commands > 0.0, "replica {number} counts its commands");
            let (commands, calls) = (after.commands - before.commands, after.calls - before.calls);
            assert!(
                commands * 2.0 < calls,
                "replica {number} knows that its store is away, and still tried {commands} commands for {calls} calls"
            );
        }
    }

    /// What each gateway did so far.
    async fn effort(&self) -> Vec<Effort> {
        let mut efforts = Vec::new();
        for gateway in self.replicas.iter() {
            let metrics = gateway.metrics().await;
            efforts.push(Effort {
                commands: metrics.sum("roundhouse_store_command_seconds_count", &[]),
                calls: metrics.sum("roundhouse_requests_total", &[]),
            });
        }
        efforts
    }

    /// Waits until all gateways have their store again, ends the load, and asserts that no call failed and that the
    /// totals are the upstream's.
    pub(crate) async fn end(self, what: &str) {
        self.replicas.until_store_is(true).await;
        for (number, gateway) in self.replicas.iter().enumerate() {
            eventually(
                &format!("replica {number} is not degraded any more"),
                Duration::from_secs(10),
                || async {
                    let readiness = gateway.readiness().await.to_lowercase();
                    (!readiness.contains("degraded")).then_some(())
                },
            )
            .await;
        }
        self.go_on().await;
        let tally = self.load.stop().await;
        tally.expect_all_served(what);
        assert_eq!(
            self.upstream.count(),
            tally.calls(),
            "{what}: each call was sent to the upstream once"
        );
        self.replicas.expect_totals(&self.upstream).await;
    }

    /// Asserts that every gateway counted time without its store.
    pub(crate) async fn expect_degraded_time(&self) {
        for gateway in self.replicas.iter() {
            gateway
                .metrics_when("time without the store is counted", |metrics| {
                    metrics.sum("roundhouse_store_degraded_seconds_total", &[]) > 0.0
                })
                .await;
        }
    }
}
