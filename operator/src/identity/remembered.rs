//! What the API server said of tokens a moment ago, under hashes of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use snapshot::Timestamp;
use tokio::time::Instant;

use super::Identity;

/// How long an accepted token is not asked about again.
const ACCEPTED: Duration = Duration::from_secs(10);

/// How long a refused token is not asked about again.
const REFUSED: Duration = Duration::from_secs(1);

/// Tokens that are remembered at most.
const TOKENS_MAX: usize = 4_096;

/// Verdicts of a moment ago, each until a moment.
#[derive(Default)]
pub(super) struct Remembered(Mutex<HashMap<[u8; 32], (Verdict, Instant)>>);

/// What the API server said of a token.
#[derive(Clone)]
pub(super) enum Verdict {
    /// It is of this caller.
    Accepted(Arc<Identity>),
    /// It is not accepted.
    Refused,
}

impl Remembered {
    pub(super) fn get(&self, key: &[u8; 32]) -> Option<Verdict> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, until) = tokens.get(key)?;
        (Instant::now() < *until).then(|| verdict.clone())
    }

    /// Remembers for a while, but never beyond the token's end. `now` is wall time.
    pub(super) fn insert(&self, key: [u8; 32], verdict: Verdict, now: Timestamp) {
        let left = match &verdict {
            Verdict::Refused => REFUSED,
            Verdict::Accepted(identity) => identity
                .expires
                .map_or(ACCEPTED, |expires| ACCEPTED.min(expires.since(now))),
        };
        let moment = Instant::now();
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, (_, until)| moment < *until);
        }
        if tokens.len() < TOKENS_MAX {
            tokens.insert(key, (verdict, moment + left));
        }
    }
}
