//! What the scripts answer to admissions and picks.

use std::{sync::Arc, time::Duration};

use snapshot::{RestReason, Timestamp};

use crate::{
    Denied, Lane, Limit, NoneUsable, Shortage,
    redis::{encode::reason, reply::Reply},
    store::memory::{Probes, Taken},
};

/// What came of a pick.
pub(super) enum PickAnswer {
    /// A credential.
    Picked(Found),
    /// None is usable.
    None(Shortage),
    /// The store does not have these lanes.
    Fill(Vec<usize>),
    /// There was too much to look at in one go.
    Again,
    /// The call was given up.
    Gone,
    /// The store does not know this process, or lost its state.
    Unknown,
}

/// A credential that was picked.
pub(super) struct Found {
    /// Its name in its namespace.
    pub(super) account: String,
    /// The sequence number of the pick.
    pub(super) sequence: u64,
    /// What it finds out.
    pub(super) taken: Taken,
    /// The position of its lane.
    pub(super) lane: usize,
}

/// A member that was picked.
pub(super) struct Chosen {
    /// The position of its lane, and its own in that.
    pub(super) place: (usize, usize),
    /// The sequence number of the pick.
    pub(super) sequence: u64,
    /// What it finds out.
    pub(super) taken: Taken,
}

impl Found {
    /// The member of these lanes that it is; `None` for one that this process does not know.
    pub(super) fn among(&self, lanes: &[Arc<Lane>]) -> Option<Chosen> {
        let position = lanes.get(self.lane)?.position_of(&self.account)?;
        Some(Chosen {
            place: (self.lane, position),
            sequence: self.sequence,
            taken: self.taken,
        })
    }
}

impl Chosen {
    /// Whether the call finds something out.
    pub(super) fn is_probe(&self) -> bool {
        self.taken.probes != Probes::default() || self.taken.probes_endpoint
    }
}

/// Reads the answer to a pick. Times in it are the store's; those returned go by the clock that says `now`.
pub(super) fn picked(reply: &Reply, now: Timestamp) -> PickAnswer {
    match reply.text(0) {
        "ok" => {
            let flags = reply.number(3);
            PickAnswer::Picked(Found {
                account: reply.text(1).to_owned(),
                sequence: reply.number(2),
                taken: Taken {
                    probes: Probes {
                        whole: flags & 1 != 0,
                        model: flags & 2 != 0,
                    },
                    probes_endpoint: flags & 4 != 0,
                },
                lane: position(reply.number(4)),
            })
        }
        "no" => PickAnswer::None(shortage(reply, now)),
        "fill" => PickAnswer::Fill(reply.numbers(1).map(position).collect()),
        // A seat that was not seen yet has been given by now.
        "again" | "denied" => PickAnswer::Again,
        "gone" => PickAnswer::Gone,
        _ => PickAnswer::Unknown,
    }
}

/// Reads why a caller was not let in.
pub(super) fn denied(reply: &Reply) -> Denied {
    Denied {
        limit: match reply.number(1) {
            1 => Limit::Concurrency,
            2 => Limit::RequestsPerMinute,
            3 => Limit::TokensPerMinute,
            _ => Limit::Budget,
        },
        retry_after: Duration::from_micros(reply.number(2)),
    }
}

fn shortage(reply: &Reply, now: Timestamp) -> Shortage {
    let theirs = Timestamp::from_micros(reply.number(5));
    let until = now + Timestamp::from_micros(reply.number(2)).since(theirs);
    let reason = match reply.number(1) {
        1 => NoneUsable::Resting {
            soonest: until,
            reason: reason(reply.number(4)).unwrap_or(RestReason::Failing),
        },
        2 => NoneUsable::Full { soonest: until },
        3 => NoneUsable::BreakerOpen { until },
        4 => NoneUsable::UnknownObject,
        _ => NoneUsable::Empty,
    };
    Shortage {
        reason,
        releasable: reply.number(3) == 1,
    }
}

fn position(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
