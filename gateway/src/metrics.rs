//! What the data plane counts. Names and labels are a contract with dashboards.
//!
//! Labels come from our own resources and closed sets, never from a caller's text. Handles are looked up
//! once per label set and kept, so that counting costs a few atomic additions per call.

mod call;
mod collector;
mod store;

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use dialect::Operation;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use snapshot::{ClientName, CredentialName, Fault, ProviderName, RestReason};

pub(crate) use call::{CallMeters, ClientMeters, CredentialMeters, Outcome};
pub use collector::PoolCollector;
pub use store::StoreMeters;

/// Seconds from half a millisecond, a cached answer, to ten minutes, the longest generations.
const DURATION_BUCKETS: [f64; 14] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 160.0, 320.0, 640.0,
];
/// Seconds between tokens: 1 ms on fast hardware to several seconds when an upstream queues.
const TOKEN_BUCKETS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5,
];
/// Seconds of our own time: tens of microseconds normally, more when waiting for a free credential.
const OVERHEAD_BUCKETS: [f64; 12] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0,
];

/// Route names in labels at most; later ones are counted as `other`.
const ROUTES_MAX: usize = 200;

/// All metrics of the data plane.
pub struct Metrics {
    /// Calls that ended, by the answer's status class and how they ended.
    requests: IntCounterVec,
    /// Time from the request's head to the answer's last byte, in seconds.
    request_duration: HistogramVec,
    /// Time from the request's head to the first token of a stream, in seconds.
    time_to_first_token: HistogramVec,
    /// Mean time between the tokens of a stream after its first, in seconds.
    time_per_output_token: HistogramVec,
    /// Time spent in the gateway itself, without waiting for the upstream, in seconds.
    overhead: HistogramVec,
    /// Tokens that upstreams reported.
    tokens: IntCounterVec,
    /// Calls that ended, by caller.
    client_requests: IntCounterVec,
    /// Tokens that upstreams reported, by caller.
    client_tokens: IntCounterVec,
    /// Attempts at upstreams, by how they ended and who was to blame.
    attempts: IntCounterVec,
    /// Calls being worked on, streams included.
    pub(crate) in_flight: IntGauge,
    /// Streams being sent to clients.
    pub(crate) open_streams: IntGauge,
    /// Calls that a credential served or refused.
    credential_requests: IntCounterVec,
    /// Tokens that a credential was charged for.
    credential_tokens: IntCounterVec,
    /// Rests that began.
    rests: IntCounterVec,
    calls: RwLock<HashMap<CallKey, Arc<CallMeters>>>,
    routes: Mutex<HashSet<Arc<str>>>,
}

/// The labels that one call's counters share.
#[derive(Clone, PartialEq, Eq)]
struct CallKey {
    namespace: Arc<str>,
    route: Arc<str>,
    provider: Option<ProviderName>,
    operation: Option<Operation>,
}

/// Of what tells most of them apart, since it is done for every call; operations are few.
impl Hash for CallKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.route.hash(state);
        self.provider.hash(state);
    }
}

impl Metrics {
    /// Registers everything with `registry`. Fails when a name is registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(format!("roundhouse_{name}"), help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64], labels: &[&str]| {
            let options = HistogramOpts::new(format!("roundhouse_{name}"), help).buckets(buckets.to_vec());
            let vec = HistogramVec::new(options, labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("roundhouse_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let of_call = &["provider", "operation"];
        Ok(Self {
            requests: counter(
                "requests_total",
                "Calls that ended, by the answer's status class and how they ended.",
                &["namespace", "route", "provider", "operation", "status", "outcome"],
            )?,
            request_duration: histogram(
                "request_duration_seconds",
                "Time from the request's head to the answer's last byte.",
                &DURATION_BUCKETS,
                of_call,
            )?,
            time_to_first_token: histogram(
                "time_to_first_token_seconds",
                "Time from the request's head to the first token of a stream.",
                &DURATION_BUCKETS,
                of_call,
            )?,
            time_per_output_token: histogram(
                "time_per_output_token_seconds",
                "Mean time between the tokens of a stream after its first.",
                &TOKEN_BUCKETS,
                of_call,
            )?,
            overhead: histogram(
                "overhead_seconds",
                "Time spent in the gateway itself, without waiting for the upstream.",
                &OVERHEAD_BUCKETS,
                &["operation"],
            )?,
            tokens: counter(
                "tokens_total",
                "Tokens that upstreams reported.",
                &["namespace", "route", "provider", "type"],
            )?,
            client_requests: counter(
                "client_requests_total",
                "Calls that ended, by caller.",
                &["namespace", "client", "outcome"],
            )?,
            client_tokens: counter(
                "client_tokens_total",
                "Tokens that upstreams reported, by caller.",
                &["namespace", "client", "type"],
            )?,
            attempts: counter(
                "attempts_total",
                "Attempts at upstreams, by how they ended and who was to blame.",
                &["provider", "outcome", "fault"],
            )?,
            in_flight: gauge("in_flight_requests", "Calls being worked on, streams included.")?,
            open_streams: gauge("open_streams", "Streams being sent to clients.")?,
            credential_requests: counter(
                "credential_requests_total",
                "Calls that a credential served or refused.",
                &["namespace", "credential"],
            )?,
            credential_tokens: counter(
                "credential_tokens_total",
                "Tokens that a credential was charged for.",
                &["namespace", "credential", "type"],
            )?,
            rests: counter("rests_total", "Rests that began.", &["provider", "reason"])?,
            calls: RwLock::default(),
            routes: Mutex::default(),
        })
    }

    /// The counters of calls to `provider` through `route`; `None` before either is known.
    pub(crate) fn call(
        &self,
        namespace: &Arc<str>,
        route: &Arc<str>,
        provider: Option<&ProviderName>,
        operation: Option<Operation>,
    ) -> Arc<CallMeters> {
        let key = CallKey {
            namespace: namespace.clone(),
            route: route.clone(),
            provider: provider.cloned(),
            operation,
        };
        if let Some(meters) = self
            .calls
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return meters.clone();
        }
        let key = CallKey {
            route: self.bounded(route),
            ..key
        };
        let mut calls = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        calls
            .entry(key.clone())
            .or_insert_with(|| Arc::new(CallMeters::new(self, &key)))
            .clone()
    }

    /// `route`, or `other` when there are too many.
    fn bounded(&self, route: &Arc<str>) -> Arc<str> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if !routes.contains(route) {
            if routes.len() >= ROUTES_MAX {
                return "other".into();
            }
            routes.insert(route.clone());
        }
        route.clone()
    }

    /// The counters of a caller.
    pub(crate) fn client(&self, name: &ClientName) -> ClientMeters {
        ClientMeters::new(self, name)
    }

    /// The counters of a credential.
    pub(crate) fn credential(&self, name: &CredentialName) -> CredentialMeters {
        CredentialMeters::new(self, name)
    }

    /// Counts an attempt.
    pub(crate) fn attempt(&self, provider: &ProviderName, outcome: Outcome, fault: Option<Fault>) {
        let fault = fault.map_or("none", Fault::as_str);
        self.attempts
            .with_label_values(&[provider.name(), outcome.as_str(), fault])
            .inc();
    }

    /// Counts a rest that began.
    pub(crate) fn rest(&self, provider: &ProviderName, reason: RestReason) {
        self.rests
            .with_label_values(&[provider.name(), reason.as_str()])
            .inc();
    }

    fn duration(vec: &HistogramVec, provider: &str, operation: &str) -> Histogram {
        vec.with_label_values(&[provider, operation])
    }
}
