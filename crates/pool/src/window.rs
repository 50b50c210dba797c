//! Counting per minute in buckets of one second.

use std::{collections::VecDeque, time::Duration};

use snapshot::Timestamp;

/// What was used in the last 60 seconds.
///
/// A bucket counts until its whole second is 60 seconds old, so that no 60 seconds, wherever they begin,
/// hold more than was allowed. At most 61 buckets are kept.
#[derive(Clone, Debug, Default)]
pub struct Window {
    buckets: VecDeque<Bucket>,
    sum: u64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    second: u64,
    amount: u64,
}

/// Seconds after its own for which a bucket still counts.
const SPAN_SECONDS: u64 = 60;

impl Window {
    /// Counts `amount` at `now`.
    pub fn add(&mut self, now: Timestamp, amount: u64) {
        if amount == 0 {
            return;
        }
        self.advance(now);
        self.sum = self.sum.saturating_add(amount);
        let second = now.as_secs();
        match self.buckets.back_mut() {
            Some(last) if last.second >= second => last.amount = last.amount.saturating_add(amount),
            _ => self.buckets.push_back(Bucket { second, amount }),
        }
    }

    /// The sum at `now`.
    pub fn used(&mut self, now: Timestamp) -> u64 {
        self.advance(now);
        self.sum
    }

    /// The buckets that count at `now`: their seconds since the Unix epoch, and their amounts.
    pub fn buckets(&mut self, now: Timestamp) -> impl Iterator<Item = (u64, u64)> {
        self.advance(now);
        self.buckets.iter().map(|bucket| (bucket.second, bucket.amount))
    }

    /// When the sum falls below `limit` if nothing is added; `None` when it never does (a limit of zero).
    pub fn room_at(&mut self, limit: u64, now: Timestamp) -> Option<Timestamp> {
        self.advance(now);
        let mut left = self.sum;
        if left < limit {
            return Some(now);
        }
        for bucket in &self.buckets {
            left = left.saturating_sub(bucket.amount);
            if left < limit {
                return Some(Timestamp::EPOCH + Duration::from_secs(bucket.second + SPAN_SECONDS + 1));
            }
        }
        None
    }

    fn advance(&mut self, now: Timestamp) {
        while let Some(first) = self.buckets.front()
            && first.second + SPAN_SECONDS < now.as_secs()
        {
            self.sum = self.sum.saturating_sub(first.amount);
            self.buckets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use snapshot::Timestamp;

    use super::Window;

    fn at(millis: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn room_comes_back_when_the_oldest_whole_second_is_a_minute_old() {
        let mut window = Window::default();
        window.add(at(999), 1);
        window.add(at(30_000), 1);
        assert_eq!(
            window.room_at(3, at(30_000)),
            Some(at(30_000)),
            "there is room now"
        );
        assert_eq!(
            window.room_at(2, at(30_000)),
            Some(at(61_000)),
            "when the first leaves"
        );
        assert_eq!(
            window.room_at(1, at(30_000)),
            Some(at(91_000)),
            "when the second leaves"
        );
        assert_eq!(window.room_at(0, at(30_000)), None, "zero is never below zero");
        assert_eq!(window.used(at(60_998)), 2, "59.999 s later it still counts");
        assert_eq!(window.used(at(61_000)), 1, "and no longer when room was promised");
    }

    proptest! {
        #[test]
        fn no_sixty_seconds_hold_more_than_the_limit(
            limit in 1u64..5,
            steps in proptest::collection::vec(0u64..20_000, 1..200),
        ) {
            let mut window = Window::default();
            let mut now = 0;
            let mut admitted: Vec<u64> = Vec::new();
            for step in steps {
                now += step;
                if window.used(at(now)) < limit {
                    window.add(at(now), 1);
                    admitted.push(now);
                }
                let recent = admitted.iter().filter(|then| now - **then < 60_000).count();
                prop_assert!(recent as u64 <= limit, "{recent} within a minute of {now}");
            }
        }

        #[test]
        fn the_promised_moment_has_room_and_the_second_before_has_not(
            limit in 1u64..5,
            steps in proptest::collection::vec((0u64..20_000, 1u64..4), 1..50),
        ) {
            let mut window = Window::default();
            let mut now = 0;
            for (step, amount) in steps {
                now += step;
                window.add(at(now), amount);
            }
            let promised = window.room_at(limit, at(now)).expect("a limit above zero ends");
            prop_assert!(window.clone().used(promised) < limit);
            if promised > at(now) {
                let before = Timestamp::from_micros(promised.as_micros() - 1);
                prop_assert!(window.used(before) >= limit);
            }
        }
    }
}
