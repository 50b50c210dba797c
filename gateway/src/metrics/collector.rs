//! Gauges of the pool's state, read when they are asked for.

use std::sync::{Arc, Weak};

use pool::Resting;
use prometheus::{
    IntGauge, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use snapshot::RestReason;

use crate::{app::App, source::Changes};

/// Reads the pool's state at each scrape, so that a call pays nothing for these gauges.
pub struct PoolCollector {
    app: Weak<App>,
    in_flight: IntGaugeVec,
    resting: IntGaugeVec,
    ready: IntGaugeVec,
    snapshot: IntGaugeVec,
    age: IntGauge,
}

impl PoolCollector {
    /// Watches the pool of `app`.
    pub fn new(app: &Arc<App>) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(format!("roundhouse_{name}"), help), labels)
        };
        let of_credential = &["namespace", "credential"];
        let age = "Seconds since the resources being served were applied, or last confirmed by an operator.";
        Ok(Self {
            snapshot: gauge(
                "snapshot_info",
                "The version of the resources being served.",
                &["version"],
            )?,
            age: IntGauge::new("roundhouse_snapshot_age_seconds", age)?,
            app: Arc::downgrade(app),
            in_flight: gauge(
                "credential_in_flight",
                "Calls that a credential is serving.",
                of_credential,
            )?,
            resting: gauge(
                "credential_resting",
                "Whether a credential rests, wholly or for a model, by reason.",
                &["namespace", "credential", "reason"],
            )?,
            ready: gauge(
                "credential_ready",
                "Whether a credential is usable now.",
                of_credential,
            )?,
        })
    }
}

impl PoolCollector {
    fn all(&self) -> [&dyn Collector; 5] {
        [
            &self.in_flight,
            &self.resting,
            &self.ready,
            &self.snapshot,
            &self.age,
        ]
    }
}

impl Collector for PoolCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(app) = self.app.upgrade() else {
            return Vec::new();
        };
        for gauge in [&self.in_flight, &self.resting, &self.ready, &self.snapshot] {
            gauge.reset();
        }
        let snapshot = app.snapshot();
        self.snapshot.with_label_values(&[&snapshot.version]).set(1);
        self.age
            .set(i64::try_from(app.snapshot_age().as_secs()).unwrap_or(i64::MAX));
        for (name, credential) in &snapshot.credentials {
            let ready = app.is_usable(name) && !credential.suspended;
            self.ready
                .with_label_values(&[name.namespace(), name.name()])
                .set(i64::from(ready));
            self.in_flight
                .with_label_values(&[name.namespace(), name.name()])
                .set(0);
        }
        for state in app.pool.states() {
            let name = &state.name;
            if !snapshot.credentials.contains_key(name) {
                continue;
            }
            let labels = [name.namespace(), name.name()];
            self.in_flight
                .with_label_values(&labels)
                .set(i64::from(state.in_flight));
            if state.rests.iter().any(|rest| rest.model.is_none()) {
                self.ready.with_label_values(&labels).set(0);
            }
            for Resting { reason, .. } in &state.rests {
                self.resting
                    .with_label_values(&[labels[0], labels[1], RestReason::as_str(*reason)])
                    .set(1);
            }
        }
        let told: &[&dyn Collector] = match app.changes {
            Changes::Files(_) => &self.all(),
            // How a credential is for all replicas, the operator that leads tells.
            Changes::Operator(_) => &[&self.in_flight, &self.snapshot, &self.age],
        };
        told.iter().flat_map(|gauge| gauge.collect()).collect()
    }
}
