//! When to compile: at once after a quiet time, else once per burst of changes.

use std::time::Duration;

use tokio::time::Instant;

/// A burst is over when nothing happens for so long.
const QUIET: Duration = Duration::from_millis(20);
/// A burst that goes on does not hold back what it changes for longer.
const LONGEST: Duration = Duration::from_millis(100);
/// Compiling takes a fifth of the time at most, while this allows it.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// When to compile.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The first change that is not compiled, and the last.
    changes: Option<(Instant, Instant)>,
    /// When compiling may begin again, and until when it would be of the same burst.
    rest: Option<(Instant, Instant)>,
}

impl Pace {
    /// Something changed.
    pub(super) fn changed(&mut self, now: Instant) {
        let first = self.changes.map_or(now, |(first, _)| first);
        self.changes = Some((first, now));
    }

    /// When to compile; `None` while there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        let (first, last) = self.changes?;
        Some(match self.rest {
            Some((earliest, burst)) if first < burst => (last + QUIET).min(first + LONGEST).max(earliest),
            _ => first,
        })
    }

    /// All changes were compiled.
    pub(super) fn done(&mut self, begun: Instant, now: Instant) {
        self.changes = None;
        let cost = now.duration_since(begun);
        self.rest = Some((
            now + (cost * 4).min(LONGEST_REST),
            now + (cost * 4).clamp(LONGEST, LONGEST_REST),
        ));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_change_is_compiled_at_once_and_a_burst_together() {
        let mut pace = Pace::default();
        assert_eq!(pace.due(), None);
        let start = Instant::now();
        pace.changed(start);
        assert_eq!(pace.due(), Some(start));
        pace.done(start, start);
        assert_eq!(pace.due(), None);
        advance(ms(5)).await;
        pace.changed(Instant::now());
        assert_eq!(pace.due(), Some(start + ms(25)));
        advance(ms(10)).await;
        pace.changed(Instant::now());
        assert_eq!(
            pace.due(),
            Some(start + ms(35)),
            "quiet counts from the last change"
        );
        sleep_until(start + ms(35)).await;
        pace.done(Instant::now(), Instant::now());
        advance(ms(200)).await;
        pace.changed(Instant::now());
        assert_eq!(pace.due(), Some(Instant::now()), "a new burst");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_goes_on_is_compiled_at_a_steady_pace() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let mut compiled = 0;
        for _ in 0..1000 {
            pace.changed(Instant::now());
            if pace.due().is_some_and(|due| due <= Instant::now()) {
                compiled += 1;
                pace.done(Instant::now(), Instant::now());
            }
            advance(ms(1)).await;
        }
        assert!(
            (9..=12).contains(&compiled),
            "{compiled} in {:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_much_is_done_less_often() {
        let mut pace = Pace::default();
        let begun = Instant::now();
        pace.changed(begun);
        advance(ms(80)).await;
        let now = Instant::now();
        pace.done(begun, now);
        pace.changed(now);
        assert_eq!(pace.due(), Some(now + ms(320)));
        advance(Duration::from_secs(10)).await;
        pace.done(now, Instant::now());
        pace.changed(Instant::now());
        assert_eq!(
            pace.due(),
            Some(Instant::now() + Duration::from_secs(1)),
            "but not for long"
        );
    }
}
