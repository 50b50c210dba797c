//! How long to wait before the next try.

use std::time::Duration;

use rand::RngExt;

/// The longest that the first wait can be.
const FIRST: Duration = Duration::from_millis(100);
/// The longest that any wait can be.
const MOST: Duration = Duration::from_secs(10);

/// Waits that grow from try to try. Each is drawn from its whole range, so that gateways that lost an operator together
/// do not come back together.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    /// The next wait is a first one.
    pub(super) const fn new() -> Self {
        Self(FIRST)
    }

    /// The next wait.
    pub(super) fn next(&mut self, rng: &mut impl RngExt) -> Duration {
        let wait = self.0.mul_f64(rng.random_range(0.0..=1.0));
        self.0 = MOST.min(self.0 * 2);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, MOST};

    #[test]
    fn waits_grow_to_their_bound_and_differ() {
        let mut rng = rand::rng();
        let mut first: Vec<_> = (0..32).map(|_| Backoff::new().next(&mut rng)).collect();
        assert!(first.iter().all(|wait| *wait <= FIRST), "{first:?}");
        first.sort();
        first.dedup();
        assert!(first.len() > 1, "every gateway would come back at once");
        let mut backoff = Backoff::new();
        let late: Vec<_> = (0..64).map(|_| backoff.next(&mut rng)).skip(8).collect();
        assert!(late.iter().all(|wait| *wait <= MOST), "{late:?}");
        assert!(late.iter().any(|wait| *wait > MOST / 4), "{late:?}");
    }
}
