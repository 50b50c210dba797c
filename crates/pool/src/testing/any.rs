//! What may be said of anybody in random tests.

use std::{ops::Range, time::Duration};

use proptest::prelude::*;
use snapshot::{
    Calendar, CalendarUnit, CallLimits, Period, QuotaWindow, RestReason, RestScope, Strategy as Selection,
};

use super::rolling;
use crate::{Headroom, Outcome, Rest, RestEnd, Settled, TokenCounts};

/// How members are chosen.
pub(crate) fn strategy() -> impl Strategy<Value = Selection> {
    prop_oneof![
        Just(Selection::RoundRobin),
        Just(Selection::Weighted),
        Just(Selection::LeastBusy),
        Just(Selection::MostHeadroom),
        Just(Selection::FillFirst)
    ]
}

/// Limits that a few calls reach.
pub(crate) fn limits() -> impl Strategy<Value = CallLimits> {
    let limit = |range: Range<u32>| prop::option::of(range);
    (limit(0..4), limit(0..6), limit(0..50)).prop_map(|(concurrency, requests, tokens)| CallLimits {
        concurrency,
        requests_per_minute: requests,
        tokens_per_minute: tokens.map(u64::from),
    })
}

/// Windows of so many calls, each of which uses seven tokens.
pub(crate) fn windows(calls: u64) -> impl Strategy<Value = Vec<QuotaWindow>> {
    let window = (
        period(),
        prop::option::of(1..calls),
        prop::option::of(1..7 * calls),
    );
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

fn period() -> impl Strategy<Value = Period> {
    let unit = prop_oneof![
        4 => Just(CalendarUnit::Day),
        1 => Just(CalendarUnit::Week(jiff::civil::Weekday::Friday)),
        1 => Just(CalendarUnit::Month(15)),
    ];
    // The clock of the tests starts on a Friday, the 15th, at 08:00.
    let calendar = (unit, 1..20u8).prop_map(|(unit, minute)| {
        Period::Calendar(Calendar {
            unit,
            hour: 8,
            minute,
            zone: jiff::tz::TimeZone::UTC,
        })
    });
    prop_oneof![
        3 => (1..200u64).prop_map(Duration::from_secs).prop_map(Period::Rolling),
        1 => calendar,
    ]
}

/// A rest for any reason, with any end.
pub(crate) fn rest() -> impl Strategy<Value = Rest> {
    let reason = prop_oneof![
        Just(RestReason::RateLimited),
        Just(RestReason::QuotaExhausted),
        Just(RestReason::Unauthorized),
        Just(RestReason::AccountBlocked),
        Just(RestReason::ModelUnavailable),
        Just(RestReason::Failing)
    ];
    let end = prop_oneof![
        4 => (0..200u64).prop_map(|seconds| RestEnd::Stated(Duration::from_secs(seconds))),
        1 => (0..40u64).prop_map(|days| RestEnd::Stated(Duration::from_secs(days * 24 * 3600))),
        2 => (0..20_000u64).prop_map(|seconds| RestEnd::Hinted(Duration::from_secs(seconds))),
        2 => (0..90_000u64).prop_map(|millis| RestEnd::For(Duration::from_millis(millis))),
        9 => Just(RestEnd::Guessed),
    ];
    (reason, end).prop_map(|(reason, end)| Rest { reason, end })
}

fn about_key() -> impl Strategy<Value = RestReason> {
    prop_oneof![
        Just(RestReason::Unauthorized),
        Just(RestReason::AccountBlocked),
        Just(RestReason::Failing),
        Just(RestReason::ModelUnavailable),
    ]
}

/// The end of an attempt.
pub(crate) fn settled() -> impl Strategy<Value = Settled> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Succeeded),
        1 => Just(Outcome::CallerFault),
        2 => Just(Outcome::CredentialFault),
        2 => Just(Outcome::UpstreamFault),
        1 => Just(Outcome::Cancelled),
    ];
    let scope = prop_oneof![Just(RestScope::Credential), Just(RestScope::CredentialAndModel)];
    let headroom = (0..1_100_000u32, 0..60u64).prop_map(|(used, seconds)| Headroom {
        used,
        resets_in: Duration::from_secs(seconds),
    });
    let usage = (0..12u64, 0..4u64).prop_map(|(input, output)| TokenCounts {
        input,
        output,
        ..TokenCounts::default()
    });
    let anything = (outcome, prop::option::weighted(0.3, (scope, rest())));
    // Many of these together speak of the Provider.
    let refusal = about_key().prop_map(|reason| {
        let end = RestEnd::Guessed;
        let rest = (RestScope::Credential, Rest { reason, end });
        (Outcome::CredentialFault, Some(rest))
    });
    (
        prop_oneof![3 => anything, 1 => refusal],
        prop::option::weighted(0.8, usage),
        prop::option::weighted(0.3, headroom),
    )
        .prop_map(|((outcome, rest), usage, headroom)| Settled {
            outcome,
            usage,
            rest,
            headroom,
        })
}
