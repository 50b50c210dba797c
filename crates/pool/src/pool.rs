//! The pool as the gateway calls it.

use std::{fmt, sync::Arc, time::Duration};

use snapshot::{ClientName, CredentialName, ProviderName, QuotaWindow, SecretVersion};
use tokio::time::Instant;

use crate::{
    Admission, Admit, BreakerState, ClientState, Clock, CredentialState, Denied, Holder, Lease, Member,
    Memory, NoneUsable, ObjectId, Pick, Reserves, Rest, Shortage, Store, StoreAway,
    estimate::{Estimate, Estimates},
    waiting::Waiting,
};

/// The state that all calls share. Cheap to clone.
pub struct Pool<S: Store = Memory> {
    pub(crate) shared: Arc<Shared<S>>,
}

#[derive(Debug)]
pub(crate) struct Shared<S> {
    pub(crate) store: S,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) waiting: Waiting,
    pub(crate) estimates: Estimates,
}

/// However many wait, each looks at least every so many turns.
const CROWD: u32 = 10;
/// The shortest sleep between two looks: timers have millisecond precision.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

impl Pool {
    /// A pool for one process.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        Self::new(Memory::default(), clock)
    }
}

impl<S: Store> Pool<S> {
    /// A pool over any store.
    pub fn new(store: S, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                clock,
                waiting: Waiting::default(),
                estimates: Estimates::default(),
            }),
        }
    }

    /// Admits the caller and makes the first pick, in one trip to the store. The pick is not made when
    /// the caller is denied. Waits like [`Pool::pick`], and like it takes nothing when dropped.
    pub async fn enter(
        &self,
        admit: Admit<'_>,
        pick: Pick<'_>,
    ) -> Result<(Admission<S>, Result<Lease<S>, NoneUsable>), Denied> {
        let patience = pick.provider.selection.max_wait;
        let now = self.shared.clock.now();
        let (call, attempt) = self.shared.estimates.both(&admit, &pick, now);
        let reserves = reserves(call, attempt);
        let (seat, first) = self
            .shared
            .store
            .enter(now, &admit, &pick, reserves, patience)
            .await?;
        let admission = Admission::new(self, seat, call);
        let lease = match first {
            Ok(picked) => Ok(Lease::new(self, pick.provider.name.clone(), picked, attempt)),
            Err(shortage) => Box::pin(self.wait(pick, shortage)).await,
        };
        Ok((admission, lease))
    }

    /// Admits the caller.
    pub async fn admit(&self, admit: Admit<'_>) -> Result<Admission<S>, Denied> {
        let now = self.shared.clock.now();
        let call = self.shared.estimates.call(&admit, now);
        let reserves = Reserves {
            call: call.tokens,
            attempt: 0,
        };
        let seat = self.shared.store.admit(now, &admit, reserves).await?;
        Ok(Admission::new(self, seat, call))
    }

    /// Picks a credential. When all that do not rest are merely full, waits for one up to the Provider's
    /// `selection.maxWait`. Cancel safe: a dropped future takes nothing.
    pub async fn pick(&self, pick: Pick<'_>) -> Result<Lease<S>, NoneUsable> {
        let patience = pick.provider.selection.max_wait;
        match self.look(&pick, patience).await {
            Ok(lease) => Ok(lease),
            Err(shortage) => Box::pin(self.wait(pick, shortage)).await,
        }
    }

    /// Rests a credential outside a lease.
    pub fn report(
        &self,
        provider: &ProviderName,
        credential: &CredentialName,
        model: Option<&str>,
        rest: Rest,
    ) {
        let now = self.shared.clock.now();
        self.shared.store.report(now, provider, credential, model, rest);
    }

    /// Ends all rests of a credential. Refusals of calls that began before are ignored.
    pub fn clear_rest(&self, provider: &ProviderName, credential: &CredentialName) {
        let now = self.shared.clock.now();
        self.shared.store.clear_rest(now, provider, credential);
        self.shared.waiting.wake_all(provider);
    }

    /// Begins the quota windows of a credential anew, and ends its rests for lack of quota.
    pub fn reset_quota(&self, provider: &ProviderName, credential: &CredentialName) {
        let now = self.shared.clock.now();
        self.shared.store.reset_quota(now, provider, credential);
        self.shared.waiting.wake_all(provider);
    }

    /// Begins the budgets of a caller anew.
    pub fn reset_budgets(&self, client: &ClientName) {
        self.shared.store.reset_budgets(self.shared.clock.now(), client);
    }

    /// Ends the rests of a credential that came from its former secret.
    pub fn secret_changed(
        &self,
        provider: &ProviderName,
        credential: &CredentialName,
        version: &SecretVersion,
    ) {
        let now = self.shared.clock.now();
        self.shared
            .store
            .secret_changed(now, provider, credential, version);
        self.shared.waiting.wake_all(provider);
    }

    /// Remembers for 30 days which credential of a Provider holds an object.
    pub fn remember(&self, provider: &ProviderName, object: ObjectId, credential: &CredentialName) {
        let now = self.shared.clock.now();
        self.shared.store.remember(now, provider, object, credential);
    }

    /// What this process knows of who holds an object.
    pub fn holder(&self, object: ObjectId) -> Holder {
        self.shared.store.holder(self.shared.clock.now(), object)
    }

    /// The credential that holds an object, if that is remembered; asks the store where this process does not
    /// know.
    pub async fn recall(&self, object: ObjectId) -> Result<Option<CredentialName>, StoreAway> {
        self.shared.store.recall(self.shared.clock.now(), object).await
    }

    /// The state of these credentials of a Provider as all replicas see it, in their order.
    pub async fn look_up(&self, provider: &ProviderName, members: &[Member]) -> Vec<CredentialState> {
        let now = self.shared.clock.now();
        self.shared.store.look_up(now, provider, members).await
    }

    /// The state of these callers, given with their budgets, as all replicas see it, in their order.
    pub async fn look_up_clients(&self, clients: &[(&ClientName, &[QuotaWindow])]) -> Vec<ClientState> {
        let now = self.shared.clock.now();
        self.shared.store.look_up_clients(now, clients).await
    }

    /// Waits until the store has heard all that was begun so far.
    pub async fn heard(&self) {
        self.shared.store.heard().await;
    }

    /// All credentials that this process knows to have been used or rested, sorted by name.
    pub fn states(&self) -> Vec<CredentialState> {
        self.shared.store.credentials(self.shared.clock.now())
    }

    /// All callers of this process of late, sorted by name.
    pub fn clients(&self) -> Vec<ClientState> {
        self.shared.store.clients(self.shared.clock.now())
    }

    /// The endpoints' breakers, sorted by Provider.
    pub fn breakers(&self) -> Vec<BreakerState> {
        self.shared.store.breakers(self.shared.clock.now())
    }

    async fn look(&self, pick: &Pick<'_>, patience: Duration) -> Result<Lease<S>, Shortage> {
        let now = self.shared.clock.now();
        let attempt = self.shared.estimates.attempt(pick, now);
        let reserves = Reserves {
            call: 0,
            attempt: attempt.tokens,
        };
        let picked = self.shared.store.pick(now, pick, reserves, patience).await?;
        Ok(Lease::new(self, pick.provider.name.clone(), picked, attempt))
    }

    /// Boxed by its callers, because every call would carry the room for what few of them do.
    async fn wait(&self, pick: Pick<'_>, mut shortage: Shortage) -> Result<Lease<S>, NoneUsable> {
        let max_wait = pick.provider.selection.max_wait;
        if max_wait.is_zero() || !self.pays_to_wait(&shortage, max_wait) {
            return Err(shortage.reason);
        }
        let deadline = Instant::now() + max_wait;
        let place = self.shared.waiting.join(&pick.provider.name);
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            place.look();
            match self.look(&pick, patience).await {
                Ok(lease) => {
                    place.served();
                    return Ok(lease);
                }
                Err(found) => shortage = found,
            }
            if patience.is_zero() || !self.pays_to_wait(&shortage, patience) {
                return Err(shortage.reason);
            }
            place.pass_on();
            let soonest = self.until_soonest(&shortage).max(SHORTEST_SLEEP);
            let look = match self.shared.store.looks_every() {
                // Where many wait, each looks less often: the store has others to serve.
                Some(every) if shortage.releasable => soonest.min(every * place.crowd().min(CROWD)),
                _ => soonest,
            };
            let sleep = patience.min(look);
            tokio::select! {
                () = place.woken() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Whether a credential may become usable within `patience`.
    fn pays_to_wait(&self, shortage: &Shortage, patience: Duration) -> bool {
        match shortage.reason {
            NoneUsable::Full { .. } => shortage.releasable || self.until_soonest(shortage) <= patience,
            NoneUsable::UnknownObject
            | NoneUsable::Empty
            | NoneUsable::Resting { .. }
            | NoneUsable::BreakerOpen { .. } => false,
        }
    }

    fn until_soonest(&self, shortage: &Shortage) -> Duration {
        match shortage.reason {
            NoneUsable::Full { soonest } => soonest.since(self.shared.clock.now()),
            NoneUsable::UnknownObject
            | NoneUsable::Empty
            | NoneUsable::Resting { .. }
            | NoneUsable::BreakerOpen { .. } => Duration::ZERO,
        }
    }
}

fn reserves(call: Estimate, attempt: Estimate) -> Reserves {
    Reserves {
        call: call.tokens,
        attempt: attempt.tokens,
    }
}

impl<S: Store> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: Store> fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("clock", &self.shared.clock)
            .finish_non_exhaustive()
    }
}
