//! The tables, and what moves between them.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash},
    sync::Arc,
    time::Duration,
};

use snapshot::{ClientName, CredentialName, ProviderName, Timestamp};

use super::{
    account::{Client, Credential},
    order::Order,
    table::Table,
};
use crate::{
    Lane, LaneId,
    breaker::Circuit,
    remembered::Remembered,
    score::{self, LedBy},
};

#[derive(Debug)]
pub(super) struct State {
    /// Grows with every pick, refusal and clearing, so that any two of them can be ordered.
    pub(super) sequence: u64,
    /// How many processes share the limits without knowing of each other.
    pub(super) sharers: u32,
    pub(super) credentials: Table<CredentialName, Credential>,
    pub(super) upstreams: Table<ProviderName, Upstream>,
    pub(super) clients: Table<ClientName, Client>,
    pub(super) orders: Table<LaneId, Order>,
    pub(super) affinity: Remembered<u64, CredentialName>,
    pub(super) objects: Remembered<u128, CredentialName>,
    hasher: RandomState,
    next_sweep: Timestamp,
    /// How many heads of lanes were looked at.
    #[cfg(test)]
    pub(super) looks: u64,
}

/// One Provider's endpoint.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    pub(super) in_flight: u32,
    pub(super) circuit: Circuit,
    /// Credentials that are members of a lane.
    pub(super) credentials: u32,
    /// Credentials refused of late, each once.
    pub(super) refusals: Vec<Refusal>,
    /// Since when it has refused so many credentials that they are not to blame, and accepted none.
    pub(super) rejects_all: Option<u64>,
    used_at: Timestamp,
}

/// A credential was refused, and what that put to rest.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) credential: u32,
    pub(super) at: Timestamp,
    pub(super) undo: Option<crate::rest::Undo>,
}

const SWEEP_EVERY: Duration = Duration::from_secs(30);
const LANE_TTL: Duration = Duration::from_secs(600);
/// Names are kept for a day after the last use.
const NAME_TTL: Duration = Duration::from_secs(24 * 3600);
const AFFINITIES: usize = 100_000;
const OBJECTS: usize = 200_000;

impl Default for State {
    fn default() -> Self {
        Self {
            sequence: 0,
            sharers: 1,
            credentials: Table::default(),
            upstreams: Table::default(),
            clients: Table::default(),
            orders: Table::default(),
            affinity: Remembered::new(AFFINITIES),
            objects: Remembered::new(OBJECTS),
            hasher: RandomState::new(),
            next_sweep: Timestamp::EPOCH,
            #[cfg(test)]
            looks: 0,
        }
    }
}

impl State {
    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn credential(&mut self, name: &CredentialName, now: Timestamp) -> u32 {
        self.credentials.intern(name, || Credential::new(now))
    }

    pub(super) fn client(&mut self, name: &ClientName, now: Timestamp) -> u32 {
        let number = self.clients.intern(name, Client::default);
        self.clients[number].used_at = now;
        number
    }

    pub(super) fn upstream(&mut self, name: &ProviderName, now: Timestamp) -> u32 {
        let number = self.upstreams.intern(name, Upstream::default);
        self.upstreams[number].used_at = now;
        number
    }

    /// The order of a lane, filled when missing.
    pub(super) fn order(&mut self, lane: &Arc<Lane>, now: Timestamp) -> u32 {
        if let Some(number) = self.orders.number(&lane.id()) {
            self.orders[number].used_at = now;
            return number;
        }
        let upstream = self.upstream(lane.provider(), now);
        let members: Vec<u32> = lane
            .members()
            .iter()
            .map(|member| self.credential(&member.credential, now))
            .collect();
        let led_by = score::change(lane.strategy(), 1).led_by;
        for (credential, member) in members.iter().zip(lane.members()) {
            let quota = &mut self.credentials[*credential].usage.quota;
            quota.list(&member.quota, now);
        }
        let number = self.orders.intern(&lane.id(), || {
            let accounts = &mut self.credentials;
            let lead = |number: u32| (number, accounts[number].leads(now).of(led_by));
            Order::new(led_by, now, members.iter().copied().map(lead))
        });
        for (member, credential) in (0..).zip(members) {
            let account = &mut self.credentials[credential];
            if account.lanes.is_empty() {
                account.provider = Some(lane.provider().clone());
                self.upstreams[upstream].credentials += 1;
            }
            account.lanes.push((number, member));
            account.led_lanes += u32::from(led_by != LedBy::Nothing);
        }
        number
    }

    /// Puts a credential back in turn wherever it is parked.
    pub(super) fn unpark(&mut self, credential: u32, now: Timestamp) {
        let account = &mut self.credentials[credential];
        account.parked_full = false;
        let leads = account.leads(now);
        for &(order, member) in &account.lanes {
            let order = &mut self.orders[order];
            order.unpark(member, leads.of(order.led_by()));
        }
    }

    /// Follows the end of a call on a credential: its lead may be smaller, and it is not full any more.
    pub(super) fn released(&mut self, credential: u32, now: Timestamp) {
        self.follow_leads(credential, now);
        if self.credentials[credential].parked_full {
            self.unpark(credential, now);
        }
    }

    /// Follows what leads the scores of a credential.
    pub(super) fn follow_leads(&mut self, credential: u32, now: Timestamp) {
        let account = &mut self.credentials[credential];
        if account.led_lanes > 0 {
            let leads = account.leads(now);
            for &(order, member) in &account.lanes {
                let order = &mut self.orders[order];
                order.set_lead(member, leads.of(order.led_by()));
            }
        }
    }

    /// Divides all limits among so many processes from now on.
    pub(super) fn set_sharers(&mut self, sharers: u32, now: Timestamp) {
        if self.sharers == sharers {
            return;
        }
        self.sharers = sharers;
        for credential in self.credentials.numbers() {
            self.unpark(credential, now);
        }
    }

    pub(super) fn key(&self, parts: impl Hash) -> u64 {
        self.hasher.hash_one(parts)
    }

    /// Forgets what has not been used for long. Called with every pick; works every 30 seconds.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP_EVERY;
        self.affinity.sweep(now);
        self.objects.sweep(now);
        for (number, order) in self.orders.extract(|order| order.used_at + LANE_TTL <= now) {
            for credential in order.credentials() {
                let account = &mut self.credentials[credential];
                account.lanes.retain(|(lane, _)| *lane != number);
                if order.led_by() != LedBy::Nothing {
                    account.led_lanes = account.led_lanes.saturating_sub(1);
                }
                if account.lanes.is_empty()
                    && let Some(provider) = &account.provider
                    && let Some(upstream) = self.upstreams.number(provider)
                {
                    let upstream = &mut self.upstreams[upstream];
                    upstream.credentials = upstream.credentials.saturating_sub(1);
                }
            }
        }
        self.credentials
            .extract(|account| account.used_at + NAME_TTL <= now && account.is_idle(now));
        self.clients.extract(|client| {
            client.used_at + NAME_TTL <= now && client.held == 0 && client.usage.is_idle(now)
        });
        for upstream in self.upstreams.values_mut() {
            upstream
                .refusals
                .retain(|refusal| refusal.at + super::settle::REFUSAL_WINDOW > now);
        }
        self.upstreams.extract(|upstream| {
            upstream.used_at + NAME_TTL <= now && upstream.in_flight == 0 && upstream.credentials == 0
        });
    }
}
