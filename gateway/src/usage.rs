//! What was used, as administrators read it.

use pool::{
    TokenCounts,
    usage::{Day, Row, Tally},
};
use serde::Serialize;
use snapshot::Timestamp;

use crate::app::App;

/// The longest time that usage can be asked for, in days, today included.
pub(crate) const DAYS_MAX: u32 = 35;

/// What was used in some days.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// From when on this is all that was used.
    pub(crate) since: Timestamp,
    /// Whether it is of all replicas; else of this one alone, since it could not ask for the others'.
    pub(crate) complete: bool,
    /// Each name that was used, by day.
    pub(crate) rows: Vec<Row>,
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
pub(crate) async fn usage(app: &App, days: u32) -> Report {
    let today = today(app);
    let first = today.minus(days.saturating_sub(1));
    let days = first..=today;
    if let Some(shared) = &app.shared {
        match shared.usage(&days, None).await {
            Ok(report) => {
                return Report {
                    since: first.begins(),
                    complete: true,
                    rows: report.rows,
                };
            }
            Err(error) => tracing::debug!(%error, "only the usage of this replica is known"),
        }
    }
    Report {
        // What is in memory begins with the process.
        since: app.started,
        complete: app.shared.is_none(),
        rows: app.ledger.usage(&days, None).rows,
    }
}

/// The present day in UTC.
pub(crate) fn today(app: &App) -> Day {
    Day::of(app.clock.now())
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

impl From<&Tally> for Counts {
    fn from(tally: &Tally) -> Self {
        let counts = tally.counts;
        Self {
            requests: counts.requests,
            estimated_requests: counts.estimated_requests,
            tokens: counts.tokens.into(),
            estimated_tokens: counts.estimated_tokens,
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
