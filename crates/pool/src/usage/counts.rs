//! Numbers of one name in one day.

use crate::TokenCounts;

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that began; attempts for what a call may try several of.
    pub requests: u64,
    /// Tokens of those that ended, as reported or guessed.
    pub tokens: TokenCounts,
    /// Of the requests, those whose use was guessed or whose end nobody saw.
    pub estimated_requests: u64,
    /// Tokens that stand for these: guessed ones, which are in `tokens` too, and those that were reserved
    /// for calls whose end nobody saw, which are not.
    pub estimated_tokens: u64,
}

/// What was used, and what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What was used.
    pub counts: Counts,
    /// Of the requests, those that have not ended.
    pub open: u64,
    /// Tokens that are likely to be used by these.
    pub reserved: u64,
}

/// More tokens than any call uses. What an upstream says beyond is not believed: sums have to stay below
/// 2^53, up to which Redis' scripts calculate exactly.
const MOST_TOKENS: u64 = 1 << 40;

impl Tally {
    /// A call begins.
    pub(super) fn begin(&mut self, reserve: u64) {
        self.counts.requests += 1;
        self.open += 1;
        self.reserved += reserve;
    }

    /// A call ends.
    pub(super) fn end(&mut self, reserved: u64, usage: Option<&TokenCounts>, estimated: bool) {
        self.open -= 1;
        self.reserved -= reserved;
        if let Some(usage) = usage {
            self.counts.tokens.add(usage);
        }
        if estimated {
            self.counts.estimated_requests += 1;
            self.counts.estimated_tokens += usage.map_or(0, TokenCounts::total);
        }
    }
}

/// What is believed of a number of tokens of one call.
pub(crate) fn believed(tokens: u64) -> u64 {
    tokens.min(MOST_TOKENS)
}

/// What is believed of the tokens of one call.
pub(crate) fn believed_usage(usage: &TokenCounts) -> TokenCounts {
    TokenCounts {
        input: believed(usage.input),
        cached: believed(usage.cached),
        cache_write: believed(usage.cache_write),
        output: believed(usage.output),
        reasoning: believed(usage.reasoning),
    }
}
