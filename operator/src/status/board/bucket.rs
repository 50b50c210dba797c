//! So much in a time, with some ahead.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Tokens that come in a second.
    rate: f64,
    /// Tokens that it holds at most.
    size: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: f64, size: u32, now: Instant) -> Self {
        Self {
            rate,
            size: f64::from(size),
            tokens: f64::from(size),
            at: now,
        }
    }

    /// How long until there is a token.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let missing = 1.0 - self.tokens(now);
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(missing / self.rate).unwrap_or(Duration::MAX / 4)
    }

    /// Takes a token, whether there is one or not.
    pub(super) fn take(&mut self, now: Instant) {
        self.tokens = self.tokens(now) - 1.0;
        self.at = now;
    }

    fn tokens(&self, now: Instant) -> f64 {
        let came = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        // Sums of what came in small parts fall short by less than this.
        (self.tokens + came + 1e-9).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Bucket;

    #[test]
    fn tokens_come_at_their_rate_and_some_are_ahead() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10.0, 2, start);
        for _ in 0..2 {
            assert_eq!(bucket.wait(start), Duration::ZERO, "ahead");
            bucket.take(start);
        }
        let wait = bucket.wait(start);
        assert!(
            wait > Duration::from_millis(90) && wait <= Duration::from_millis(100),
            "{wait:?}"
        );
        assert_eq!(bucket.wait(start + wait), Duration::ZERO);
        let later = start + Duration::from_secs(60);
        bucket.take(later);
        bucket.take(later);
        assert!(
            bucket.wait(later) > Duration::ZERO,
            "it holds no more than its size"
        );
    }
}
