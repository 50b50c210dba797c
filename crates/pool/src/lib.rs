//! What replicas agree on per request: which credential serves a call, what rests, what is used up.
//!
//! The policy is plain functions over plain data with time as an argument: [`score`] orders the members
//! of a [`Lane`], [`rest`] merges refusals and decides probes, [`window`] counts per minute, [`quota`] within longer periods, [`breaker`]
//! guards an endpoint. A [`Store`] keeps the data and does each step in one move; [`Memory`] is the one
//! for a single process, [`Redis`] the one that replicas share. [`Pool`] is what the gateway calls: it adds guards ([`Lease`], [`Admission`]) and
//! the waiting for credentials that are merely full.
//!
//! What this crate keeps is names, hashes and numbers. It never learns of a credential's secret, of prompts or of wire
//! formats; the one connection that it makes is to the shared store.

pub mod average;
pub mod breaker;
mod call;
mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod estimate;
mod guard;
mod lane;
mod pool;
pub mod quota;
pub mod redis;
mod remembered;
pub mod rest;
pub mod score;
mod store;
#[cfg(any(test, feature = "conformance"))]
pub mod testing;
pub mod usage;
mod waiting;
pub mod window;

pub use call::{
    Admit, Blame, BreakerState, ClientState, CredentialState, Denied, Headroom, Holder, Limit, NoneUsable,
    ObjectId, Outcome, Pick, Reserves, Resting, Settled, StoreAway, TokenCounts, WindowState,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use guard::{Admission, Lease};
pub use lane::{Lane, LaneId, Member};
pub use pool::Pool;
pub use redis::{Redis, RedisSettings};
pub use rest::{Rest, RestEnd};
pub use snapshot::{RestReason, RestScope};
pub use store::{AnyStore, Either, Memory, Picked, Shortage, Store};
