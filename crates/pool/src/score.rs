//! Strategies as data: how a member's score changes. The store takes the lowest score, ties by name.

use snapshot::{Strategy, Timestamp};

/// What orders the members of a lane. Integers, so that every store compares alike; a lead is at most a
/// million and a virtual time stays below 2^33 where leads count, so that both fit into one double.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// What the strategy looks at first, see [`LedBy`].
    pub lead: u32,
    /// Virtual time: how much of its share the member has had.
    pub time: u64,
}

/// What leads the scores of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LedBy {
    /// Nothing: virtual time alone decides.
    #[default]
    Nothing,
    /// The credential's calls in flight.
    CallsInFlight,
    /// How much of its quota is used, in parts per million.
    UsedQuota,
}

/// A credential's lead, and when it has to be looked up again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lead {
    /// The lead of its scores.
    pub value: u32,
    /// When it may fall by itself; `None` when only a call changes it.
    pub fades: Option<Timestamp>,
}

/// What a pick and its end do to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What leads it.
    pub led_by: LedBy,
    /// Added to the virtual time at a pick.
    pub time: u64,
}

/// Virtual time of a pick at weight 1 where weights count. Divisible by all weights up to 16, so that
/// common shares are exact.
pub const STRIDE: u64 = 720_720;

/// The change that `strategy` makes to a member of this weight.
pub fn change(strategy: Strategy, weight: u32) -> Change {
    let (led_by, time) = match strategy {
        Strategy::RoundRobin => (LedBy::Nothing, 1),
        Strategy::LeastBusy => (LedBy::CallsInFlight, 1),
        Strategy::MostHeadroom => (LedBy::UsedQuota, 1),
        Strategy::Weighted => (LedBy::Nothing, (STRIDE / u64::from(weight.max(1))).max(1)),
        Strategy::FillFirst => (LedBy::Nothing, 0),
    };
    Change { led_by, time }
}

/// The virtual time of a new or returning member: it neither catches up on what it missed nor pays twice.
pub fn returning(own: u64, lane_minimum: u64) -> u64 {
    own.max(lane_minimum)
}

impl Lead {
    /// Takes in another part that is used until `end`: the highest leads.
    #[must_use]
    pub fn with(self, used: u32, end: Timestamp) -> Self {
        if used == 0 {
            return self;
        }
        Self {
            value: self.value.max(used),
            fades: Some(self.fades.map_or(end, |known| known.min(end))),
        }
    }
}
