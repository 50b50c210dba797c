//! Whether the process should get traffic, and what is wrong with it otherwise.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// The one place where a process says whether it is ready. Cheap to clone; starts not ready.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// Whether traffic is welcome.
    pub ready: bool,
    /// One CamelCase word for machines.
    pub reason: &'static str,
    /// A sentence for people; empty when there is nothing to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What is degraded although traffic is welcome, and how.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub degraded: BTreeMap<&'static str, String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            ready: false,
            reason: "Starting",
            detail: String::new(),
            degraded: BTreeMap::new(),
        }
    }
}

impl Health {
    /// Not ready, because it starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Traffic is welcome from now on. Ignored once the process is draining, which nothing takes back.
    pub fn ready(&self) {
        self.change(true, "Ready", String::new());
    }

    /// Traffic is not welcome from now on, and why: a CamelCase word and a sentence.
    pub fn not_ready(&self, reason: &'static str, detail: impl Into<String>) {
        self.change(false, reason, detail.into());
    }

    /// The process is on its way out and is never ready again.
    pub fn draining(&self) {
        self.not_ready(DRAINING, "the process was asked to end");
    }

    /// Says that something (`store`) is degraded although traffic is welcome, and how (`unreachable since …`), or
    /// that it is over.
    pub fn degraded(&self, subject: &'static str, how: Option<String>) {
        let mut state = self.lock();
        match how {
            Some(how) => state.degraded.insert(subject, how),
            None => state.degraded.remove(subject),
        };
    }

    /// What holds at this moment. What is degraded is also told in the detail, unless something worse is.
    pub fn state(&self) -> State {
        let mut state = self.lock().clone();
        if state.detail.is_empty() && !state.degraded.is_empty() {
            let told: Vec<_> = state
                .degraded
                .iter()
                .map(|(subject, how)| format!("{subject} {how}"))
                .collect();
            state.detail = format!("degraded: {}", told.join("; "));
        }
        state
    }

    fn change(&self, ready: bool, reason: &'static str, detail: String) {
        let mut state = self.lock();
        if state.reason != DRAINING {
            *state = State {
                ready,
                reason,
                detail,
                degraded: std::mem::take(&mut state.degraded),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const DRAINING: &str = "Draining";

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn a_draining_process_is_never_ready_again() {
        let health = Health::new();
        assert_eq!(health.state().reason, "Starting");
        health.ready();
        assert!(health.state().ready);
        health.draining();
        health.ready();
        assert_eq!((health.state().ready, health.state().reason), (false, "Draining"));
    }

    #[test]
    fn what_is_degraded_is_told_whatever_the_readiness() {
        let health = Health::new();
        health.degraded("store", Some("unreachable since noon".to_owned()));
        health.ready();
        assert_eq!(health.state().detail, "degraded: store unreachable since noon");
        health.degraded("snapshot", Some("stale".to_owned()));
        assert_eq!(
            health.state().detail,
            "degraded: snapshot stale; store unreachable since noon"
        );
        health.not_ready("Stuck", "it hangs");
        assert_eq!(health.state().detail, "it hangs");
        assert_eq!(health.state().degraded["store"], "unreachable since noon");
        health.degraded("store", None);
        health.degraded("snapshot", None);
        health.ready();
        assert_eq!(health.state().detail, "");
    }
}
