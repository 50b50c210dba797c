//! The store that replicas share: one script for an admission and a pick, everything else said in batches.

mod alone;
mod answer;
mod calls;
mod exchange;
mod looks;
mod objects;
mod pending;
mod roll;
mod tags;
mod together;
mod usual;

use std::{sync::Arc, time::Duration};

use snapshot::{ClientName, CredentialName, ProviderName, QuotaWindow, SecretVersion, Timestamp};

use self::{objects::Objects, roll::Roll, tags::Tags};
use super::{
    encode::micros,
    hold::{Hold, Seat},
    link::Link,
    record::{Attempt, Record},
    tag::{Context, Pace, Subject},
};
use crate::{
    Admit, Blame, BreakerState, ClientState, CredentialState, Denied, Holder, Member, Memory, ObjectId, Pick,
    Picked, Reserves, Rest, Settled, Shortage, Store, StoreAway,
};

/// State in Redis or Valkey, and what this process knows by itself for when that is away.
///
/// An awaited call is one write: the admission, the pick, and what there was to say. While the store is away
/// this process goes on with what it knows and its share of each limit; afterwards it tells the store.
#[derive(Debug)]
pub struct Redis {
    context: Arc<Context>,
    tags: Arc<Tags>,
    objects: Objects,
    _roll: Option<Arc<Roll>>,
}

/// Settings of [`Redis`].
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// What all keys begin with.
    pub prefix: String,
    /// A name for this life of this process that no other ever has.
    pub owner: String,
    /// Whether the time of callers counts instead of the server's, for tests.
    pub callers_clock: bool,
}

impl Redis {
    /// A store behind `link`. Called inside a runtime.
    pub fn new(link: Link, settings: RedisSettings) -> Self {
        Self::paced(link, settings, Pace::default())
    }

    /// A store for a process that looks and intervenes but makes no calls: it gets no share of any limit.
    pub fn beside(link: Link, settings: RedisSettings) -> Self {
        Self::with(
            Context::new(link, settings, Pace::default(), Arc::default()),
            false,
        )
    }

    /// The same as `new`, at a pace of its own.
    pub(super) fn paced(link: Link, settings: RedisSettings, pace: Pace) -> Self {
        Self::with(Context::new(link, settings, pace, Arc::default()), true)
    }

    fn with(context: Context, shares: bool) -> Self {
        let context = Arc::new(context);
        Self {
            tags: Arc::new(Tags::new(Arc::clone(&context))),
            objects: Objects::new(&context),
            _roll: shares.then(|| Arc::new(Roll::call(Arc::clone(&context)))),
            context,
        }
    }

    /// The state of these credentials of a Provider in the store, in their order. Unlike [`Store::look_up`] it never
    /// tells what this process knows by itself.
    pub async fn states(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        members: &[Member],
    ) -> Result<Vec<CredentialState>, StoreAway> {
        self.context.at(now);
        self.look_up_shared(now, provider, members)
            .await
            .map_err(|_| StoreAway)
    }

    /// The scripts that a link should load, those of the ledger included.
    pub fn scripts() -> Vec<&'static super::link::Script> {
        let mut all = super::scripts::all();
        all.extend(super::ledger::scripts());
        all
    }

    /// The tags in use.
    #[cfg(test)]
    pub(super) fn tags(&self) -> Vec<Arc<super::tag::Tag>> {
        self.tags.all()
    }

    /// Takes the number of a lease; the next question takes those behind it.
    #[cfg(test)]
    pub(super) fn next_lease(&self) -> u64 {
        self.context.next_lease()
    }

    fn local(&self) -> &Memory {
        &self.context.local
    }

    /// Says something about a credential.
    fn say(&self, now: Timestamp, provider: &ProviderName, record: Record) {
        self.context.at(now);
        self.tags.get(Subject::Provider(provider.clone())).say(record);
    }
}

impl Store for Redis {
    type Hold = Hold;
    type Seat = Seat;

    fn looks_every(&self) -> Option<Duration> {
        Some(Duration::from_millis(25))
    }

