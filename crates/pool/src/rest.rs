//! Rests: why and until when a credential is left alone, and how it comes back.

use std::time::Duration;

use snapshot::{RestReason, Timestamp};

/// What an upstream's refusal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Why.
    pub reason: RestReason,
    /// Until when.
    pub end: RestEnd,
}

/// When a rest ends and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestEnd {
    /// The vendor said when the quota resets: reopens fully then. At most 31 days.
    Stated(Duration),
    /// The vendor asked for a pause (`Retry-After` and the like): reopens fully. At most one hour.
    Hinted(Duration),
    /// An error rule says for how long: reopens fully. At most 31 days.
    For(Duration),
    /// Nobody said: the reason's [`ladder`] decides, and the end is tested by one probe.
    Guessed,
}

/// The rest of one credential, or of one credential for one model.
///
/// Numbers called sequence come from one counter of the store that grows with every pick, refusal and
/// clearing; they tell what a call could have known when it began.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    rest: Option<Rested>,
    ladder: Option<Step>,
    /// Refusals of calls that began before this was cleared say nothing about the time after.
    cleared: u64,
    /// The same for refusals of a key that has been replaced since.
    secret_changed: u64,
}

/// What [`Scope::standing`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Usable.
    Open,
    /// A guessed rest is over: one call may find out.
    HalfOpen(RestReason),
    /// Resting, or being probed, until then.
    Closed(Timestamp, RestReason),
}

/// What a refusal replaced, so that it can be withdrawn.
#[derive(Clone, Debug)]
pub struct Undo {
    sequence: u64,
    rest: Option<Rested>,
    ladder: Option<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Rested {
    reason: RestReason,
    until: Timestamp,
    guessed: bool,
    sequence: u64,
    probe: Option<Probe>,
    /// Whether the store that replicas share has told of it.
    told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    lease: u64,
    locked_until: Timestamp,
}

/// A rest as the store that replicas share tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Why.
    pub reason: RestReason,
    /// Until when.
    pub until: Timestamp,
    /// Whether a probe has to find out that it is over.
    pub guessed: bool,
}

/// How often in a row an end had to be guessed.
#[derive(Clone, Copy, Debug)]
struct Step {
    reason: RestReason,
    count: u32,
    sequence: u64,
}

/// How long a probe keeps others away at most: a lost one must not close a credential for good.
pub const PROBE_LOCK: Duration = Duration::from_secs(30);
/// The longest rest from one hint.
pub const LONGEST_HINT: Duration = Duration::from_secs(3600);
/// The longest rest of all.
pub const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// Ends closer than this are those of one refusal, dated by the clocks of a process and of the store.
const SKEW: Duration = Duration::from_secs(5);

/// How long the `count`-th guessed rest in a row lasts: doubling from a start up to a bound.
pub fn ladder(reason: RestReason, count: u32) -> Duration {
    let (first, bound) = match reason {
        RestReason::RateLimited => (5, 300),
        RestReason::Unauthorized | RestReason::Failing => (60, 3600),
        RestReason::QuotaExhausted | RestReason::AccountBlocked | RestReason::ModelUnavailable => (600, 3600),
    };
    let doublings = count.saturating_sub(1).min(16);
    Duration::from_secs((first << doublings).min(bound))
}

impl RestEnd {
    /// How long the rest is where somebody said so, within what is believed.
    pub fn length(self) -> Option<Duration> {
        match self {
            Self::Stated(length) | Self::For(length) => Some(length.min(LONGEST)),
            Self::Hinted(length) => Some(length.min(LONGEST_HINT)),
            Self::Guessed => None,
        }
    }
}

impl Scope {
    /// The scope for a model of the credential that this one is for, whose rests were all cleared at
    /// `cleared`. What its former secret met says nothing about the model either.
    #[must_use]
    pub fn for_model(&self, cleared: u64) -> Self {
        Self {
            cleared,
            secret_changed: self.secret_changed,
            ..Self::default()
        }
    }

