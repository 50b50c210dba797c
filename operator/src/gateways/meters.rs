//! What is counted of gateways.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The metrics of discovery. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Meters {
    /// Gateways that have a stream to this replica.
    connected: IntGauge,
    /// Versions that gateways refused.
    refused: IntCounter,
    /// What gateways reported of credentials, by what became of it.
    reports: IntCounterVec,
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let meters = Self {
            connected: IntGauge::new(
                "roundhouse_operator_gateways_connected",
                "Gateways that have a stream to this replica.",
            )?,
            refused: IntCounter::new(
                "roundhouse_operator_versions_refused_total",
                "Versions that gateways refused.",
            )?,
            reports: IntCounterVec::new(
                Opts::new(
                    "roundhouse_operator_reports_total",
                    "What gateways reported of credentials, by what became of it.",
                ),
                &["outcome"],
            )?,
        };
        registry.register(Box::new(meters.connected.clone()))?;
        registry.register(Box::new(meters.refused.clone()))?;
        registry.register(Box::new(meters.reports.clone()))?;
        Ok(meters)
    }

    pub(super) fn connected(&self, count: usize) {
        self.connected.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    /// `outcome` is of a closed set.
    pub(super) fn report(&self, outcome: &'static str) {
        self.reports.with_label_values(&[outcome]).inc();
    }
}
