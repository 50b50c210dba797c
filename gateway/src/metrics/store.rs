//! What is measured of a store that replicas share.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::{
    Counter, HistogramOpts, HistogramVec, IntGauge, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// Seconds of one command: 50 µs on loopback, tens of milliseconds at the deadline, more for background work.
const COMMAND_BUCKETS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];

/// The metrics of a shared store. A gateway that keeps its state in memory has none of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreMeters(Arc<Meters>);

#[derive(Debug)]
struct Meters {
    up: IntGauge,
    commands: HistogramVec,
    degraded: Counter,
    /// Until when the time away has been counted; `None` while the store is in reach.
    away: Mutex<Option<Instant>>,
}

impl StoreMeters {
    /// Registers everything with `registry`, as away: the first contact says otherwise. Fails when a name is
    /// registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let commands = HistogramOpts::new(
            "roundhouse_store_command_seconds",
            "Time that commands to the shared store took, failed ones included, in seconds.",
        );
        let meters = Self(Arc::new(Meters {
            up: IntGauge::new(
                "roundhouse_store_up",
                "Whether the shared store is in reach and takes writes.",
            )?,
            commands: HistogramVec::new(commands.buckets(COMMAND_BUCKETS.to_vec()), &["command"])?,
            degraded: Counter::new(
                "roundhouse_store_degraded_seconds_total",
                "Seconds without the shared store, in which limits are shares.",
            )?,
            away: Mutex::new(Some(Instant::now())),
        }));
        registry.register(Box::new(meters.clone()))?;
        Ok(meters)
    }

    /// Counts one command; `name` is from a closed set.
    pub fn command(&self, name: &str, took: Duration) {
        self.0
            .commands
            .with_label_values(&[name])
            .observe(took.as_secs_f64());
    }

    /// The store is in reach.
    pub fn up(&self) {
        self.count(Instant::now(), |_| false);
    }

    /// The store is away. Said again, it changes nothing.
    pub fn down(&self) {
        self.count(Instant::now(), |_| true);
    }

    /// Counts the time away up to `now`; `then` says, given whether the store was away, whether it is.
    fn count(&self, now: Instant, then: impl FnOnce(bool) -> bool) {
        let mut away = self.0.away.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = *away {
            self.0
                .degraded
                .inc_by(now.saturating_duration_since(counted).as_secs_f64());
        }
        let is_away = then(away.is_some());
        *away = is_away.then_some(now);
        self.0.up.set(i64::from(!is_away));
    }

    fn all(&self) -> [&dyn Collector; 3] {
        [&self.0.up, &self.0.commands, &self.0.degraded]
    }
}

impl Collector for StoreMeters {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.count(Instant::now(), |was_away| was_away);
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use prometheus::{Registry, TextEncoder};

    use super::StoreMeters;

    fn scrape(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    fn value<'a>(text: &'a str, name: &str) -> &'a str {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the metric is there")
    }

    #[test]
    fn a_store_that_was_not_reached_yet_is_away_and_the_time_counts_at_each_scrape() {
        let registry = Registry::new();
        let meters = StoreMeters::new(&registry).unwrap();
        let degraded = |text: &str| -> f64 {
            let seconds = value(text, "roundhouse_store_degraded_seconds_total ");
            seconds.parse().expect("a number")
        };
        let first = scrape(&registry);
        assert_eq!(value(&first, "roundhouse_store_up "), "0");
        let second = scrape(&registry);
        assert!(degraded(&second) > degraded(&first), "it grows while away");

        meters.up();
        let third = scrape(&registry);
        assert_eq!(value(&third, "roundhouse_store_up "), "1");
        let fourth = scrape(&registry);
        assert!(degraded(&fourth) <= degraded(&third), "it stands while in reach");

        meters.down();
        assert_eq!(value(&scrape(&registry), "roundhouse_store_up "), "0");
    }

    #[test]
    fn time_away_is_counted_once() {
        let registry = Registry::new();
        let meters = StoreMeters::new(&registry).unwrap();
        let start = Instant::now();
        meters.up();
        let before = meters.0.degraded.get();
        let at = |seconds| start + Duration::from_secs(seconds);
        meters.count(at(100), |_| true);
        meters.count(at(103), |was_away| was_away);
        meters.count(at(110), |_| false);
        meters.count(at(150), |was_away| was_away);
        let counted = meters.0.degraded.get() - before;
        assert!((counted - 10.0).abs() < 1e-6, "{counted}");
    }

    #[test]
    fn commands_are_measured_by_name() {
        let registry = Registry::new();
        let meters = StoreMeters::new(&registry).unwrap();
        meters.command("enter", Duration::from_micros(70));
        meters.command("enter", Duration::from_millis(40));
        let text = scrape(&registry);
        let line = "roundhouse_store_command_seconds_bucket{command=\"enter\",le=\"0.0001\"} 1";
        assert!(text.contains(line), "{text}");
        assert_eq!(
            value(
                &text,
                "roundhouse_store_command_seconds_count{command=\"enter\"} "
            ),
            "2"
        );
    }
}
