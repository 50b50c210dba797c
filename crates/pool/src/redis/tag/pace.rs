//! How often a process does what time demands.

use std::time::Duration;

/// The intervals of a process. Tests shorten them.
#[derive(Clone, Copy, Debug)]
pub(in crate::redis) struct Pace {
    /// How often what the store believes is compared with what is.
    pub(in crate::redis) reconciling: Duration,
    /// How often a process says that it lives.
    pub(in crate::redis) beat: Duration,
    /// For how long after its last use a tag says that its process lives.
    pub(in crate::redis) active: Duration,
    /// When a process that was silent for so long says that it lives before it takes anything: after ten seconds
    /// it is dead to the others.
    pub(in crate::redis) stale: Duration,
    /// A tag that nobody uses for so long goes.
    pub(in crate::redis) idle: Duration,
    /// How often idle tags are let go.
    pub(in crate::redis) sweep: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            reconciling: Duration::from_secs(30),
            beat: Duration::from_secs(2),
            active: Duration::from_secs(60),
            stale: Duration::from_secs(6),
            idle: Duration::from_secs(900),
            sweep: Duration::from_secs(60),
        }
    }
}
