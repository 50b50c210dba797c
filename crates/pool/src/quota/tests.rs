use std::time::Duration;

use proptest::prelude::*;
use snapshot::{Period, QuotaWindow, RestReason, Timestamp};

use super::{Closed, MILLION, Quota, share, used_ppm};
use crate::{
    Rest, RestEnd,
    score::Lead,
    testing::{START, requests, rolling, tokens},
};

fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn quota(windows: &[QuotaWindow]) -> Quota {
    let mut quota = Quota::default();
    quota.list(windows, START);
    quota
}

#[test]
fn parts_are_rounded_down_and_never_more_than_all() {
    let cases = [
        (0, 7, 0),
        (1, 3, 333_333),
        (2, 3, 666_666),
        (3, 3, MILLION),
        (9, 3, MILLION),
        (0, 0, MILLION),
        (u64::MAX - 1, u64::MAX, 999_999),
    ];
    for (used, limit, expected) in cases {
        assert_eq!(used_ppm(used, limit), expected, "{used} of {limit}");
    }
}

#[test]
fn everybody_gets_a_share_of_what_there_is() {
    for (limit, sharers, expected) in [(10, 1, 10), (10, 3, 3), (2, 3, 1), (0, 3, 0), (10, 0, 10)] {
        assert_eq!(share(limit, sharers), expected, "{limit} among {sharers}");
    }
}

#[test]
fn a_share_closes_earlier() {
    let mut quota = quota(&[requests("a", 60, 10), tokens("b", 120, 100)]);
    for _ in 0..3 {
        assert_eq!(quota.closed(0, 3, at(0)), None);
        quota.begin(at(0));
    }
    assert_eq!(
        quota.closed(0, 3, at(0)),
        Some(Closed::Until(at(60))),
        "three of ten"
    );
    assert_eq!(quota.closed(0, 1, at(0)), None, "alone it has ten");
    assert_eq!(quota.closed(33, 3, at(60)), Some(Closed::UnderWay), "33 of 100");
    quota.add_tokens(33, at(60));
    assert_eq!(quota.closed(0, 3, at(60)), Some(Closed::Until(at(120))));
}

#[test]
fn a_limit_of_zero_is_closed_before_it_begins() {
    let mut quota = quota(&[requests("a", 60, 0)]);
    assert_eq!(quota.closed(0, 4, at(7)), Some(Closed::Until(at(67))));
}

#[test]
fn a_call_that_names_former_windows_does_not_make_others_forget() {
    let (before, after) = ([requests("a", 60, 5), tokens("b", 60, 5)], [requests("a", 60, 5)]);
    let mut quota = quota(&before);
    quota.begin(at(0));
    quota.add_tokens(3, at(0));
    quota.list(&after, at(1));
    quota.begin(at(1));
    let names = |quota: &Quota| {
        let states = quota.states(at(2)).into_iter();
        states
            .map(|state| (state.name.to_string(), state.requests, state.tokens))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&quota), [("a".to_owned(), 2, 3)]);
    quota.list(&before, at(2));
    let expected = [("a".to_owned(), 2, 3), ("b".to_owned(), 1, 3)];
    assert_eq!(names(&quota), expected, "what b knew is still there");
    for number in 0..100 {
        quota.list(&[rolling(&number.to_string(), 60)], at(3));
    }
    assert!(quota.windows.len() <= super::KEPT, "but not without bound");
}

#[test]
fn a_lead_fades_with_the_first_of_its_parts() {
    let mut quota = quota(&[requests("a", 60, 10), tokens("b", 30, 100), rolling("c", 5)]);
    assert_eq!(quota.lead(at(0)), Lead::default(), "nothing is used");
    quota.begin(at(0));
    let lead = |value, seconds| Lead {
        value,
        fades: Some(at(seconds)),
    };
    assert_eq!(quota.lead(at(0)), lead(100_000, 60), "only what counts fades");
    quota.add_tokens(50, at(1));
    assert_eq!(quota.lead(at(1)), lead(500_000, 30));
    assert_eq!(quota.lead(at(30)), lead(100_000, 60), "tokens are over");
    assert_eq!(quota.lead(at(60)), Lead::default(), "and so are requests");
}

#[test]
fn only_a_guess_about_quota_is_replaced_by_what_windows_know() {
    let mut quota = quota(&[rolling("long", 600), rolling("short", 60)]);
    let rest = |reason, end| Rest { reason, end };
    let guessed = rest(RestReason::QuotaExhausted, RestEnd::Guessed);
    assert_eq!(quota.dated(guessed, at(0)), guessed, "none has begun");
    quota.begin(at(0));
    let until = |seconds| {
        rest(
            RestReason::QuotaExhausted,
            RestEnd::Stated(Duration::from_secs(seconds)),
        )
    };
    assert_eq!(quota.dated(guessed, at(10)), until(50), "the first end");
    assert_eq!(
        quota.dated(guessed, at(70)),
        until(530),
        "of those that have not ended"
    );
    for kept in [
        rest(RestReason::RateLimited, RestEnd::Guessed),
        rest(
            RestReason::QuotaExhausted,
            RestEnd::Hinted(Duration::from_secs(7)),
        ),
        until(9),
    ] {
        assert_eq!(quota.dated(kept, at(10)), kept);
    }
}

proptest! {
    #[test]
    fn no_period_holds_more_than_its_limit(
        limit in 1u64..5,
        length in 1u64..100,
        steps in proptest::collection::vec(0u64..40, 1..200),
    ) {
        let mut quota = quota(&[requests("a", length, limit)]);
        let mut now = 0;
        let mut began: Option<(u64, u64)> = None;
        for step in steps {
            now += step;
            // What an observer expects: the first request after an end begins the next period.
            let (start, count) = began.filter(|(start, _)| now < start + length).unwrap_or((now, 0));
            let closed = quota.closed(0, 1, at(now));
            if count < limit {
                prop_assert_eq!(closed, None);
                quota.begin(at(now));
                began = Some((start, count + 1));
            } else {
                prop_assert_eq!(closed, Some(Closed::Until(at(start + length))));
            }
        }
        prop_assert!(matches!(quota.windows[0].window.period, Period::Rolling(_)));
    }
}
