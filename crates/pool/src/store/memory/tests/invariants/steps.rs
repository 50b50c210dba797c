//! What may happen, to whom.

use std::time::Duration;

use proptest::prelude::*;
use snapshot::{Calendar, CalendarUnit, CallLimits, Period, QuotaWindow, Strategy as Selection};

use crate::{Headroom, Outcome, Rest, RestEnd, RestReason, RestScope, testing::rolling};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Pick {
        tried: Option<usize>,
        affinity: Option<u64>,
    },
    Settle {
        which: usize,
        outcome: Outcome,
        rest: Option<(RestScope, Rest)>,
        headroom: Option<Headroom>,
        withdraw: bool,
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

fn any_rest() -> impl Strategy<Value = Rest> {
    let reason = prop_oneof![
        Just(RestReason::RateLimited),
        Just(RestReason::QuotaExhausted),
        Just(RestReason::Unauthorized),
        Just(RestReason::Failing)
    ];
    let end = prop_oneof![
        (0..200u64).prop_map(|seconds| RestEnd::Stated(Duration::from_secs(seconds))),
        (0..20_000u64).prop_map(|seconds| RestEnd::Hinted(Duration::from_secs(seconds))),
        Just(RestEnd::Guessed),
        Just(RestEnd::Guessed),
    ];
    (reason, end).prop_map(|(reason, end)| Rest { reason, end })
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Succeeded),
        1 => Just(Outcome::CallerFault),
        2 => Just(Outcome::CredentialFault),
        2 => Just(Outcome::UpstreamFault),
        1 => Just(Outcome::Cancelled),
    ];
    let scope = prop_oneof![Just(RestScope::Credential), Just(RestScope::CredentialAndModel)];
    let rest = prop::option::weighted(0.3, (scope, any_rest()));
    let headroom = (0..1_100_000u32, 0..60u64).prop_map(|(used, seconds)| Headroom {
        used,
        resets_in: Duration::from_secs(seconds),
    });
    let headroom = prop::option::weighted(0.3, headroom);
    let settle = (any::<usize>(), outcome, rest, headroom, any::<bool>());
    prop_oneof![
        10 => (prop::option::weighted(0.2, 0..4usize), prop::option::weighted(0.3, 0..3u64))
            .prop_map(|(tried, affinity)| Step::Pick { tried, affinity }),
        6 => settle.prop_map(|(which, outcome, rest, headroom, withdraw)| Step::Settle {
            which,
            outcome,
            rest,
            headroom,
            withdraw
        }),
        1 => any::<usize>().prop_map(Step::Commit),
        2 => any::<usize>().prop_map(Step::Drop),
        1 => (0..4usize, any_rest()).prop_map(|(name, rest)| Step::Report(name, rest)),
        1 => (0..4usize).prop_map(Step::Clear),
        1 => (0..4usize).prop_map(Step::ResetQuota),
        1 => Just(Step::ResetBudgets),
        1 => (0..4usize).prop_map(Step::SecretChanged),
        6 => (0..30_000u64).prop_map(Step::Wait),
    ]
}

fn any_strategy() -> impl Strategy<Value = Selection> {
    prop_oneof![
        Just(Selection::RoundRobin),
        Just(Selection::Weighted),
        Just(Selection::LeastBusy),
        Just(Selection::MostHeadroom),
        Just(Selection::FillFirst)
    ]
}

fn any_limits() -> impl Strategy<Value = CallLimits> {
    let limit = |range: std::ops::Range<u32>| prop::option::of(range);
    (limit(0..4), limit(0..6), limit(0..50)).prop_map(|(concurrency, requests, tokens)| CallLimits {
        concurrency,
        requests_per_minute: requests,
        tokens_per_minute: tokens.map(u64::from),
    })
}

/// Of so many calls, each of which uses seven tokens.
fn any_windows(calls: u64) -> impl Strategy<Value = Vec<QuotaWindow>> {
    let length = prop_oneof![
        3 => (1..200u64).prop_map(Duration::from_secs).prop_map(Period::Rolling),
        // The clock of the tests starts at 08:00.
        1 => (1..20u8).prop_map(|minute| Period::Calendar(Calendar {
            unit: CalendarUnit::Day,
            hour: 8,
            minute,
            zone: jiff::tz::TimeZone::UTC,
        })),
    ];
    let window = (length, prop::option::of(1..calls), prop::option::of(1..7 * calls));
    prop::collection::vec(window, 0..3).prop_map(|windows| {
        (0..)
            .zip(windows)
            .map(|(number, (period, requests, tokens)): (u32, _)| QuotaWindow {
                period,
                requests,
                tokens,
                ..rolling(&number.to_string(), 0)
            })
            .collect()
    })
}

pub(super) fn any_setup() -> impl Strategy<Value = Setup> {
    (
        any_strategy(),
        (prop::collection::vec(any_limits(), 4), any_limits()),
        (prop::collection::vec(any_windows(10), 4), any_windows(40)),
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
