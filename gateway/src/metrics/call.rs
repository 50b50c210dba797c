//! Counters of one label set, looked up once.

use std::{sync::OnceLock, time::Duration};

use dialect::Usage;
use http::StatusCode;
use prometheus::{Histogram, IntCounter, IntCounterVec};
use snapshot::{ClientName, CredentialName, ObjectName};

use super::{CallKey, Metrics};

/// How a call or attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The whole answer reached the client.
    Succeeded,
    /// It was refused or failed.
    Failed,
    /// A stream broke after it had begun.
    Interrupted,
    /// The client left.
    Cancelled,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Interrupted, Self::Cancelled];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Counters of tokens by type.
struct Tokens {
    input: IntCounter,
    cached: IntCounter,
    cache_write: IntCounter,
    output: IntCounter,
    reasoning: IntCounter,
}

impl Tokens {
    fn new(of_type: impl Fn(&str) -> IntCounter) -> Self {
        Self {
            input: of_type("input"),
            cached: of_type("cached"),
            cache_write: of_type("cache_write"),
            output: of_type("output"),
            reasoning: of_type("reasoning"),
        }
    }

    fn add(&self, usage: Usage) {
        let counts = [
            (&self.input, usage.input),
            (&self.cached, usage.cached),
            (&self.cache_write, usage.cache_write),
            (&self.output, usage.output),
            (&self.reasoning, usage.reasoning),
        ];
        for (counter, count) in counts {
            if count > 0 {
                counter.inc_by(count);
            }
        }
    }
}

/// What one call adds up to.
pub(crate) struct CallMeters {
    labels: [String; 4],
    requests: IntCounterVec,
    answered: OnceLock<IntCounter>,
    duration: Histogram,
    time_to_first_token: Histogram,
    time_per_output_token: Histogram,
    overhead: Histogram,
    tokens: Tokens,
}

impl CallMeters {
    pub(super) fn new(metrics: &Metrics, key: &CallKey) -> Self {
        let provider = key.provider.as_ref().map_or("", |name| name.name());
        let operation = key.operation.map_or("", dialect::Operation::as_str);
        let labels = [
            key.namespace.to_string(),
            key.route.to_string(),
            provider.to_owned(),
            operation.to_owned(),
        ];
        Self {
            requests: metrics.requests.clone(),
            answered: OnceLock::new(),
            duration: Metrics::duration(&metrics.request_duration, provider, operation),
            time_to_first_token: Metrics::duration(&metrics.time_to_first_token, provider, operation),
            time_per_output_token: Metrics::duration(&metrics.time_per_output_token, provider, operation),
            overhead: metrics.overhead.with_label_values(&[operation]),
            tokens: Tokens::new(|kind| {
                metrics.tokens.with_label_values(&[
                    key.namespace.as_ref(),
                    key.route.as_ref(),
                    provider,
                    kind,
                ])
            }),
            labels,
        }
    }

    /// Counts the end of a call.
    pub(crate) fn ended(&self, status: StatusCode, outcome: Outcome, duration: Duration) {
        if status.is_success() && outcome == Outcome::Succeeded {
            self.answered.get_or_init(|| self.requests("2xx", outcome)).inc();
        } else {
            let class = match status.as_u16() / 100 {
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                _ => "5xx",
            };
            self.requests(class, outcome).inc();
        }
        self.duration.observe(duration.as_secs_f64());
    }

    fn requests(&self, class: &str, outcome: Outcome) -> IntCounter {
        let [namespace, route, provider, operation] = self.labels.each_ref().map(String::as_str);
        self.requests
            .with_label_values(&[namespace, route, provider, operation, class, outcome.as_str()])
    }

    /// Counts reported tokens.
    pub(crate) fn used(&self, usage: Usage) {
        self.tokens.add(usage);
    }

    /// Records our own share of the time.
    pub(crate) fn overhead(&self, own: Duration) {
        self.overhead.observe(own.as_secs_f64());
    }

    /// Records the pace of a stream: its first token, and the mean gap of those after it.
    pub(crate) fn streamed(&self, first: Duration, rest: Duration, tokens: u64) {
        self.time_to_first_token.observe(first.as_secs_f64());
        if tokens > 1 {
            let gaps = u32::try_from(tokens - 1).unwrap_or(u32::MAX);
            self.time_per_output_token.observe((rest / gaps).as_secs_f64());
        }
    }
}

/// What one caller adds up to.
pub(crate) struct ClientMeters {
    requests: [IntCounter; 4],
    tokens: Tokens,
}

impl ClientMeters {
    pub(super) fn new(metrics: &Metrics, name: &ClientName) -> Self {
        let (namespace, client) = parts(name);
        Self {
            requests: Outcome::ALL.map(|outcome| {
                metrics
                    .client_requests
                    .with_label_values(&[namespace, client, outcome.as_str()])
            }),
            tokens: Tokens::new(|kind| {
                metrics
                    .client_tokens
                    .with_label_values(&[namespace, client, kind])
            }),
        }
    }

    /// Counts the end of a call.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.requests[outcome as usize].inc();
    }

    /// Counts reported tokens.
    pub(crate) fn used(&self, usage: Usage) {
        self.tokens.add(usage);
    }
}

/// What one credential adds up to.
pub(crate) struct CredentialMeters {
    requests: IntCounter,
    tokens: Tokens,
}

impl CredentialMeters {
    pub(super) fn new(metrics: &Metrics, name: &CredentialName) -> Self {
        let (namespace, credential) = parts(name);
        Self {
            requests: metrics
                .credential_requests
                .with_label_values(&[namespace, credential]),
            tokens: Tokens::new(|kind| {
                metrics
                    .credential_tokens
                    .with_label_values(&[namespace, credential, kind])
            }),
        }
    }

    /// Counts an attempt that was sent with this credential.
    pub(crate) fn sent(&self) {
        self.requests.inc();
    }

    /// Counts reported tokens.
    pub(crate) fn used(&self, usage: Usage) {
        self.tokens.add(usage);
    }
}

fn parts(name: &ObjectName) -> (&str, &str) {
    (name.namespace(), name.name())
}
