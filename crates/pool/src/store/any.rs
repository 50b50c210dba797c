//! A store that is chosen when the process starts.

use std::time::Duration;

use snapshot::{ClientName, CredentialName, ProviderName, QuotaWindow, SecretVersion, Timestamp};

use super::{Memory, Picked, Shortage, Store};
use crate::{
    Admit, Blame, BreakerState, ClientState, CredentialState, Denied, Holder, Member, ObjectId, Pick, Redis,
    Reserves, Rest, Settled, StoreAway,
};

/// Either store. Futures and leases of the shared one are boxed: they are large, and calls carry the room for them
/// to their end even where the state is in memory.
#[derive(Debug)]
pub enum AnyStore {
    /// The state of this process alone.
    Memory(Box<Memory>),
    /// State that replicas share.
    Redis(Box<Redis>),
}

/// What either store gives.
#[derive(Debug)]
pub enum Either<M, R> {
    /// The memory store.
    Memory(M),
    /// The shared store.
    Redis(R),
}

impl<M, R> Either<M, R> {
    /// What the memory store gave.
    fn memory(self) -> Option<M> {
        match self {
            Self::Memory(given) => Some(given),
            Self::Redis(_) => None,
        }
    }

    /// What the shared store gave.
    fn redis(self) -> Option<R> {
        match self {
            Self::Memory(_) => None,
            Self::Redis(given) => Some(given),
        }
    }
}

/// Asks the store that it is.
macro_rules! ask {
    ($this:expr, $store:ident => $call:expr) => {
        match $this {
            AnyStore::Memory($store) => $call,
            AnyStore::Redis($store) => $call,
        }
    };
}

/// A lease of the shared store.
fn shared<M, R>(hold: R) -> Either<M, Box<R>> {
    Either::Redis(Box::new(hold))
}

fn picked<F, H>(picked: Picked<F>, wrap: impl FnOnce(F) -> H) -> Picked<H> {
    Picked {
        credential: picked.credential,
        probe: picked.probe,
        hold: wrap(picked.hold),
    }
}

impl Store for AnyStore {
    type Hold = Either<<Memory as Store>::Hold, Box<<Redis as Store>::Hold>>;
    type Seat = Either<<Memory as Store>::Seat, <Redis as Store>::Seat>;

    fn looks_every(&self) -> Option<Duration> {
        ask!(self, store => store.looks_every())
    }

    async fn enter(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<(Self::Seat, Result<Picked<Self::Hold>, Shortage>), Denied> {
        match self {
            Self::Memory(store) => {
                let (seat, found) = store.enter(now, admit, pick, reserves, patience).await?;
                Ok((
                    Either::Memory(seat),
                    found.map(|found| picked(found, Either::Memory)),
                ))
            }
            Self::Redis(store) => {
                let (seat, found) = Box::pin(store.enter(now, admit, pick, reserves, patience)).await?;
                Ok((Either::Redis(seat), found.map(|found| picked(found, shared))))
            }
        }
    }

    async fn admit(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        reserves: Reserves,
    ) -> Result<Self::Seat, Denied> {
        match self {
            Self::Memory(store) => store.admit(now, admit, reserves).await.map(Either::Memory),
            Self::Redis(store) => Box::pin(store.admit(now, admit, reserves))
                .await
                .map(Either::Redis),
        }
    }

    async fn pick(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<Picked<Self::Hold>, Shortage> {
        match self {
            Self::Memory(store) => {
                let found = store.pick(now, pick, reserves, patience).await?;
                Ok(picked(found, Either::Memory))
            }
            Self::Redis(store) => {
                let found = Box::pin(store.pick(now, pick, reserves, patience)).await?;
                Ok(picked(found, shared))
            }
        }
    }

    fn commit(&self, now: Timestamp, hold: &mut Self::Hold) {
        match (self, hold) {
            (Self::Memory(store), Either::Memory(hold)) => store.commit(now, hold),
            (Self::Redis(store), Either::Redis(hold)) => store.commit(now, hold),
            // A pool has one store for all its life.
            _ => {}
        }
    }

    fn settle(&self, now: Timestamp, hold: Self::Hold, settled: &Settled) -> Blame {
        let blame = match self {
            Self::Memory(store) => hold.memory().map(|hold| store.settle(now, hold, settled)),
            Self::Redis(store) => hold.redis().map(|hold| store.settle(now, *hold, settled)),
        };
        blame.unwrap_or(Blame::AsSettled)
    }

    fn leave(&self, now: Timestamp, seat: Self::Seat, tokens: Option<u64>) {
        match self {
            Self::Memory(store) => {
                if let Some(seat) = seat.memory() {
                    store.leave(now, seat, tokens);
                }
            }
            Self::Redis(store) => {
                if let Some(seat) = seat.redis() {
                    store.leave(now, seat, tokens);
                }
            }
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
        ask!(self, store => store.report(now, provider, credential, model, rest));
    }

    fn clear_rest(&self, now: Timestamp, provider: &ProviderName, credential: &CredentialName) {
        ask!(self, store => store.clear_rest(now, provider, credential));
    }

    fn reset_quota(&self, now: Timestamp, provider: &ProviderName, credential: &CredentialName) {
        ask!(self, store => store.reset_quota(now, provider, credential));
    }

    fn reset_budgets(&self, now: Timestamp, client: &ClientName) {
        ask!(self, store => store.reset_budgets(now, client));
    }

    fn secret_changed(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        credential: &CredentialName,
        version: &SecretVersion,
    ) {
        ask!(self, store => store.secret_changed(now, provider, credential, version));
    }

    fn remember(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        object: ObjectId,
        credential: &CredentialName,
    ) {
        ask!(self, store => store.remember(now, provider, object, credential));
    }

    fn holder(&self, now: Timestamp, object: ObjectId) -> Holder {
        ask!(self, store => store.holder(now, object))
    }

    async fn recall(&self, now: Timestamp, object: ObjectId) -> Result<Option<CredentialName>, StoreAway> {
        match self {
            Self::Memory(store) => store.recall(now, object).await,
            Self::Redis(store) => Box::pin(store.recall(now, object)).await,
        }
    }

    async fn look_up(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        members: &[Member],
    ) -> Vec<CredentialState> {
        ask!(self, store => store.look_up(now, provider, members).await)
    }

    async fn look_up_clients(
        &self,
        now: Timestamp,
        clients: &[(&ClientName, &[QuotaWindow])],
    ) -> Vec<ClientState> {
        ask!(self, store => store.look_up_clients(now, clients).await)
    }

    async fn heard(&self) {
        ask!(self, store => store.heard().await);
    }

    fn credentials(&self, now: Timestamp) -> Vec<CredentialState> {
        ask!(self, store => store.credentials(now))
    }

    fn clients(&self, now: Timestamp) -> Vec<ClientState> {
        ask!(self, store => store.clients(now))
    }

    fn breakers(&self, now: Timestamp) -> Vec<BreakerState> {
        ask!(self, store => store.breakers(now))
    }
}
