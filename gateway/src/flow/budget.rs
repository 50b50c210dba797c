//! How many retries a route may add to its calls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use snapshot::Timestamp;

/// Seconds over which calls and retries are compared.
const WINDOW: u64 = 10;
/// Retries that are always allowed within the window, so that quiet routes can retry at all.
const ALWAYS: u32 = 10;
/// Routes whose counts are kept.
const ROUTES_MAX: usize = 4096;

/// Counts calls and retries of each route, so that an outage is not met with a multiple of its load.
#[derive(Default)]
pub(crate) struct Budgets(Mutex<HashMap<Arc<str>, Counts>>);

#[derive(Default)]
struct Counts {
    window: u64,
    calls: u32,
    retries: u32,
}

impl Budgets {
    /// Counts a call.
    pub(super) fn call(&self, route: &Arc<str>, now: Timestamp) {
        self.with(route, now, |counts| counts.calls = counts.calls.saturating_add(1));
    }

    /// Takes one retry out of the budget; false when it is used up.
    pub(super) fn retry(&self, route: &Arc<str>, percent: u32, now: Timestamp) -> bool {
        self.with(route, now, |counts| {
            let allowed = ALWAYS.max(counts.calls / 100 * percent + counts.calls % 100 * percent / 100);
            let granted = counts.retries < allowed;
            counts.retries += u32::from(granted);
            granted
        })
    }

    fn with<T>(&self, route: &Arc<str>, now: Timestamp, act: impl FnOnce(&mut Counts) -> T) -> T {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = now.as_secs() / WINDOW;
        if routes.len() >= ROUTES_MAX {
            routes.retain(|_, counts| counts.window == window);
        }
        let counts = match routes.get_mut(route) {
            Some(counts) => counts,
            None => routes.entry(route.clone()).or_default(),
        };
        if counts.window != window {
            *counts = Counts {
                window,
                ..Counts::default()
            };
        }
        act(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::{ALWAYS, Budgets};
    use snapshot::Timestamp;
    use std::sync::Arc;

    #[test]
    fn retries_are_a_share_of_calls() {
        let budgets = Budgets::default();
        let route: Arc<str> = "a/b".into();
        let now = Timestamp::from_micros(1_000_000_000);
        for _ in 0..200 {
            budgets.call(&route, now);
        }
        let granted = (0..200).filter(|_| budgets.retry(&route, 20, now)).count();
        assert_eq!(granted, 40, "20 % of 200 calls");
        let later = Timestamp::from_micros(1_010_000_000);
        let granted = (0..200).filter(|_| budgets.retry(&route, 20, later)).count();
        assert_eq!(granted, ALWAYS as usize, "a quiet route may still retry");
    }
}
