//! Token counts, as the vendors report them and as the gateway counts them.

use crate::Dialect;
use crate::json::raw::Raw;

/// What a call consumed, in tokens.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// The whole prompt: what was read from and written to the cache is included, for every vendor.
    pub input: u64,
    /// The part of `input` that came from the prompt cache.
    pub cached: u64,
    /// The part of `input` that was written to the prompt cache.
    pub cache_write: u64,
    /// The whole answer, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
}

/// Counts as an answer reports them: each may be missing, and later ones replace earlier ones.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    input: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    total: Option<u64>,
}

impl Counts {
    /// Reads a `usage` object; `None` when it holds no count that we know.
    pub(crate) fn read(usage: Raw<'_>) -> Option<Self> {
        let mut counts = Self::default();
        for (name, value) in usage.members() {
            match name {
                b"prompt_tokens" | b"input_tokens" => counts.input = value.count(),
                b"completion_tokens" | b"output_tokens" => counts.output = value.count(),
                b"total_tokens" => counts.total = value.count(),
                b"prompt_tokens_details" | b"input_tokens_details" => counts.input_details(value),
                b"completion_tokens_details" | b"output_tokens_details" => counts.output_details(value),
                b"cache_read_input_tokens" => counts.cached = value.count(),
                b"cache_creation_input_tokens" => counts.cache_write = value.count(),
                // DeepSeek and Moonshot report cache hits beside the prompt's tokens, not in its details.
                b"prompt_cache_hit_tokens" | b"cached_tokens" => {
                    counts.cached = counts.cached.or(value.count());
                }
                _ => {}
            }
        }
        (counts != Self::default()).then_some(counts)
    }

    fn input_details(&mut self, details: Raw<'_>) {
        for (name, value) in details.members() {
            match name {
                b"cached_tokens" => self.cached = value.count().or(self.cached),
                b"cache_write_tokens" => self.cache_write = value.count(),
                _ => {}
            }
        }
    }

    fn output_details(&mut self, details: Raw<'_>) {
        for (name, value) in details.members() {
            if let b"reasoning_tokens" | b"thinking_tokens" = name {
                self.reasoning = value.count();
            }
        }
    }

    /// Takes what a later report says. Reports are cumulative, so a zero after a number is a server that
    /// fills in fields that it does not count.
    pub(crate) fn overlay(&mut self, later: Self) {
        fn newer(earlier: Option<u64>, later: Option<u64>) -> Option<u64> {
            later.filter(|&count| count > 0).or(earlier).or(later)
        }
        *self = Self {
            input: newer(self.input, later.input),
            cached: newer(self.cached, later.cached),
            cache_write: newer(self.cache_write, later.cache_write),
            output: newer(self.output, later.output),
            reasoning: newer(self.reasoning, later.reasoning),
            total: newer(self.total, later.total),
        };
    }

    /// The counts in the gateway's terms. Anthropic's `input_tokens` leaves the cache's share out, everybody
    /// else's includes it.
    pub(crate) fn usage(self, dialect: Dialect) -> Usage {
        let cached = self.cached.unwrap_or(0);
        let cache_write = self.cache_write.unwrap_or(0);
        let output = self.output.unwrap_or(0);
        // Rerankers and some embedders report nothing but a total.
        let reported = self
            .input
            .unwrap_or_else(|| self.total.unwrap_or(0).saturating_sub(output));
        let input = match dialect {
            Dialect::OpenAi => reported,
            Dialect::Anthropic => reported.saturating_add(cached).saturating_add(cache_write),
        };
        Usage {
            input,
            cached,
            cache_write,
            output,
            reasoning: self.reasoning.unwrap_or(0),
        }
    }
}
