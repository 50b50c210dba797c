//! A Provider with credentials in tiers for several models, and callers.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use snapshot::{Breaker, CallLimits, ClientName, CredentialName, Provider, QuotaWindow, WhenStoreIsAway};

use crate::{
    Admit, Lane, Member,
    testing::{any, lane, member, provider},
};

/// What does not change within a sequence.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) provider: Provider,
    pub(super) members: Vec<Member>,
    /// For each of [`MODELS`], its credentials, best tier first.
    pub(super) lanes: Vec<Vec<Arc<Lane>>>,
    pub(super) callers: Vec<Caller>,
    /// How many processes share the shared store.
    pub(super) stores: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: ClientName,
    pub(super) limits: CallLimits,
    pub(super) budgets: Vec<QuotaWindow>,
}

/// The upstream's models.
pub(super) const MODELS: [&str; 2] = ["model", "other"];

impl Setting {
    pub(super) fn credential(&self, number: usize) -> &CredentialName {
        &self.members[number % self.members.len()].credential
    }

    pub(super) fn admit(&self, caller: usize) -> Admit<'_> {
        let caller = &self.callers[caller];
        Admit {
            client: &caller.name,
            limits: &caller.limits,
            budgets: &caller.budgets,
            when_store_is_away: WhenStoreIsAway::Share,
            model: MODELS[0],
        }
    }
}

impl Caller {
    /// Whether it has no place in the shared store.
    pub(super) fn is_unlimited(&self) -> bool {
        self.limits == CallLimits::default() && self.budgets.is_empty()
    }
}

fn any_member() -> impl Strategy<Value = (CallLimits, Vec<QuotaWindow>, u32, [Option<bool>; 2])> {
    // Lanes of plain members only take a path of their own.
    let limits = prop_oneof![1 => Just(CallLimits::default()), 1 => any::limits()];
    let quota = prop_oneof![1 => Just(Vec::new()), 1 => any::windows(10)];
    let tier = || prop::option::weighted(0.9, prop::bool::weighted(0.3));
    (limits, quota, 1..5u32, [tier(), tier()])
}

fn any_caller(number: usize) -> impl Strategy<Value = Caller> {
    (any::limits(), any::windows(40)).prop_map(move |(mut limits, budgets)| {
        // Callers are limited widely, or there would be little to see.
        limits.concurrency = limits.concurrency.map(|limit| limit + 4);
        limits.requests_per_minute = limits.requests_per_minute.map(|limit| limit * 4);
        Caller {
            name: format!("ns/{number}").parse().expect("a valid name"),
            limits,
            budgets,
        }
    })
}

pub(super) fn any_setting() -> impl Strategy<Value = Setting> {
    (
        any::strategy(),
        (
            prop::bool::weighted(0.3),
            prop::collection::vec(any_member(), 2..=8),
        ),
        (any_caller(0), any_caller(1)),
        prop::option::weighted(0.3, 1..6u32),
        (0..4u32, 1..90u64),
        1..900u64,
        1..=2usize,
    )
        .prop_map(
            |(strategy, (plain, all), callers, concurrency, (failures, open_for), affinity, stores)| {
                let mut provider = provider(strategy);
                provider.concurrency = concurrency;
                provider.breaker = Breaker {
                    consecutive_failures: failures,
                    open_for: Duration::from_secs(open_for),
                };
                provider.selection.affinity.ttl = Duration::from_secs(affinity);
                let members: Vec<Member> = ('a'..)
                    .zip(&all)
                    .map(|(name, (limits, quota, weight, _))| {
                        let known = member(&name.to_string());
                        if plain {
                            return known;
                        }
                        Member {
                            limits: *limits,
                            quota: quota.as_slice().into(),
                            weight: *weight,
                            ..known
                        }
                    })
                    .collect();
                let tiers = |model: usize| {
                    let tier = |second: bool| {
                        let among = members.iter().zip(&all);
                        let chosen: Vec<Member> = among
                            .filter(|(_, (.., tiers))| tiers[model] == Some(second))
                            .map(|(member, _)| member.clone())
                            .collect();
                        (!chosen.is_empty()).then(|| lane(MODELS[model], strategy, &chosen))
                    };
                    [false, true].into_iter().filter_map(tier).collect()
                };
                Setting {
                    lanes: (0..MODELS.len()).map(tiers).collect(),
                    provider,
                    members,
                    callers: vec![callers.0, callers.1],
                    stores,
                }
            },
        )
}
