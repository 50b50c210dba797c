//! What is to be written, and when. Knows no cluster: time and results come in, writes come out.

mod bucket;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use resources::Identity;
use tokio::time::Instant;

use super::told::{Change, Status};
use bucket::Bucket;

/// How often to write what.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// A transition is written when nothing more happened to the object for so long.
    pub quiet: Duration,
    /// And at the latest after so long.
    pub longest: Duration,
    /// The same for counts.
    pub counts_quiet: Duration,
    /// And its end.
    pub counts_longest: Duration,
    /// How long apart two writes of one object are at least.
    pub apart: Duration,
    /// How long apart two writes of one object are for numbers of use alone.
    pub measures_apart: Duration,
    /// How long it takes an object to be allowed another write, once it has used those that it has ahead.
    pub refill: Duration,
    /// Writes of transitions in a second, of all objects.
    pub transitions: u32,
    /// Writes of counts and numbers of use in a second, of all objects.
    pub others: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            longest: Duration::from_millis(500),
            counts_quiet: Duration::from_secs(1),
            counts_longest: Duration::from_secs(3),
            apart: Duration::from_millis(300),
            measures_apart: Duration::from_secs(300),
            refill: Duration::from_secs(5),
            transitions: 200,
            others: 10,
        }
    }
}

/// All objects, with what is to be written of each.
#[derive(Debug)]
pub(super) struct Board {
    rates: Rates,
    entries: BTreeMap<Identity, Entry>,
    transitions: Bucket,
    others: Bucket,
}

/// A write to make.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// Of which object.
    pub(super) identity: Identity,
    /// Which life of it.
    pub(super) uid: Option<String>,
    /// What is told of it until now.
    pub(super) told: Option<Arc<Status>>,
    /// What is to be told.
    pub(super) status: Arc<Status>,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The object is gone, or another has its name.
    Gone,
    /// It may work later.
    Again,
}

/// What is to be told of an object.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Which life of it.
    pub(super) uid: Option<String>,
    /// What is told of it until now.
    pub(super) told: Option<Status>,
    /// What is to be told.
    pub(super) status: Status,
}

#[derive(Debug)]
struct Entry {
    uid: Option<String>,
    pending: Option<Pending>,
    /// What was written last, and the `resourceVersion` that it got.
    written: Option<(u64, Arc<Status>)>,
    is_under_way: bool,
    last: Option<Instant>,
    last_measured: Option<Instant>,
    allowance: Bucket,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Pending {
    told: Option<Arc<Status>>,
    status: Arc<Status>,
    change: Change,
    /// Since when there is something of this kind to write.
    since: Instant,
    /// When it changed last.
    changed: Instant,
}

/// Writes that an object has ahead.
const AHEAD: u32 = 6;
/// How long to wait after a first failure; doubled with each that follows.
const AGAIN: Duration = Duration::from_millis(200);
/// The longest wait after a failure.
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

impl Board {
    pub(super) fn new(rates: Rates, now: Instant) -> Self {
        Self {
            rates,
            entries: BTreeMap::new(),
            transitions: Bucket::new(f64::from(rates.transitions), rates.transitions.max(1), now),
            others: Bucket::new(f64::from(rates.others), rates.others.max(1), now),
        }
    }

    /// What this process wrote of an object, if that is newer than what was seen with `resource_version`; where nothing
    /// was seen, what it wrote last.
    pub(super) fn written(&self, identity: &Identity, resource_version: Option<&str>) -> Option<&Status> {
        let (version, status) = self.entries.get(identity)?.written.as_ref()?;
        let Some(seen) = resource_version else {
            return Some(status);
        };
        // They may be compared since 1.33: <https://kep.k8s.io/5504>. Servers have made them so all along.
        let seen: u64 = seen.parse().ok()?;
        (*version > seen).then_some(status)
    }

    /// Takes over what is to be told of all objects.
    pub(super) fn update(&mut self, wanted: impl Iterator<Item = (Identity, Wanted)>, now: Instant) {
        let mut former = std::mem::take(&mut self.entries);
        for (identity, wanted) in wanted {
            let entry = former.remove(&identity).filter(|entry| entry.uid == wanted.uid);
            let mut entry = entry.unwrap_or_else(|| Entry::new(wanted.uid.clone(), &self.rates, now));
            entry.want(wanted, now);
            self.entries.insert(identity, entry);
        }
    }

