//! How many tokens calls are likely to use, learned from those before.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use snapshot::{ClientName, Timestamp};

use crate::{Admit, Pick, average::Average, remembered::Remembered};

/// Averages by caller and model. Each process learns on its own.
#[derive(Debug)]
pub(crate) struct Estimates {
    averages: Mutex<Remembered<u64, Average>>,
    hasher: RandomState,
}

/// An estimate, and what to learn from its call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    key: u64,
    /// Tokens.
    pub(crate) tokens: u64,
}

/// What an average is about.
#[derive(Clone, Copy, Debug, Hash)]
enum About {
    /// The calls of a client that names a model.
    Call,
    /// The attempts at an upstream's model for a client.
    Attempt,
}

const AVERAGE_TTL: Duration = Duration::from_secs(3600);
const AVERAGES: usize = 50_000;

impl Default for Estimates {
    fn default() -> Self {
        Self {
            averages: Mutex::new(Remembered::new(AVERAGES)),
            hasher: RandomState::new(),
        }
    }
}

impl Estimates {
    /// For a caller's call.
    pub(crate) fn call(&self, admit: &Admit<'_>, now: Timestamp) -> Estimate {
        self.of(admit.client, admit.model, About::Call, now)
    }

    /// For an attempt.
    pub(crate) fn attempt(&self, pick: &Pick<'_>, now: Timestamp) -> Estimate {
        self.of(pick.client, pick.model, About::Attempt, now)
    }

    /// Learns what a call has used.
    pub(crate) fn learn(&self, estimate: Estimate, tokens: u64, now: Timestamp) {
        let mut averages = self.lock();
        let average = averages
            .get(estimate.key, now)
            .map_or(Average::new(tokens), |known| known.with(tokens));
        averages.set(estimate.key, average, now, AVERAGE_TTL);
    }

    fn of(&self, client: &ClientName, model: &str, about: About, now: Timestamp) -> Estimate {
        let key = self.hasher.hash_one((client, model, about));
        let tokens = self.lock().get(key, now).map_or(0, |average| average.value());
        Estimate { key, tokens }
    }

    fn lock(&self) -> MutexGuard<'_, Remembered<u64, Average>> {
        self.averages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