    async fn enter(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<(Seat, Result<Picked<Hold>, Shortage>), Denied> {
        self.context.at(now);
        self.enter_shared(now, admit, pick, reserves, patience).await
    }

    async fn admit(&self, now: Timestamp, admit: &Admit<'_>, reserves: Reserves) -> Result<Seat, Denied> {
        self.context.at(now);
        self.admit_shared(now, admit, reserves).await
    }

    async fn pick(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<Picked<Hold>, Shortage> {
        self.context.at(now);
        self.pick_shared(now, pick, reserves, patience).await
    }

    fn commit(&self, now: Timestamp, hold: &mut Hold) {
        self.context.at(now);
        self.local().commit(now, &mut hold.local);
        hold.tag
            .say(Record::commit(hold.lease, &hold.account, &hold.model));
    }

    fn settle(&self, now: Timestamp, hold: Hold, settled: &Settled) -> Blame {
        self.context.at(now);
        let attempt = Attempt {
            lease: hold.lease,
            account: &hold.account,
            model: &hold.model,
            sequence: hold.sequence,
            open_for: hold.open_for,
            failures: hold.failures,
            definition: &hold.definition,
            is_led: hold.is_led,
        };
        let record = Record::settle(&attempt, settled);
        let blame = self.local().settle(now, hold.local, settled);
        hold.tag.say(record);
        blame
    }

    fn leave(&self, now: Timestamp, seat: Seat, tokens: Option<u64>) {
        self.context.at(now);
        self.local().leave(now, seat.local, tokens);
        if let Some(shared) = seat.shared {
            shared
                .tag
                .say(Record::leave(shared.lease, tokens, &shared.definition));
        }
    }

    fn report(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        credential: &CredentialName,
        model: Option<&str>,
        rest: Rest,
    ) {
        self.context.at(now);
        self.local().report(now, provider, credential, model, rest);
        let tag = self.tags.get(Subject::Provider(provider.clone()));
        let definition = tag.definition(credential.name());
        tag.say(Record::report(credential.name(), model, rest, &definition));
    }

    fn clear_rest(&self, now: Timestamp, provider: &ProviderName, credential: &CredentialName) {
        self.local().clear_rest(now, provider, credential);
        self.say(now, provider, Record::clear(credential.name()));
    }

    fn reset_quota(&self, now: Timestamp, provider: &ProviderName, credential: &CredentialName) {
        self.local().reset_quota(now, provider, credential);
        self.say(now, provider, Record::reset_quota(credential.name()));
    }

    fn reset_budgets(&self, now: Timestamp, client: &ClientName) {
        self.context.at(now);
        self.local().reset_budgets(now, client);
        self.tags
            .get(Subject::Client(client.clone()))
            .say(Record::reset_budgets());
    }

    fn secret_changed(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        credential: &CredentialName,
        version: &SecretVersion,
    ) {
        self.local().secret_changed(now, provider, credential, version);
        self.say(now, provider, Record::secret(credential.name(), version));
    }

    fn remember(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        object: ObjectId,
        credential: &CredentialName,
    ) {
        self.local().remember(now, provider, object, credential);
        let tag = self.tags.get(Subject::Provider(provider.clone()));
        self.objects.remember(now, tag.key(), object, credential);
    }

    fn holder(&self, now: Timestamp, object: ObjectId) -> Holder {
        match self.local().holder(now, object) {
            Holder::Unknown => Holder::Elsewhere,
            known => known,
        }
    }

    async fn recall(&self, now: Timestamp, object: ObjectId) -> Result<Option<CredentialName>, StoreAway> {
        if let Some(known) = self.local().recall(now, object).await? {
            return Ok(Some(known));
        }
        self.objects.recall(now, object).await
    }

    async fn look_up(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        members: &[Member],
    ) -> Vec<CredentialState> {
        self.context.at(now);
        match self.look_up_shared(now, provider, members).await {
            Ok(states) => states,
            Err(_) => self.local().look_up(now, provider, members).await,
        }
    }

    async fn look_up_clients(
        &self,
        now: Timestamp,
        clients: &[(&ClientName, &[QuotaWindow])],
    ) -> Vec<ClientState> {
        self.context.at(now);
        match self.look_up_clients_shared(now, clients).await {
            Ok(states) => states,
            Err(_) => self.local().look_up_clients(now, clients).await,
        }
    }

    async fn heard(&self) {
        for tag in self.tags.all() {
            tag.heard().await;
        }
        self.objects.heard().await;
    }

    fn credentials(&self, now: Timestamp) -> Vec<CredentialState> {
        self.local().credentials(now)
    }

    fn clients(&self, now: Timestamp) -> Vec<ClientState> {
        self.local().clients(now)
    }

    fn breakers(&self, now: Timestamp) -> Vec<BreakerState> {
        self.local().breakers(now)
    }
}

/// The breaker of a Provider as the scripts take it: for how long it opens and after how many failures.
fn breaker(pick: &Pick<'_>) -> (u64, u64) {
    let breaker = pick.provider.breaker;
    (micros(breaker.open_for), u64::from(breaker.consecutive_failures))
}
