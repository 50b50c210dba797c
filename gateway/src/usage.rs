//! What was used, as administrators read it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{civil::Date, tz::TimeZone};
use pool::{TokenCounts, Totals};
use serde::Serialize;
use snapshot::Timestamp;

use crate::{app::App, time::instant};

/// The longest time that usage can be asked for, in days, today included.
pub(crate) const DAYS_MAX: u32 = 35;

/// What was used, by day, dimension and name.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// From when on this is all that was used.
    pub(crate) since: Timestamp,
    /// Each name that was used.
    pub(crate) rows: Vec<Row>,
}

/// What one name used in one day.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The day, in UTC.
    pub(crate) day: Date,
    /// What the name is of.
    pub(crate) dimension: Dimension,
    /// `namespace/name`; routes and models begin with a namespace too.
    pub(crate) name: Arc<str>,
    /// Its numbers.
    pub(crate) counts: Counts,
}

/// What usage is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// The client key. Its requests are calls; those of all others are attempts.
    Client,
    /// The credential.
    Credential,
    /// The Provider.
    Provider,
    /// The route that the call took.
    #[expect(dead_code, reason = "the pool's totals do not tell routes")]
    Route,
    /// The upstream's name of the model.
    #[expect(dead_code, reason = "the pool's totals do not tell models")]
    Model,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Calls or attempts that began.
    pub(crate) requests: u64,
    /// Of these, those whose use was guessed or whose end nobody saw.
    pub(crate) estimated_requests: u64,
    /// Tokens by class.
    pub(crate) tokens: Tokens,
    /// Tokens that stand for the estimated requests.
    pub(crate) estimated_tokens: u64,
}

/// Tokens by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tokens {
    /// The whole prompt, cached parts included.
    pub(crate) input: u64,
    /// Of these, read from the upstream's cache.
    pub(crate) cached: u64,
    /// Of these, written to the upstream's cache.
    pub(crate) cache_write: u64,
    /// The whole answer, reasoning included.
    pub(crate) output: u64,
    /// Of these, reasoning.
    pub(crate) reasoning: u64,
}

/// What was used in the last `days` days, today included.
///
/// In memory the pool knows the totals since the start of this process, of credentials and client keys; they are
/// told as today's.
pub(crate) async fn usage(app: &App, _days: u32) -> Report {
    let day = today(app);
    let snapshot = app.snapshot();
    let mut rows = Vec::new();
    let mut row = |dimension, name: &str, totals: &Totals| {
        rows.push(Row {
            day,
            dimension,
            name: name.into(),
            counts: totals.into(),
        });
    };
    let mut providers: BTreeMap<_, Totals> = BTreeMap::new();
    for state in app.pool.states() {
        row(Dimension::Credential, state.name.as_str(), &state.totals);
        if let Some(credential) = snapshot.credentials.get(&state.name) {
            let provider = providers.entry(credential.provider.clone()).or_default();
            provider.requests += state.totals.requests;
            provider.tokens.add(&state.totals.tokens);
        }
    }
    for (name, totals) in &providers {
        row(Dimension::Provider, name.as_str(), totals);
    }
    for state in app.pool.clients() {
        row(Dimension::Client, state.name.as_str(), &state.totals);
    }
    Report {
        since: app.started,
        rows,
    }
}

/// The present day in UTC.
pub(crate) fn today(app: &App) -> Date {
    instant(app.clock.now()).to_zoned(TimeZone::UTC).date()
}

impl Counts {
    /// Adds another count.
    pub(crate) const fn add(&mut self, other: &Self) {
        let tokens = &mut self.tokens;
        self.requests = self.requests.saturating_add(other.requests);
        self.estimated_requests = self.estimated_requests.saturating_add(other.estimated_requests);
        self.estimated_tokens = self.estimated_tokens.saturating_add(other.estimated_tokens);
        tokens.input = tokens.input.saturating_add(other.tokens.input);
        tokens.cached = tokens.cached.saturating_add(other.tokens.cached);
        tokens.cache_write = tokens.cache_write.saturating_add(other.tokens.cache_write);
        tokens.output = tokens.output.saturating_add(other.tokens.output);
        tokens.reasoning = tokens.reasoning.saturating_add(other.tokens.reasoning);
    }
}

impl From<&Totals> for Counts {
    fn from(totals: &Totals) -> Self {
        Self {
            requests: totals.requests,
            tokens: totals.tokens.into(),
            ..Self::default()
        }
    }
}

impl From<TokenCounts> for Tokens {
    fn from(counts: TokenCounts) -> Self {
        Self {
            input: counts.input,
            cached: counts.cached,
            cache_write: counts.cache_write,
            output: counts.output,
            reasoning: counts.reasoning,
        }
    }
}
