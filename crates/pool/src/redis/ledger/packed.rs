//! Numbers as they are written.

use std::fmt;

use crate::{
    TokenCounts,
    usage::{Counts, Tally},
};

/// The numbers of a name: decimal, with spaces between.
///
/// In this order: requests; input, cached, cache write, output and reasoning tokens; estimated requests,
/// estimated tokens; open requests, reserved tokens. Estimates of one owner can be negative: they take back
/// what others estimated for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed([i64; NUMBERS]);

const NUMBERS: usize = 10;
const ESTIMATED: usize = 6;
const OPEN: usize = 8;

impl Packed {
    /// Reads what [`fmt::Display`] wrote. Later numbers, of newer versions, are left out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut packed = Self::default();
        let mut numbers = text.split(' ');
        for number in &mut packed.0 {
            *number = numbers.next()?.parse().ok()?;
        }
        Some(packed)
    }

    /// What the base gets when these numbers are taken over: what is open becomes estimates.
    #[must_use]
    pub(super) fn folded(mut self) -> Self {
        for number in OPEN..NUMBERS {
            self.0[number - OPEN + ESTIMATED] += self.0[number];
            self.0[number] = 0;
        }
        self
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (number, other) in self.0.iter_mut().zip(other.0) {
            *number = number.saturating_add(other);
        }
    }

    #[must_use]
    pub(super) fn less(mut self, other: &Self) -> Self {
        for (number, other) in self.0.iter_mut().zip(other.0) {
            *number = number.saturating_sub(other);
        }
        self
    }

    /// The numbers. A sum is negative only while the store is incomplete; that is nothing to anybody.
    pub(super) fn tally(&self) -> Tally {
        let [
            requests,
            input,
            cached,
            cache_write,
            output,
            reasoning,
            estimated_requests,
            estimated_tokens,
            open,
            reserved,
        ] = self.0.map(|number| u64::try_from(number).unwrap_or(0));
        Tally {
            counts: Counts {
                requests,
                tokens: TokenCounts {
                    input,
                    cached,
                    cache_write,
                    output,
                    reasoning,
                },
                estimated_requests,
                estimated_tokens,
            },
            open,
            reserved,
        }
    }
}

impl From<&Tally> for Packed {
    fn from(tally: &Tally) -> Self {
        let Tally {
            counts,
            open,
            reserved,
        } = tally;
        let numbers = [
            counts.requests,
            counts.tokens.input,
            counts.tokens.cached,
            counts.tokens.cache_write,
            counts.tokens.output,
            counts.tokens.reasoning,
            counts.estimated_requests,
            counts.estimated_tokens,
            *open,
            *reserved,
        ];
        Self(numbers.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in self.0.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Packed;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let text = "1 9007199254740991 3 4 5 6 -7 8 9 10";
        let packed = Packed::parse(text).unwrap();
        assert_eq!(packed.to_string(), text);
        assert_eq!(
            Packed::parse(&format!("{text} 11")),
            Some(packed),
            "of a newer version"
        );
        assert_eq!(Packed::parse("1 2 3"), None);
        let tally = packed.tally();
        assert_eq!(
            tally.counts.estimated_requests, 0,
            "nobody is told of less than nothing"
        );
        let back = Packed::from(&tally).to_string();
        assert_eq!(back, "1 9007199254740991 3 4 5 6 0 8 9 10");
    }

    #[test]
    fn what_is_open_becomes_estimates() {
        let packed = Packed::parse("1 2 3 4 5 6 7 8 9 10").unwrap();
        assert_eq!(packed.folded().to_string(), "1 2 3 4 5 6 16 18 0 0");
    }
}
