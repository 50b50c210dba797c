//! What must be given back to the store.

use std::sync::Arc;

use super::tag::Tag;
use crate::store::memory;

/// A lease: its place in this process's own knowledge, and in the store.
#[derive(Debug)]
pub struct Hold {
    pub(super) local: memory::Hold,
    pub(super) tag: Arc<Tag>,
    pub(super) lease: u64,
    pub(super) account: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) sequence: u64,
    pub(super) definition: Arc<str>,
    pub(super) is_led: bool,
    pub(super) open_for: u64,
    pub(super) failures: u64,
}

/// An admission, likewise. Callers without limits have no place in the store.
#[derive(Debug)]
pub struct Seat {
    pub(super) local: memory::Seat,
    pub(super) shared: Option<SharedSeat>,
}

/// An admission's place in the store.
#[derive(Debug)]
pub(super) struct SharedSeat {
    pub(super) tag: Arc<Tag>,
    pub(super) lease: u64,
    pub(super) definition: Arc<str>,
}
