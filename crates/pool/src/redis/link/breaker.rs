//! When answers that do not come add up to a server that does not answer.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// So many in a row are an outage; fewer are a hiccup.
const ENOUGH: u32 = 3;
/// They must be this close to each other, or they are hiccups in a row of few calls.
const WINDOW: Duration = Duration::from_secs(2);

/// Counts answers that did not come.
#[derive(Debug)]
pub(super) struct Misses {
    count: AtomicU32,
    first: Mutex<Instant>,
}

impl Misses {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            count: AtomicU32::new(0),
            first: Mutex::new(now),
        }
    }

    /// An answer came. It costs a load as long as all do.
    pub(super) fn answered(&self) {
        if self.count.load(Relaxed) != 0 {
            self.count.store(0, Relaxed);
        }
    }

    /// An answer did not come in time. Returns whether that is enough of them.
    pub(super) fn missed(&self, now: Instant) -> bool {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if self.count.load(Relaxed) == 0 || now.duration_since(*first) > WINDOW {
            *first = now;
            self.count.store(1, Relaxed);
            return false;
        }
        self.count.fetch_add(1, Relaxed) + 1 >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Misses, WINDOW};

    #[test]
    fn three_misses_in_a_row_are_enough() {
        let now = Instant::now();
        let misses = Misses::new(now);
        let steps = [0, 10, 20].map(|ms| misses.missed(now + Duration::from_millis(ms)));
        assert_eq!(steps, [false, false, true], "the third decides");
    }

    #[test]
    fn an_answer_between_them_starts_the_count_anew() {
        let now = Instant::now();
        let misses = Misses::new(now);
        for _ in 0..10 {
            assert!(!misses.missed(now), "the first in a row");
            assert!(!misses.missed(now), "the second in a row");
            misses.answered();
        }
    }

    #[test]
    fn misses_far_apart_are_hiccups() {
        let now = Instant::now();
        let misses = Misses::new(now);
        let apart = WINDOW + Duration::from_millis(1);
        for n in 0..10 {
            assert!(!misses.missed(now + apart * n), "miss {n} is alone");
        }
    }
}
