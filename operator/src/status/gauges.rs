//! What Credentials are like, as metrics: by the replica that leads, so that a sum over replicas counts each once. Names
//! are a contract with dashboards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{
    GaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use resources::{ConditionType, Identity, kinds::CredentialStatus};
use snapshot::ObjectName;

use super::{board::Wanted, told::Status};

/// The gauges of all Credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gauges(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    resting: GaugeVec,
    used: GaugeVec,
    ready: GaugeVec,
    shown: Mutex<Vec<Shown>>,
}

/// What is shown of one Credential.
#[derive(Debug)]
struct Shown {
    name: ObjectName,
    is_usable: bool,
    rests: BTreeSet<String>,
    /// Of each window that has a limit, how much of it is used.
    windows: Vec<(String, f64)>,
}

impl Gauges {
    /// Registers them with `registry`; they show nothing. Fails when a name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str, label: &[&str]| {
            let options = Opts::new(format!("roundhouse_credential_{name}"), help);
            GaugeVec::new(options, &[&["namespace", "credential"], label].concat())
        };
        let gauges = Self(Arc::new(Shared {
            resting: gauge(
                "resting",
                "Whether a credential rests, wholly or for a model, by reason.",
                &["reason"],
            )?,
            used: gauge(
                "window_used_ratio",
                "How much of a quota window is used: 1 is all.",
                &["window"],
            )?,
            ready: gauge("ready", "Whether a credential is usable now.", &[])?,
            shown: Mutex::default(),
        }));
        registry.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    /// Shows what is told of Credentials; `None` shows nothing.
    pub(super) fn show(&self, wanted: Option<&BTreeMap<Identity, Wanted>>) {
        let shown = wanted
            .into_iter()
            .flatten()
            .filter_map(|(identity, wanted)| match &wanted.status {
                Status::Credential(status) => Some(Shown::new(&identity.name, status, &wanted.status)),
                Status::Provider(_) | Status::ModelRoute(_) | Status::ClientKey(_) => None,
            });
        let shown = shown.collect();
        *self.0.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

impl Shown {
    fn new(name: &ObjectName, status: &CredentialStatus, all: &Status) -> Self {
        let is = |kind| all.truth(kind) == Some("True");
        let ratio = |used: u64, limit: u64| {
            #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more digits")]
            let (used, limit) = (used as f64, limit as f64);
            used / limit
        };
        Self {
            name: name.clone(),
            is_usable: is(ConditionType::Ready) && !is(ConditionType::CoolingDown),
            rests: status.rests.iter().map(|rest| rest.reason.clone()).collect(),
            windows: status
                .windows
                .iter()
                .filter_map(|window| {
                    let limit = window.limit.filter(|limit| *limit > 0)?;
                    Some((window.name.clone(), ratio(window.used, limit)))
                })
                .collect(),
        }
    }
}

impl Shared {
    fn all(&self) -> [&GaugeVec; 3] {
        [&self.resting, &self.used, &self.ready]
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.0.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Held to the end: of two that ask at once, one would find what the other has begun to set.
        let shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gauge in self.0.all() {
            gauge.reset();
        }
        for Shown {
            name,
            is_usable,
            rests,
            windows,
        } in &*shown
        {
            let (namespace, name) = (name.namespace(), name.name());
            let ready = self.0.ready.with_label_values(&[namespace, name]);
            ready.set(f64::from(u8::from(*is_usable)));
            for reason in rests {
                let resting = self.0.resting.with_label_values(&[namespace, name, reason]);
                resting.set(1.0);
            }
            for (window, ratio) in windows {
                let used = self.0.used.with_label_values(&[namespace, name, window]);
                used.set(*ratio);
            }
        }
        let families = self.0.all().into_iter().flat_map(Collector::collect);
        // A family without a member is none.
        families
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}
