//! How many tokens calls are likely to use, learned from those before.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, BuildHasherDefault},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use snapshot::{ClientName, Timestamp};

use crate::{
    Admit, Pick,
    average::Average,
    remembered::{AsIs, Remembered},
};

/// Averages by caller and model. Each process learns on its own.
#[derive(Debug)]
pub(crate) struct Estimates {
    /// By a keyed hash of the two; that of an attempt is the complement of that of a call.
    averages: Mutex<Averages>,
    hasher: RandomState,
}

/// An estimate, and what to learn from its call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    key: u64,
    /// Tokens.
    pub(crate) tokens: u64,
}

type Averages = Remembered<u64, Average, BuildHasherDefault<AsIs>>;

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
        let key = self.key(admit.client, admit.model);
        Estimate::of(&self.lock(), key, now)
    }

    /// For an attempt.
    pub(crate) fn attempt(&self, pick: &Pick<'_>, now: Timestamp) -> Estimate {
        let key = !self.key(pick.client, pick.model);
        Estimate::of(&self.lock(), key, now)
    }

    /// For a caller's call and its first attempt.
    pub(crate) fn both(&self, admit: &Admit<'_>, pick: &Pick<'_>, now: Timestamp) -> (Estimate, Estimate) {
        let call = self.key(admit.client, admit.model);
        let attempt = if (admit.client, admit.model) == (pick.client, pick.model) {
            !call
        } else {
            !self.key(pick.client, pick.model)
        };
        let averages = self.lock();
        (
            Estimate::of(&averages, call, now),
            Estimate::of(&averages, attempt, now),
        )
    }

    /// Learns what a call has used.
    pub(crate) fn learn(&self, estimate: Estimate, tokens: u64, now: Timestamp) {
        self.lock().change(estimate.key, now, AVERAGE_TTL, |known| {
            known.map_or(Average::new(tokens), |known| known.with(tokens))
        });
    }

    fn key(&self, client: &ClientName, model: &str) -> u64 {
        self.hasher.hash_one((client, model))
    }

    fn lock(&self) -> MutexGuard<'_, Averages> {
        self.averages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Estimate {
    fn of(averages: &Averages, key: u64, now: Timestamp) -> Self {
        let tokens = averages.get(key, now).map_or(0, |average| average.value());
        Self { key, tokens }
    }
}
