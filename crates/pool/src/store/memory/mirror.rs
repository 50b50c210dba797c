//! What a store that replicas share needs of this one: it is kept up beside it, and stands in for it while
//! it is away.

use std::{collections::HashMap, sync::Arc};

use snapshot::{ClientName, CredentialName, ProviderName, Timestamp};

use super::{
    Memory,
    admit::Seat,
    choose::{Hold, Taken},
    state::State,
};
use crate::{Admit, Lane, Pick, quota::Tally, rest::Told};

/// A rest of one credential, as the shared store tells it or is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToldRest {
    /// Whose.
    pub(crate) credential: CredentialName,
    /// The upstream model that it is for; `None` for all.
    pub(crate) model: Option<Arc<str>>,
    /// Why, until when and how it ends.
    pub(crate) rest: Told,
}

/// What this process has used of one account's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// A credential's name in its namespace; empty for a caller.
    pub(crate) account: Arc<str>,
    /// Requests by second since the Unix epoch, of the last minute.
    pub(crate) requests: Vec<(u64, u64)>,
    /// Tokens, likewise.
    pub(crate) tokens: Vec<(u64, u64)>,
    /// Windows whose period has begun.
    pub(crate) windows: Vec<(Arc<str>, Tally)>,
}

impl Memory {
    /// Divides all limits among so many processes from now on, because they cannot agree on what is used.
    pub(crate) fn set_sharers(&self, now: Timestamp, sharers: u32) {
        self.state().set_sharers(sharers, now);
    }

    /// Takes the place that the shared store has given, whatever is in the way here; `None` when the lane
    /// has no such member.
    pub(crate) fn adopt(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        lane: &Arc<Lane>,
        credential: &CredentialName,
        reserve: u64,
        taken: Taken,
    ) -> Option<Hold> {
        self.state().adopt(now, pick, lane, credential, reserve, taken)
    }

    /// Lets a caller in that the shared store has let in.
    pub(crate) fn adopt_seat(&self, now: Timestamp, admit: &Admit<'_>, reserve: u64) -> Seat {
        self.state().adopt_seat(now, admit, reserve)
    }

    /// What this process has used of a Provider's credentials.
    pub(crate) fn used_of(&self, now: Timestamp, provider: &ProviderName) -> Vec<Used> {
        let mut state = self.state();
        let mut used = Vec::new();
        for number in state.credentials.numbers() {
            let name: Arc<str> = state.credentials.key(number).name().into();
            let account = &mut state.credentials[number];
            if account.provider.as_ref() == Some(provider) {
                used.push(account.usage.used(&name, now));
            }
        }
        used
    }

    /// What this process has let a caller use.
    pub(crate) fn used_by(&self, now: Timestamp, client: &ClientName) -> Option<Used> {
        let mut state = self.state();
        let number = state.clients.number(client)?;
        Some(state.clients[number].usage.used("", now))
    }

    /// The rests of a Provider's credentials that this process knows of.
    pub(crate) fn rests(&self, now: Timestamp, provider: &ProviderName) -> Vec<ToldRest> {
        let state = self.state();
        let accounts = state.credentials.iter();
        accounts
            .filter(|(_, account)| account.provider.as_ref() == Some(provider))
            .flat_map(|(name, account)| {
                account.rests(now).map(|(model, rest)| ToldRest {
                    credential: name.clone(),
                    model: model.cloned(),
                    rest,
                })
            })
            .collect()
    }

    /// Follows what the shared store says of the rests of a Provider's credentials. Those that it told of
    /// before and does not any more are over; those that only this process has met stay.
    pub(crate) fn set_rests(&self, now: Timestamp, provider: &ProviderName, rests: &[ToldRest]) {
        self.state().set_rests(now, provider, rests);
    }
}

impl State {
    fn set_rests(&mut self, now: Timestamp, provider: &ProviderName, rests: &[ToldRest]) {
        let sequence = self.next_sequence();
        for rest in rests {
            let number = self.credential(&rest.credential, now);
            let account = &mut self.credentials[number];
            account.provider.get_or_insert_with(|| provider.clone());
            if let Some(model) = &rest.model {
                account.model_mut(model, now);
            }
        }
        let told: HashMap<_, _> = rests
            .iter()
            .map(|rest| ((&rest.credential, rest.model.as_deref()), rest.rest))
            .collect();
        for number in self.credentials.numbers() {
            if self.credentials[number].provider.as_ref() != Some(provider) {
                continue;
            }
            let name = self.credentials.key(number).clone();
            let told = |model| told.get(&(&name, model)).copied();
            let account = &mut self.credentials[number];
            let mut changed = account.whole.follow(sequence, told(None));
            for (model, scope) in &mut account.models {
                changed |= scope.follow(sequence, told(Some(model)));
            }
            if changed {
                self.unpark(number, now);
            }
        }
    }
}
