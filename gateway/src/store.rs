//! Where the state lives that calls agree on: chosen once, here.

mod observer;
mod sharing;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use pool::{
    AnyStore, Clock, Redis, RedisSettings,
    redis::{
        ledger::{Incarnation, SharedLedger},
        link::{Link, LinkSettings, LinkState},
    },
    usage::Ledger,
};
use prometheus::Registry;
use rand::RngExt;
use telemetry::Health;
use tokio::time::timeout;

pub use observer::Observer;
pub use sharing::Sharing;

use crate::{arguments::Serve, metrics::StoreMeters};

/// What keeps the state.
pub type Store = AnyStore;

/// The pool over it.
pub type Pool = pool::Pool<Store>;

/// One use of one credential.
pub(crate) type Lease = pool::Lease<Store>;

/// One call of one client.
pub(crate) type Admission = pool::Admission<Store>;

/// The state that calls agree on, and what was used.
pub struct Stores {
    /// Picks, rests, limits.
    pub pool: Pool,
    /// What this process has used.
    pub ledger: Arc<Ledger>,
    /// What all replicas have used, where they share it.
    pub shared: Option<Arc<SharedLedger<Link>>>,
}

/// How long the start waits for a store to be reached, so that the first calls find it.
const FIRST_REACH: Duration = Duration::from_secs(1);

/// Opens the store that the arguments name. One that is shared may be away: it is reached when it comes.
pub(crate) async fn open(
    arguments: &Serve,
    clock: &Arc<dyn Clock>,
    health: &Health,
    registry: &Registry,
) -> anyhow::Result<(Stores, Option<Sharing>)> {
    let ledger = Arc::new(Ledger::default());
    let Some(address) = arguments.redis.address().context("--redis-url")? else {
        let pool = Pool::new(AnyStore::Memory(Box::default()), clock.clone());
        let stores = Stores {
            pool,
            ledger,
            shared: None,
        };
        return Ok((stores, None));
    };
    let incarnation = rand::rng().random::<u128>();
    let mut settings = LinkSettings::new(address);
    settings.password_file.clone_from(&arguments.redis.password_file);
    settings.prefix.clone_from(&arguments.redis.prefix);
    settings.deadline = arguments.redis_deadline;
    settings.background_deadline = settings.background_deadline.max(arguments.redis_deadline);
    settings.seed = u64::try_from(incarnation >> 64).unwrap_or_default();
    settings.scripts = Redis::scripts();
    let observer = Observer::new(StoreMeters::new(registry)?, health.clone(), clock.clone());
    let link = Link::open(settings, Arc::new(observer)).context("--redis-url")?;
    let mut state = link.changes();
    let reached = state.wait_for(|state| matches!(state, LinkState::Up { .. }));
    if timeout(FIRST_REACH, reached).await.is_err() {
        tracing::warn!("the store is not in reach yet; limits are shares until it is");
    }
    let shared = Arc::new(SharedLedger::new(link.clone(), &arguments.redis.prefix));
    let sharing = Sharing::new(&shared, &ledger, Incarnation::new(incarnation), clock.clone());
    let redis = RedisSettings {
        prefix: arguments.redis.prefix.clone(),
        owner: format!("{incarnation:032x}"),
        callers_clock: false,
    };
    let pool = Pool::new(AnyStore::Redis(Box::new(Redis::new(link, redis))), clock.clone());
    let stores = Stores {
        pool,
        ledger,
        shared: Some(shared),
    };
    Ok((stores, Some(sharing)))
}