    /// Whether calls may pass.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let Some(rest) = &self.rest else {
            return Standing::Open;
        };
        if rest.until > now {
            return Standing::Closed(rest.until, rest.reason);
        }
        match rest.probe {
            _ if !rest.guessed => Standing::Open,
            Some(probe) if probe.locked_until > now => Standing::Closed(probe.locked_until, rest.reason),
            _ => Standing::HalfOpen(rest.reason),
        }
    }

    /// The reason and end of a rest that has not been lifted; a guessed one stays until a probe succeeds.
    pub fn rest(&self, now: Timestamp) -> Option<(RestReason, Timestamp)> {
        self.rest
            .filter(|rest| rest.guessed || rest.until > now)
            .map(|rest| (rest.reason, rest.until))
    }

    /// Takes the half-open place for the call `lease`.
    pub fn probe(&mut self, lease: u64, now: Timestamp) {
        if let Some(rest) = &mut self.rest {
            rest.probe = Some(Probe {
                lease,
                locked_until: now + PROBE_LOCK,
            });
        }
    }

    /// Merges in the refusal of a call that began at `lease`: the later end wins.
    ///
    /// Nothing happens for a call that began before the scope was cleared. `None` means nothing changed.
    pub fn refuse(&mut self, lease: u64, sequence: u64, now: Timestamp, rest: Rest) -> Option<Undo> {
        self.free_probe(lease);
        if lease < self.cleared || (rest.reason == RestReason::Unauthorized && lease < self.secret_changed) {
            return None;
        }
        let mut ladder = self.ladder;
        let length = if let Some(length) = rest.end.length() {
            length
        } else {
            let before = self.ladder.filter(|step| step.reason == rest.reason);
            // Calls that were under way together are refused together: that is one step, not many.
            if before.is_some_and(|step| lease < step.sequence) {
                return None;
            }
            let count = before.map_or(0, |step| step.count).saturating_add(1);
            ladder = Some(Step {
                reason: rest.reason,
                count,
                sequence,
            });
            self::ladder(rest.reason, count)
        };
        let until = now + length;
        if until <= now || self.rest.is_some_and(|known| known.until >= until) {
            return None;
        }
        let undo = Undo {
            sequence,
            rest: self.rest,
            ladder: self.ladder,
        };
        self.ladder = ladder;
        self.rest = Some(Rested {
            reason: rest.reason,
            until,
            guessed: rest.end == RestEnd::Guessed,
            sequence,
            probe: None,
            told: false,
        });
        Some(undo)
    }

    /// Takes back a refusal, unless something newer has replaced it. Returns whether it did.
    pub fn withdraw(&mut self, undo: &Undo) -> bool {
        let current = self.rest.is_some_and(|rest| rest.sequence == undo.sequence);
        if current {
            self.rest = undo.rest;
            self.ladder = undo.ladder;
        }
        current
    }

    /// The call `lease` succeeded: lifts the guessed rest that it probed and ends the ladder.
    ///
    /// A call that began before the rest is no evidence. What has ended by itself is forgotten. Returns whether the scope opened.
    pub fn succeed(&mut self, lease: u64, sequence: u64, now: Timestamp) -> bool {
        match self.rest {
            Some(rest) if rest.guessed && rest.sequence < lease => {
                self.clear(sequence);
                true
            }
            Some(rest) if rest.guessed || rest.until > now => false,
            _ => {
                self.rest = None;
                if self.ladder.is_some_and(|step| step.sequence < lease) {
                    self.ladder = None;
                }
                false
            }
        }
    }

    /// The call `lease` ended without a verdict. If it was the probe, the next call may be.
    pub fn undecided(&mut self, lease: u64) {
        self.free_probe(lease);
    }

    /// Lifts any rest. Refusals of calls that began before are ignored from now on.
    pub fn clear(&mut self, sequence: u64) {
        self.rest = None;
        self.ladder = None;
        self.cleared = sequence;
    }

    /// The key was replaced: lifts a rest for being unauthorised, and ignores later ones of the old key.
    pub fn secret_changed(&mut self, sequence: u64) {
        self.secret_changed = sequence;
        self.ladder = self.ladder.filter(|step| step.reason != RestReason::Unauthorized);
        self.rest = self.rest.filter(|rest| rest.reason != RestReason::Unauthorized);
    }

    /// The account's quota begins anew: lifts a rest for lack of it.
    pub fn quota_reset(&mut self) {
        self.ladder = self
            .ladder
            .filter(|step| step.reason != RestReason::QuotaExhausted);
        self.rest = self.rest.filter(|rest| rest.reason != RestReason::QuotaExhausted);
    }

    /// What the store that replicas share would be told.
    pub fn tell(&self, now: Timestamp) -> Option<Told> {
        self.rest
            .filter(|rest| rest.guessed || rest.until > now)
            .map(|rest| Told {
                reason: rest.reason,
                until: rest.until,
                guessed: rest.guessed,
            })
    }

    /// Follows what the store that replicas share says; `None` when it knows of no rest. What this process
    /// alone has met stays while it ends later. Returns whether something changed.
    pub fn follow(&mut self, sequence: u64, told: Option<Told>) -> bool {
        let Some(told) = told else {
            return self.rest.take_if(|rest| rest.told).is_some();
        };
        let known = self.rest;
        if known.is_some_and(|rest| {
            if rest.told {
                (rest.reason, rest.until, rest.guessed) == (told.reason, told.until, told.guessed)
            } else {
                rest.until > told.until + SKEW
            }
        }) {
            return false;
        }
        self.rest = Some(Rested {
            reason: told.reason,
            until: told.until,
            guessed: told.guessed,
            sequence,
            probe: known
                .filter(|rest| rest.reason == told.reason)
                .and_then(|rest| rest.probe),
            told: true,
        });
        true
    }

    /// Whether nothing is lost when this scope is forgotten.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.ladder.is_none() && self.rest(now).is_none()
    }

    fn free_probe(&mut self, lease: u64) {
        if let Some(rest) = &mut self.rest
            && rest.probe.is_some_and(|probe| probe.lease == lease)
        {
            rest.probe = None;
        }
    }
}

#[cfg(test)]
mod tests;
