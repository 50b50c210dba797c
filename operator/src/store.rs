//! The Redis that gateways share, as the operator sees it: it looks, and now and then intervenes, but makes no calls.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use pool::{
    Clock, CredentialState, Member, Redis, RedisSettings, Store as _, StoreAway,
    redis::{
        ledger::{LedgerError, SharedLedger},
        link::{Address, Link, LinkError, LinkSettings, Observe, Why},
    },
    usage::{Day, Dimension, Report},
};
use snapshot::{ClientName, CredentialName, ProviderName};
use tokio::time::timeout;

/// Where the store is: what gateways are started with.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Where it is.
    pub address: Address,
    /// A file that holds the password, read again at each connection.
    pub password_file: Option<PathBuf>,
    /// How the names of all keys begin.
    pub prefix: String,
}

/// The store that gateways share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: Link,
    redis: Redis,
    usage: Arc<SharedLedger<Link>>,
    clock: Arc<dyn Clock>,
}

/// How long a command may take. Nobody waits for one with a request in hand.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long to wait until the store has heard of an intervention.
const HEARD: Duration = Duration::from_secs(5);

/// The link writes the log; there is nobody else to tell.
struct Unobserved;

impl Observe for Unobserved {
    fn command(&self, _: &'static str, _: Duration, _: bool) {}
    fn up(&self) {}
    fn down(&self, _: Why) {}
}

impl Store {
    /// Opens the way to the store, which may be away: it is reached when it comes. Called inside a runtime.
    pub fn open(settings: StoreSettings, clock: Arc<dyn Clock>) -> Result<Self, LinkError> {
        let life = rand::random::<u128>();
        let mut link = LinkSettings::new(settings.address);
        link.password_file = settings.password_file;
        link.prefix.clone_from(&settings.prefix);
        link.deadline = DEADLINE;
        link.background_deadline = DEADLINE;
        link.seed = u64::try_from(life >> 64).unwrap_or_default();
        link.scripts = Redis::scripts();
        link.meanwhile = "status tells what it told last, and what annotations ask for waits";
        let link = Link::open(link, Arc::new(Unobserved))?;
        let redis = RedisSettings {
            prefix: settings.prefix.clone(),
            owner: format!("{life:032x}"),
            callers_clock: false,
        };
        Ok(Self(Arc::new(Inner {
            usage: Arc::new(SharedLedger::new(link.clone(), &settings.prefix)),
            redis: Redis::beside(link.clone(), redis),
            link,
            clock,
        })))
    }

    /// Whether it is in reach.
    pub fn is_up(&self) -> bool {
        self.0.link.is_up()
    }

    /// What all gateways used.
    pub fn ledger(&self) -> Arc<SharedLedger<Link>> {
        Arc::clone(&self.0.usage)
    }

    /// The state of these credentials of a Provider, in their order.
    pub async fn states(
        &self,
        provider: &ProviderName,
        members: &[Member],
    ) -> Result<Vec<CredentialState>, StoreAway> {
        self.0.redis.states(self.0.clock.now(), provider, members).await
    }

    /// What all gateways used and have under way in these days.
    pub async fn usage(
        &self,
        days: &RangeInclusive<Day>,
        dimension: Option<Dimension>,
    ) -> Result<Report, LedgerError> {
        self.0.usage.usage(days, dimension).await
    }

    /// Ends all rests of a credential. Fails when the store did not hear of it; then it may still do so later.
    pub async fn clear_rest(
        &self,
        provider: &ProviderName,
        credential: &CredentialName,
    ) -> Result<(), StoreAway> {
        self.intervene(|redis, now| redis.clear_rest(now, provider, credential))
            .await
    }

    /// Begins the quota windows of a credential anew, and ends its rests for lack of quota. Fails as
    /// [`Self::clear_rest`] does.
    pub async fn reset_quota(
        &self,
        provider: &ProviderName,
        credential: &CredentialName,
    ) -> Result<(), StoreAway> {
        self.intervene(|redis, now| redis.reset_quota(now, provider, credential))
            .await
    }

    /// Begins the budgets of a caller anew. Fails as [`Self::clear_rest`] does.
    pub async fn reset_budgets(&self, client: &ClientName) -> Result<(), StoreAway> {
        self.intervene(|redis, now| redis.reset_budgets(now, client))
            .await
    }

    async fn intervene(&self, act: impl FnOnce(&Redis, snapshot::Timestamp)) -> Result<(), StoreAway> {
        if !self.is_up() {
            return Err(StoreAway);
        }
        let redis = &self.0.redis;
        act(redis, self.0.clock.now());
        timeout(HEARD, redis.heard()).await.map_err(|_| StoreAway)
    }
}
