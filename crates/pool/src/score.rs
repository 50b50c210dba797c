//! Strategies as data: how a member's score changes. The store takes the lowest score, ties by name.

use snapshot::Strategy;

/// What orders the members of a lane. Integers, so that every store compares alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Calls in flight, when the strategy looks at them; else zero.
    pub busy: u32,
    /// Virtual time: how much of its share the member has had.
    pub time: u64,
}

/// What a pick and its end do to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether the credential's calls in flight lead the score: up at a pick, down at its end.
    pub busy: bool,
    /// Added to the virtual time at a pick.
    pub time: u64,
}

/// Virtual time of a pick at weight 1. Divisible by all weights up to 16, so that common shares are exact.
pub const STRIDE: u64 = 720_720;

/// The change that `strategy` makes to a member of this weight.
pub fn change(strategy: Strategy, weight: u32) -> Change {
    match strategy {
        Strategy::RoundRobin => Change {
            busy: false,
            time: STRIDE,
        },
        Strategy::LeastBusy | Strategy::MostHeadroom => Change {
            busy: strategy == Strategy::LeastBusy,
            time: STRIDE,
        },
        Strategy::Weighted => Change {
            busy: false,
            time: (STRIDE / u64::from(weight.max(1))).max(1),
        },
        Strategy::FillFirst => Change { busy: false, time: 0 },
    }
}

/// The virtual time of a new or returning member: it neither catches up on what it missed nor pays twice.
pub fn returning(own: u64, lane_minimum: u64) -> u64 {
    own.max(lane_minimum)
}
