//! The state of one process, in its memory.

mod account;
mod choose;
mod order;
mod settle;
mod state;
mod table;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use snapshot::{ClientName, CredentialName, ProviderName, QuotaWindow, SecretVersion, Timestamp};

use self::{
    choose::{Hold, Seat},
    settle::Mark,
    state::State,
};
use crate::{
    Admit, Blame, BreakerState, ClientState, CredentialState, Denied, Member, Pick, Picked, Reserves, Rest,
    Resting, Settled, Shortage, Store, breaker::Gate,
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
    const LOOKS_EVERY: Option<Duration> = None;

    type Hold = Hold;
    type Seat = Seat;
    type Mark = Mark;

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

    fn settle(&self, now: Timestamp, hold: Hold, settled: &Settled) -> (Blame, Option<Mark>) {
        self.state().settle(now, &hold, settled)
    }

    fn leave(&self, now: Timestamp, seat: Seat, tokens: Option<u64>) {
        self.state().leave(now, &seat, tokens);
    }

    fn withdraw(&self, _: Timestamp, mark: Mark) {
        self.state().withdraw(&mark);
    }

    fn report(
        &self,
        now: Timestamp,
        _: &ProviderName,
        credential: &CredentialName,
        model: Option<&str>,
        rest: Rest,
    ) {
        self.state().report(now, credential, model, rest);
    }

    fn clear_rest(&self, _: Timestamp, _: &ProviderName, credential: &CredentialName) {
        self.state().clear_rest(credential);
    }

    fn reset_quota(&self, _: Timestamp, _: &ProviderName, _credential: &CredentialName) {}

    fn reset_budgets(&self, _: Timestamp, _client: &ClientName) {}

    fn secret_changed(
        &self,
        _: Timestamp,
        _: &ProviderName,
        credential: &CredentialName,
        _version: &SecretVersion,
    ) {
        self.state().secret_changed(credential);
    }

    fn remember(&self, now: Timestamp, object: u128, credential: &CredentialName) {
        self.state()
            .objects
            .set(object, credential.clone(), now, OBJECT_TTL);
    }

    async fn recall(&self, now: Timestamp, object: u128) -> Option<CredentialName> {
        self.state().objects.get(object, now).cloned()
    }

    async fn look_up(&self, now: Timestamp, _: &ProviderName, _members: &[Member]) -> Vec<CredentialState> {
        self.credentials(now)
    }

    async fn look_up_clients(
        &self,
        now: Timestamp,
        _clients: &[(&ClientName, &[QuotaWindow])],
    ) -> Vec<ClientState> {
        self.clients(now)
    }

    fn credentials(&self, now: Timestamp) -> Vec<CredentialState> {
        let state = self.state();
        let mut credentials: Vec<_> = state
            .credentials
            .iter()
            .map(|(name, account)| {
                let resting = |model: Option<&std::sync::Arc<str>>, scope: &crate::rest::Scope| {
                    scope.rest(now).map(|(reason, until)| Resting {
                        model: model.cloned(),
                        reason,
                        until,
                    })
                };
                let models = account.models.iter();
                CredentialState {
                    name: name.clone(),
                    in_flight: account.usage.in_flight,
                    reserved_tokens: account.usage.reserved,
                    rests: resting(None, &account.whole)
                        .into_iter()
                        .chain(models.filter_map(|(model, scope)| resting(Some(model), scope)))
                        .collect(),
                    windows: Vec::new(),
                    totals: account.usage.totals,
                }
            })
            .collect();
        drop(state);
        credentials.sort_by(|a, b| a.name.cmp(&b.name));
        credentials
    }

    fn clients(&self, _: Timestamp) -> Vec<ClientState> {
        let state = self.state();
        let mut clients: Vec<_> = state
            .clients
            .iter()
            .map(|(name, client)| ClientState {
                name: name.clone(),
                in_flight: client.usage.in_flight,
                reserved_tokens: client.usage.reserved,
                budgets: Vec::new(),
                totals: client.usage.totals,
            })
            .collect();
        drop(state);
        clients.sort_by(|a, b| a.name.cmp(&b.name));
        clients
    }

    fn breakers(&self, now: Timestamp) -> Vec<BreakerState> {
        let state = self.state();
        let mut breakers: Vec<_> = state
            .upstreams
            .iter()
            .map(|(provider, upstream)| BreakerState {
                provider: provider.clone(),
                in_flight: upstream.in_flight,
                open_until: match upstream.circuit.gate(now) {
                    Gate::Closed => None,
                    Gate::HalfOpen => Some(now),
                    Gate::Open(until) => Some(until),
                },
            })
            .collect();
        drop(state);
        breakers.sort_by(|a, b| a.provider.cmp(&b.provider));
        breakers
    }
}

#[cfg(test)]
mod tests;
