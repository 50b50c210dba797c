//! How many tokens a call is likely to use.

/// An exponential moving average of settled totals; the newest counts for a quarter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Average(u64);

impl Average {
    /// The average of one observation.
    pub const fn new(first: u64) -> Self {
        Self(first)
    }

    /// Takes in another observation.
    #[must_use]
    pub const fn with(self, observed: u64) -> Self {
        // Rounded to nearest, so that a constant input is reached.
        let sum = self.0.saturating_mul(3).saturating_add(observed);
        Self(sum.saturating_add(2) / 4)
    }

    /// The present value.
    pub const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Average;

    #[test]
    fn a_change_of_habit_is_followed_within_a_few_calls() {
        let mut average = Average::new(100);
        for _ in 0..20 {
            average = average.with(1_000);
        }
        assert!((990..=1_000).contains(&average.value()), "{average:?}");
        for _ in 0..40 {
            average = average.with(0);
        }
        assert!(average.value() <= 2, "{average:?}");
    }
}
