//! Usage that replicas share, and that survives them.
//!
//! Each process owns the numbers that it counted: [`Publisher`] writes them as they are, never as what was
//! added, so that a flush may be lost, repeated or late and still counts once. A process that does not flush for
//! ten seconds is dead to the others, which fence it and take its numbers over into the base of the day; what was
//! open in its last flush becomes estimates. A process that was only paused finds itself fenced, reads in its
//! grave what was taken over, and goes on under a new name with what is beyond that: requests and tokens as they
//! are, and estimates less those of its calls that are not lost after all. So the base and the numbers of all
//! owners add up to what was counted, at any moment.
//!
//! All keys share one hash tag: `PREFIX:{usage}:…`
//!
//! | Key | Type | What it holds |
//! |---|---|---|
//! | `store` | hash | `epoch`, which tells an emptied store from the one before; `folds`, which grows when the base changes |
//! | `owners` | sorted set | owners by the time of their last flush, in milliseconds |
//! | `life:OWNER` | hash | `last` flush, `day:DAY` for each day with counts, `folding` once it is fenced; a tombstone in the end |
//! | `own:OWNER:DAY` | hash | `dimension\|name` → its numbers, see `packed.rs` |
//! | `base:DAY` | hash | the same, of owners that are gone; `#dimension` → how many names it has |
//! | `grave:OWNER:DAY` | hash | what of an owner went into the base |

mod fold;
mod keys;
mod packed;
mod publish;
mod read;
mod reply;
mod script;

use std::{fmt, ops::RangeInclusive};

pub use publish::{Beat, Publisher};
pub(in crate::redis) use script::all as scripts;
pub use script::{Away, Scripts};

use self::keys::Keys;
use crate::usage::{Day, Dimension, Report};

/// The numbers of all processes, at a store.
#[derive(Debug)]
pub struct SharedLedger<S> {
    scripts: S,
    keys: Keys,
    /// Fields that one script works on.
    page: usize,
}

/// One life of a process: a number that no other process, before or after, draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation(u128);

/// The numbers could not be shared or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store is away.
    #[error("the store of usage is away")]
    Away(#[from] Away),
    /// The store answers, but not as its scripts do.
    #[error("expected an answer of the ledger's scripts from the store of usage, found another")]
    Unexpected,
    /// The store refuses again and again, or was changed while it was read each time.
    #[error("the store of usage changes too often to be used")]
    Unsteady,
}

/// Fields that one script works on: about a millisecond of the server.
const PAGE: usize = 500;

/// Days that counts are kept after they were last written.
const DAYS_KEPT: u32 = 400;

/// Milliseconds without a flush after which an owner is dead.
const DEAD_AFTER: u64 = 10_000;

impl<S: Scripts> SharedLedger<S> {
    /// The ledger below `prefix`, such as `roundhouse`. Does not connect.
    pub fn new(scripts: S, prefix: &str) -> Self {
        Self {
            scripts,
            keys: Keys::new(prefix),
            page: PAGE,
        }
    }

    /// What all processes used and have under way in these days, as of their last flush, which is two seconds
    /// old at most. Days before the last 400 are not kept.
    pub async fn usage(
        &self,
        days: &RangeInclusive<Day>,
        dimension: Option<Dimension>,
    ) -> Result<Report, LedgerError> {
        read::usage(self, days, dimension).await
    }
}

impl Incarnation {
    /// Takes a random number.
    pub const fn new(random: u128) -> Self {
        Self(random)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests;
