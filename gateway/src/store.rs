//! Where the state lives that calls agree on: chosen once, here.

mod observer;

use std::sync::Arc;

use anyhow::bail;
use pool::{Clock, Memory};

pub use observer::Observer;

use crate::arguments::Serve;

/// What keeps the state.
pub type Store = Memory;

/// The pool over it.
pub type Pool = pool::Pool<Store>;

/// One use of one credential.
pub(crate) type Lease = pool::Lease<Store>;

/// One call of one client.
pub(crate) type Admission = pool::Admission<Store>;

/// Opens the store that the arguments name.
pub(crate) fn open(arguments: &Serve, clock: Arc<dyn Clock>) -> anyhow::Result<Pool> {
    if arguments.redis_url.is_some() {
        bail!("this build keeps its state in memory only; leave --redis-url out");
    }
    Ok(Pool::in_memory(clock))
}