    /// The next write that is due, transitions first. It is under way until [`Self::done`] hears of it.
    pub(super) fn next(&mut self, now: Instant) -> Option<Write> {
        let lanes: [(bool, &mut Bucket); 2] = [(true, &mut self.transitions), (false, &mut self.others)];
        for (is_transition, bucket) in lanes {
            if bucket.wait(now) > Duration::ZERO {
                continue;
            }
            let due = self
                .entries
                .iter_mut()
                .filter(|(_, entry)| entry.is_transition() == is_transition)
                .filter_map(|(identity, entry)| Some((entry.due(&self.rates)?, identity, entry)))
                .filter(|(due, ..)| *due <= now)
                .min_by_key(|(due, ..)| *due);
            if let Some((_, identity, entry)) = due {
                bucket.take(now);
                return entry.begin(identity, now);
            }
        }
        None
    }

    /// When [`Self::next`] may have something to say; `None` while nothing is to be written.
    pub(super) fn wakes(&self, now: Instant) -> Option<Instant> {
        let due = |entry: &Entry| {
            let bucket = if entry.is_transition() {
                &self.transitions
            } else {
                &self.others
            };
            Some(entry.due(&self.rates)?.max(now + bucket.wait(now)))
        };
        self.entries.values().filter_map(due).min()
    }

    /// A write has ended: with the `resourceVersion` that it got, or not.
    pub(super) fn done(&mut self, write: &Write, result: Result<u64, Failed>, now: Instant) {
        let Some(entry) = self.entries.get_mut(&write.identity) else {
            return;
        };
        entry.is_under_way = false;
        match result {
            Ok(version) => {
                entry.failures = 0;
                entry.not_before = None;
                entry.written = Some((version, Arc::clone(&write.status)));
                entry.pending = entry
                    .pending
                    .take()
                    .filter(|pending| pending.status != write.status);
                if let Some(pending) = &mut entry.pending {
                    pending.told = Some(Arc::clone(&write.status));
                }
            }
            // It is told again when the object is seen again.
            Err(Failed::Gone) => entry.pending = None,
            Err(Failed::Again) => {
                let wait = AGAIN
                    .saturating_mul(1 << entry.failures.min(10))
                    .min(AGAIN_AT_MOST);
                entry.failures += 1;
                entry.not_before = Some(now + wait);
            }
        }
    }
}

impl Entry {
    fn new(uid: Option<String>, rates: &Rates, now: Instant) -> Self {
        Self {
            uid,
            pending: None,
            written: None,
            is_under_way: false,
            last: None,
            last_measured: None,
            allowance: Bucket::new(1.0 / rates.refill.as_secs_f64().max(0.001), AHEAD, now),
            failures: 0,
            not_before: None,
        }
    }

    fn want(&mut self, wanted: Wanted, now: Instant) {
        let change = wanted.status.change(wanted.told.as_ref());
        if change == Change::Nothing {
            self.pending = None;
            return;
        }
        // A number that has grown meanwhile begins no time anew.
        let is_same = |pending: &Pending| {
            pending.change == change
                && (change == Change::Measured
                    || wanted.status.change(Some(&pending.status)) <= Change::Measured)
        };
        let (since, changed) = match &self.pending {
            Some(pending) if is_same(pending) => (pending.since, pending.changed),
            Some(pending) if pending.change == change => (pending.since, now),
            _ => (now, now),
        };
        self.pending = Some(Pending {
            told: wanted.told.map(Arc::new),
            status: Arc::new(wanted.status),
            change,
            since,
            changed,
        });
    }

    fn is_transition(&self) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| pending.change == Change::Transition)
    }

    /// When to write; `None` when there is nothing, or it is being written.
    fn due(&self, rates: &Rates) -> Option<Instant> {
        let pending = self.pending.as_ref().filter(|_| !self.is_under_way)?;
        let settled = match pending.change {
            Change::Nothing => return None,
            Change::Transition => (pending.changed + rates.quiet).min(pending.since + rates.longest),
            Change::Counts => {
                (pending.changed + rates.counts_quiet).min(pending.since + rates.counts_longest)
            }
            Change::Measured => match self.last_measured {
                Some(last) => last + rates.measures_apart,
                None => pending.since,
            },
        };
        let apart = self.last.map(|last| last + rates.apart);
        let allowed = self.last.map(|last| last + self.allowance.wait(last));
        [Some(settled), apart, allowed, self.not_before]
            .into_iter()
            .flatten()
            .max()
    }

    fn begin(&mut self, identity: &Identity, now: Instant) -> Option<Write> {
        let pending = self.pending.as_ref()?;
        self.is_under_way = true;
        self.last = Some(now);
        // Every write carries the latest numbers.
        self.last_measured = Some(now);
        self.allowance.take(now);
        Some(Write {
            identity: identity.clone(),
            uid: self.uid.clone(),
            told: pending.told.clone(),
            status: Arc::clone(&pending.status),
        })
    }
}
