//! Why there is nothing to pick.

use std::sync::Arc;

use snapshot::Timestamp;

use super::{
    account::{Obstacle, SOON},
    order::Parking,
    state::State,
};
use crate::{Lane, NoneUsable, Shortage};

impl State {
    /// Why a lane without a usable member has none.
    pub(super) fn shortage(
        &mut self,
        now: Timestamp,
        lane: &Arc<Lane>,
        order: u32,
        tried: &[u32],
    ) -> Shortage {
        // Tried members were passed over unseen. Their rests count: what the caller can come back to matters.
        for member in tried {
            let _ = self.usable_in(now, lane, order, *member);
        }
        // A parked member may be worse off than when it was parked: only a time that was looked up is true.
        let (windowed, resting) = loop {
            let windowed = self.orders[order]
                .windowed()
                .find(|(_, member)| !tried.contains(member));
            if let Some((until, member)) = windowed
                && self.usable(now, lane, member).err() != Some(Obstacle::Windowed { until })
            {
                continue;
            }
            let Some((until, member)) = self.orders[order].first_resting() else {
                break (windowed, None);
            };
            match self.usable(now, lane, member) {
                Err(Obstacle::Resting { until: known, reason }) if known == until => {
                    break (windowed, Some((until, reason)));
                }
                _ => {}
            }
        };
        let parked = &self.orders[order];
        let tried_full = tried
            .iter()
            .filter(|member| parked.parking(**member) == Some(Parking::Full))
            .count();
        let releasable = parked.full() > tried_full;
        let room = [windowed.map(|(until, _)| until), releasable.then_some(now + SOON)];
        if let Some(room) = room.into_iter().flatten().min() {
            return Shortage {
                reason: NoneUsable::Full {
                    soonest: resting.map_or(room, |(end, _)| end.min(room)),
                },
                releasable,
            };
        }
        let left = tried.len() == parked.len() && parked.head(&[]).is_some();
        match resting {
            Some((soonest, reason)) if !left => Shortage {
                reason: NoneUsable::Resting { soonest, reason },
                releasable: false,
            },
            _ => EMPTY,
        }
    }
}

/// There is no member that a call could use, now or later.
pub(super) const EMPTY: Shortage = Shortage {
    reason: NoneUsable::Empty,
    releasable: false,
};

/// Nobody knows where the object is that a call names.
pub(super) const UNKNOWN_OBJECT: Shortage = Shortage {
    reason: NoneUsable::UnknownObject,
    releasable: false,
};

/// Members have no room; `soonest` is when to look again.
pub(super) fn full(soonest: Timestamp) -> Shortage {
    Shortage {
        reason: NoneUsable::Full { soonest },
        releasable: true,
    }
}

/// The shortage of a call that wants one credential and no other.
pub(super) fn one_shortage(obstacle: Obstacle, now: Timestamp) -> Shortage {
    match obstacle {
        Obstacle::Resting { until, reason } => Shortage {
            reason: NoneUsable::Resting {
                soonest: until,
                reason,
            },
            releasable: false,
        },
        Obstacle::Windowed { until } => Shortage {
            reason: NoneUsable::Full { soonest: until },
            releasable: false,
        },
        Obstacle::Full => full(now + SOON),
    }
}

/// What two tiers together are short of: being full is milder than resting, and the soonest end counts.
pub(super) fn worse(a: Shortage, b: Shortage) -> Shortage {
    use NoneUsable::{BreakerOpen, Empty, Full, Resting, UnknownObject};
    let releasable = a.releasable || b.releasable;
    let reason = match (a.reason, b.reason) {
        (Full { soonest: a }, Full { soonest: b } | Resting { soonest: b, .. })
        | (Resting { soonest: a, .. }, Full { soonest: b }) => Full { soonest: a.min(b) },
        (full @ Full { .. }, _) | (_, full @ Full { .. }) => full,
        (first @ Resting { soonest: a, .. }, second @ Resting { soonest: b, .. }) => {
            if a <= b {
                first
            } else {
                second
            }
        }
        (resting @ Resting { .. }, _) | (_, resting @ Resting { .. }) => resting,
        (open @ BreakerOpen { .. }, _) | (_, open @ BreakerOpen { .. }) => open,
        (UnknownObject, _) | (_, UnknownObject) => UnknownObject,
        (Empty, Empty) => Empty,
    };
    Shortage { reason, releasable }
}
