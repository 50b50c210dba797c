//! What the operator counts of its own work. Names are a contract with dashboards.

use prometheus::{Histogram, HistogramOpts, HistogramTimer, IntCounter, Registry};

/// Seconds from half a millisecond, a few objects, to ten, when something is wrong.
const COMPILE_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How often objects are compiled, and how long it takes.
#[derive(Clone, Debug)]
pub struct Reconciles {
    total: IntCounter,
    seconds: Histogram,
}

impl Reconciles {
    /// Registers them with `registry`. Fails when a name is registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let total = IntCounter::new(
            "roundhouse_operator_reconciles_total",
            "Times that the objects of the cluster were compiled.",
        )?;
        let options = HistogramOpts::new(
            "roundhouse_operator_reconcile_seconds",
            "How long it took to compile the objects of the cluster.",
        );
        let seconds = Histogram::with_opts(options.buckets(COMPILE_BUCKETS.to_vec()))?;
        registry.register(Box::new(total.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { total, seconds })
    }

    /// One begins; dropping the result ends it.
    pub(crate) fn begin(&self) -> HistogramTimer {
        self.total.inc();
        self.seconds.start_timer()
    }
}
