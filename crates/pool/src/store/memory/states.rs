//! The tables as others see them.

use std::sync::Arc;

use snapshot::{ClientName, CredentialName, QuotaWindow, Timestamp};

use super::{
    account::{Client, Credential},
    state::State,
};
use crate::{
    BreakerState, ClientState, CredentialState, Member, Resting, WindowState,
    breaker::Gate,
    quota::Quota,
    rest::{Scope, Told},
};

impl State {
    pub(super) fn credential_states(&self, now: Timestamp) -> Vec<CredentialState> {
        let states = self.credentials.iter().map(|(name, account)| {
            let windows = account.usage.quota.states(now);
            credential_state(name, Some(account), windows, now)
        });
        let mut states: Vec<_> = states.collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        states
    }

    pub(super) fn client_states(&self, now: Timestamp) -> Vec<ClientState> {
        let states = self.clients.iter().map(|(name, client)| {
            let budgets = client.usage.quota.states(now);
            client_state(name, Some(client), budgets)
        });
        let mut states: Vec<_> = states.collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        states
    }

    pub(super) fn breaker_states(&self, now: Timestamp) -> Vec<BreakerState> {
        let states = self.upstreams.iter().map(|(provider, upstream)| BreakerState {
            provider: provider.clone(),
            in_flight: upstream.in_flight,
            open_until: match upstream.circuit.gate(now) {
                Gate::Closed => None,
                Gate::HalfOpen => Some(now),
                Gate::Open(until) => Some(until),
            },
        });
        let mut states: Vec<_> = states.collect();
        states.sort_by(|a, b| a.provider.cmp(&b.provider));
        states
    }

    pub(super) fn look_up(&self, now: Timestamp, members: &[Member]) -> Vec<CredentialState> {
        let state = |member: &Member| {
            let name = &member.credential;
            let known = self.credentials.number(name);
            let known = known.map(|number| &self.credentials[number]);
            let windows = windows(known.map(|known| &known.usage.quota), &member.quota, now);
            credential_state(name, known, windows, now)
        };
        members.iter().map(state).collect()
    }

    pub(super) fn look_up_clients(
        &self,
        now: Timestamp,
        clients: &[(&ClientName, &[QuotaWindow])],
    ) -> Vec<ClientState> {
        let state = |(name, budgets): &(&ClientName, &[QuotaWindow])| {
            let known = self.clients.number(name);
            let known = known.map(|number| &self.clients[number]);
            let budgets = windows(known.map(|known| &known.usage.quota), budgets, now);
            client_state(name, known, budgets)
        };
        clients.iter().map(state).collect()
    }
}

fn windows(known: Option<&Quota>, listed: &[QuotaWindow], now: Timestamp) -> Vec<WindowState> {
    match known {
        Some(quota) => quota.states_of(listed, now),
        None => Quota::default().states_of(listed, now),
    }
}

fn credential_state(
    name: &CredentialName,
    known: Option<&Credential>,
    windows: Vec<WindowState>,
    now: Timestamp,
) -> CredentialState {
    CredentialState {
        name: name.clone(),
        in_flight: known.map_or(0, |account| account.usage.in_flight),
        reserved_tokens: known.map_or(0, |account| account.usage.reserved),
        rests: known.map_or_else(Vec::new, |account| {
            account
                .rests(now)
                .map(|(model, told)| resting(model, told))
                .collect()
        }),
        windows,
    }
}

fn client_state(name: &ClientName, known: Option<&Client>, budgets: Vec<WindowState>) -> ClientState {
    ClientState {
        name: name.clone(),
        in_flight: known.map_or(0, |client| client.usage.in_flight),
        reserved_tokens: known.map_or(0, |client| client.usage.reserved),
        budgets,
    }
}

fn resting(model: Option<&Arc<str>>, told: Told) -> Resting {
    Resting {
        model: model.cloned(),
        reason: told.reason,
        until: told.until,
    }
}

impl Credential {
    /// Its rests, that of the whole credential first.
    pub(super) fn rests(&self, now: Timestamp) -> impl Iterator<Item = (Option<&Arc<str>>, Told)> {
        let whole = std::iter::once((None, &self.whole));
        let models = self.models.iter().map(|(model, scope)| (Some(model), scope));
        let tell = move |(model, scope): (Option<_>, &Scope)| Some((model, scope.tell(now)?));
        whole.chain(models).filter_map(tell)
    }
}
