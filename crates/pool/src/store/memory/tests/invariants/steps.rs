//! What may happen, to whom.

use proptest::prelude::*;
use snapshot::{CallLimits, QuotaWindow, Strategy as Selection};

use crate::{Rest, Settled, testing::any};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Pick {
        tried: Option<usize>,
        affinity: Option<u64>,
    },
    Settle {
        which: usize,
        settled: Settled,
    },
    Commit(usize),
    Drop(usize),
    Report(usize, Rest),
    Clear(usize),
    ResetQuota(usize),
    ResetBudgets,
    SecretChanged(usize),
    Wait(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) strategy: Selection,
    pub(super) limits: Vec<CallLimits>,
    pub(super) quotas: Vec<Vec<QuotaWindow>>,
    pub(super) client: CallLimits,
    pub(super) budgets: Vec<QuotaWindow>,
    pub(super) provider: Option<u32>,
    pub(super) second_tier: bool,
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (prop::option::weighted(0.2, 0..4usize), prop::option::weighted(0.3, 0..3u64))
            .prop_map(|(tried, affinity)| Step::Pick { tried, affinity }),
        6 => (any::<usize>(), any::settled()).prop_map(|(which, settled)| Step::Settle { which, settled }),
        1 => any::<usize>().prop_map(Step::Commit),
        2 => any::<usize>().prop_map(Step::Drop),
        1 => (0..4usize, any::rest()).prop_map(|(name, rest)| Step::Report(name, rest)),
        1 => (0..4usize).prop_map(Step::Clear),
        1 => (0..4usize).prop_map(Step::ResetQuota),
        1 => Just(Step::ResetBudgets),
        1 => (0..4usize).prop_map(Step::SecretChanged),
        6 => (0..30_000u64).prop_map(Step::Wait),
    ]
}

pub(super) fn any_setup() -> impl Strategy<Value = Setup> {
    (
        any::strategy(),
        (prop::collection::vec(any::limits(), 4), any::limits()),
        (prop::collection::vec(any::windows(10), 4), any::windows(40)),
        prop::option::weighted(0.3, 1..6u32),
        any::<bool>(),
    )
        .prop_map(
            |(strategy, (limits, mut client), (quotas, budgets), provider, second_tier)| {
                // The caller is limited widely, or there would be little to see.
                client.concurrency = client.concurrency.map(|limit| limit + 4);
                client.requests_per_minute = client.requests_per_minute.map(|limit| limit * 4);
                Setup {
                    strategy,
                    limits,
                    quotas,
                    client,
                    budgets,
                    provider,
                    second_tier,
                }
            },
        )
}
