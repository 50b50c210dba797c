//! What was asked for or given and belongs to nobody yet: it is given back when its caller leaves.

use std::sync::Arc;

use snapshot::Timestamp;

use super::Redis;
use crate::{
    Store,
    redis::{hold::Seat, tag::Tag},
};

/// A pick that was asked for and is not known yet. Dropped so, it is given up.
pub(super) struct Asked<'a> {
    pub(super) tag: &'a Arc<Tag>,
    pub(super) lease: u64,
    pub(super) model: &'a str,
    pub(super) known: bool,
}

/// An admission whose caller waits for its pick. Dropped so, it is given back.
pub(super) struct Admitted<'a> {
    pub(super) store: &'a Redis,
    pub(super) now: Timestamp,
    pub(super) seat: Option<Seat>,
}

impl Admitted<'_> {
    /// The seat, for whoever gives it back from now on.
    #[expect(clippy::expect_used, reason = "it is there until this or the drop")]
    pub(super) fn keep(mut self) -> Seat {
        self.seat.take().expect("a seat is kept once")
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.store.leave(self.now, seat, None);
        }
    }
}

impl<'a> Asked<'a> {
    pub(super) fn new(tag: &'a Arc<Tag>, lease: u64, model: &'a str) -> Self {
        Self {
            tag,
            lease,
            model,
            known: false,
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.known {
            self.tag.give_up(self.lease, self.model);
        }
    }
}
