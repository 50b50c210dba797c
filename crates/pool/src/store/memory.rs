//! The state of one process, in its memory.

mod account;
mod admit;
mod choose;
mod mirror;
mod order;
mod settle;
mod shortage;
mod state;
mod states;
mod table;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use snapshot::{ClientName, CredentialName, ProviderName, QuotaWindow, SecretVersion, Timestamp};

use self::state::State;
pub(crate) use self::{
    account::Probes,
    admit::Seat,
    choose::{Hold, Taken},
    mirror::{ToldRest, Used},
};
use crate::{
    Admit, Blame, BreakerState, ClientState, CredentialState, Denied, Holder, Member, ObjectId, Pick, Picked,
    Reserves, Rest, Settled, Shortage, Store, StoreAway,
};

/// All state behind one lock, which is held for less than a microsecond at a time.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

/// How long objects of an upstream are remembered.
const OBJECT_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        // Steps keep the tables consistent even where they might panic, so a poisoned lock is no reason
        // to stop serving.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    type Hold = Hold;
    type Seat = Seat;

    fn looks_every(&self) -> Option<Duration> {
        None
    }

    async fn enter(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<(Seat, Result<Picked<Hold>, Shortage>), Denied> {
        let mut state = self.state();
        let seat = state.admit(now, admit, reserves.call)?;
        let picked = state.pick(now, pick, reserves.attempt, patience);
        Ok((seat, picked))
    }

    async fn admit(&self, now: Timestamp, admit: &Admit<'_>, reserves: Reserves) -> Result<Seat, Denied> {
        self.state().admit(now, admit, reserves.call)
    }

    async fn pick(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<Picked<Hold>, Shortage> {
        self.state().pick(now, pick, reserves.attempt, patience)
    }

    fn commit(&self, now: Timestamp, hold: &mut Hold) {
        self.state().commit(now, hold);
    }

    fn settle(&self, now: Timestamp, hold: Hold, settled: &Settled) -> Blame {
        self.state().settle(now, &hold, settled)
    }

    fn leave(&self, now: Timestamp, seat: Seat, tokens: Option<u64>) {
        self.state().leave(now, &seat, tokens);
    }

    fn report(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        credential: &CredentialName,
        model: Option<&str>,
        rest: Rest,
    ) {
        self.state().report(now, provider, credential, model, rest);
    }

    fn clear_rest(&self, now: Timestamp, _: &ProviderName, credential: &CredentialName) {
        self.state().clear_rest(now, credential);
    }

    fn reset_quota(&self, now: Timestamp, _: &ProviderName, credential: &CredentialName) {
        self.state().reset_quota(now, credential);
    }

    fn reset_budgets(&self, _: Timestamp, client: &ClientName) {
        self.state().reset_budgets(client);
    }

    fn secret_changed(
        &self,
        now: Timestamp,
        _: &ProviderName,
        credential: &CredentialName,
        version: &SecretVersion,
    ) {
        self.state().secret_changed(now, credential, version);
    }

    fn remember(&self, now: Timestamp, _: &ProviderName, object: ObjectId, credential: &CredentialName) {
        self.state()
            .objects
            .set(object.0, credential.clone(), now, OBJECT_TTL);
    }

    fn holder(&self, now: Timestamp, object: ObjectId) -> Holder {
        let state = self.state();
        state
            .objects
            .get(object.0, now)
            .map_or(Holder::Unknown, |name| Holder::Known(name.clone()))
    }

    async fn recall(&self, now: Timestamp, object: ObjectId) -> Result<Option<CredentialName>, StoreAway> {
        Ok(self.state().objects.get(object.0, now).cloned())
    }

    async fn look_up(&self, now: Timestamp, _: &ProviderName, members: &[Member]) -> Vec<CredentialState> {
        self.state().look_up(now, members)
    }

    async fn look_up_clients(
        &self,
        now: Timestamp,
        clients: &[(&ClientName, &[QuotaWindow])],
    ) -> Vec<ClientState> {
        self.state().look_up_clients(now, clients)
    }

    async fn heard(&self) {}

    fn credentials(&self, now: Timestamp) -> Vec<CredentialState> {
        self.state().credential_states(now)
    }

    fn clients(&self, now: Timestamp) -> Vec<ClientState> {
        self.state().client_states(now)
    }

    fn breakers(&self, now: Timestamp) -> Vec<BreakerState> {
        self.state().breaker_states(now)
    }
}

#[cfg(test)]
mod tests;
