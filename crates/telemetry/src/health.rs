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
    /// What is wrong although traffic is welcome, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<&'static str, Note>,
}

/// A sentence about something that is degraded or stale.
pub type Note = String;

impl Default for State {
    fn default() -> Self {
        Self {
            ready: false,
            reason: "Starting",
            detail: String::new(),
            notes: BTreeMap::new(),
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

    /// Says what is wrong although traffic is welcome (`Degraded`, `Stale`), or that it is over.
    pub fn note(&self, reason: &'static str, detail: Option<String>) {
        let mut state = self.lock();
        match detail {
            Some(detail) => state.notes.insert(reason, detail),
            None => state.notes.remove(reason),
        };
    }

    /// What holds at this moment.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    fn change(&self, ready: bool, reason: &'static str, detail: String) {
        let mut state = self.lock();
        if state.reason != DRAINING {
            *state = State {
                ready,
                reason,
                detail,
                notes: std::mem::take(&mut state.notes),
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
    fn notes_stay_when_readiness_changes() {
        let health = Health::new();
        health.note("Degraded", Some("the store is away".to_owned()));
        health.ready();
        assert_eq!(health.state().notes["Degraded"], "the store is away");
        health.note("Degraded", None);
        assert!(health.state().notes.is_empty());
    }
}
