use std::{collections::HashSet, sync::Arc, time::Duration};

use snapshot::{ClientName, Timestamp};

use super::{Attempt, Call, Ledger};
use crate::{
    TokenCounts,
    testing::{START, credential, provider_name},
    usage::{Counts, Day, Dimension, OTHER, Row, Tally},
};

const DAY: Duration = Duration::from_hours(24);

const USAGE: TokenCounts = TokenCounts {
    input: 100,
    cached: 40,
    cache_write: 10,
    output: 20,
    reasoning: 5,
};

fn client() -> ClientName {
    "ns/client".parse().unwrap()
}

fn call(client: &ClientName) -> Call<'_> {
    Call {
        client,
        route: "route",
    }
}

fn rows(ledger: &Ledger) -> Vec<Row> {
    ledger.usage(&Day::ALL, None).rows
}

/// The numbers that all rows have.
fn tally(ledger: &Ledger) -> Tally {
    let rows = rows(ledger);
    let tally = rows.first().expect("something was counted").tally;
    assert!(rows.iter().all(|row| row.tally == tally), "{rows:?}");
    tally
}

fn begin_at(ledger: &Arc<Ledger>, now: Timestamp) -> super::Open {
    ledger.begin_call(now, call(&client()), 50)
}

#[test]
fn a_call_is_counted_when_it_begins_and_its_tokens_when_it_ends() {
    let ledger = Arc::new(Ledger::default());
    let open = begin_at(&ledger, START);
    let mut expected = Tally {
        counts: Counts {
            requests: 1,
            ..Counts::default()
        },
        open: 1,
        reserved: 50,
    };
    assert_eq!(tally(&ledger), expected);
    open.end(Some(USAGE), false);
    expected.open = 0;
    expected.reserved = 0;
    expected.counts.tokens = USAGE;
    assert_eq!(tally(&ledger), expected);
}

#[test]
fn a_guessed_end_is_marked() {
    let ledger = Arc::new(Ledger::default());
    begin_at(&ledger, START).end(Some(USAGE), true);
    begin_at(&ledger, START).end(None, true);
    let expected = Counts {
        requests: 2,
        tokens: USAGE,
        estimated_requests: 2,
        estimated_tokens: 120,
    };
    assert_eq!(tally(&ledger).counts, expected);
}

#[test]
fn a_dropped_guard_only_gives_back_what_is_open() {
    let ledger = Arc::new(Ledger::default());
    drop(begin_at(&ledger, START));
    let expected = Tally {
        counts: Counts {
            requests: 1,
            ..Counts::default()
        },
        open: 0,
        reserved: 0,
    };
    assert_eq!(tally(&ledger), expected);
}

#[test]
fn an_attempt_is_counted_by_provider_credential_and_model() {
    let ledger = Arc::new(Ledger::default());
    let attempt = Attempt {
        provider: &provider_name(),
        credential: &credential("a"),
        model: "model",
    };
    ledger.begin_attempt(START, attempt, 0).end(Some(USAGE), false);
    let rows = rows(&ledger);
    let named: Vec<_> = rows.iter().map(|row| (row.dimension, &*row.name)).collect();
    assert_eq!(
        named,
        [
            (Dimension::Provider, "ns/p"),
            (Dimension::Credential, "ns/a"),
            (Dimension::Model, "model"),
        ]
    );
    assert_eq!(tally(&ledger).counts.tokens, USAGE);
}

#[test]
fn a_call_belongs_to_the_day_in_which_it_began() {
    let ledger = Arc::new(Ledger::default());
    let open = begin_at(&ledger, START);
    drop(begin_at(&ledger, START + DAY));
    open.end(Some(USAGE), false);
    let today = Day::of(START);
    let first = ledger.usage(&(today..=today), Some(Dimension::Client)).rows;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].tally.counts.tokens, USAGE);
    assert_eq!(rows(&ledger).len(), 4);
}

#[test]
fn names_beyond_the_bound_and_long_names_are_counted_as_other() {
    let ledger = Arc::new(Ledger::default());
    let client = client();
    let most = Dimension::Route.most_names();
    let long = "x".repeat(257);
    for number in 0..most + 5 {
        let route = format!("route {number}");
        let call = Call {
            client: &client,
            route: &route,
        };
        drop(ledger.begin_call(START, call, 0));
    }
    let call = Call {
        client: &client,
        route: &long,
    };
    drop(ledger.begin_call(START, call, 0));
    let rows = rows(&ledger);
    let routes: Vec<_> = rows
        .iter()
        .filter(|row| row.dimension == Dimension::Route)
        .collect();
    assert_eq!(routes.len(), most + 1);
    let other = routes.iter().find(|row| &*row.name == OTHER).unwrap();
    assert_eq!(other.tally.counts.requests, 6);
}

#[test]
fn a_change_is_taken_once_until_it_is_given_back() {
    let ledger = Arc::new(Ledger::default());
    let open = begin_at(&ledger, START);
    let changes = ledger.take_changes(10).unwrap();
    assert_eq!(changes.cells.len(), 2);
    assert!(ledger.take_changes(10).is_none(), "nothing changed since");
    ledger.untake(&changes);
    open.end(Some(USAGE), false);
    let again = ledger.take_changes(10).unwrap();
    assert_eq!(again.cells.len(), 2, "each name once, however often it changed");
    assert!(
        again
            .cells
            .iter()
            .all(|change| change.tally.counts.tokens == USAGE)
    );
    ledger.untake_all();
    let mut names = HashSet::new();
    while let Some(changes) = ledger.take_changes(1) {
        assert_eq!(changes.cells.len(), 1, "as many as asked for");
        names.extend(changes.cells.into_iter().map(|change| change.name));
    }
    assert_eq!(names.len(), 2);
}

#[test]
fn a_day_is_forgotten_when_it_is_over_and_nothing_is_open_or_untold() {
    let ledger = Arc::new(Ledger::default());
    let (today, tomorrow) = (Day::of(START), Day::of(START + DAY));
    let open = begin_at(&ledger, START);
    ledger.take_changes(10);
    ledger.forget_before(today);
    ledger.forget_before(tomorrow);
    assert_eq!(ledger.days(), [today], "a call is open");
    open.end(None, false);
    ledger.forget_before(tomorrow);
    assert_eq!(ledger.days(), [today], "its end has not been taken");
    ledger.take_changes(10);
    ledger.forget_before(tomorrow);
    assert_eq!(ledger.days(), []);
    drop(begin_at(&ledger, START));
    assert_eq!(
        ledger.days(),
        [tomorrow],
        "the old day would begin again from zero"
    );
}

#[test]
fn a_process_that_nobody_listens_to_keeps_a_bounded_number_of_days() {
    let ledger = Arc::new(Ledger::default());
    let kept = begin_at(&ledger, START);
    for day in 1..=100 {
        drop(begin_at(&ledger, START + DAY * day));
        drop(begin_at(&ledger, START + DAY * (day - 1)));
    }
    let days = ledger.days();
    assert_eq!(days.len(), super::DAYS);
    assert_eq!(days[0], Day::of(START), "a call is open");
    assert_eq!(days[1], Day::of(START + DAY * 67));
    kept.end(Some(USAGE), false);
    assert_eq!(rows(&ledger)[0].tally.counts.tokens, USAGE);
}

#[test]
fn numbers_beyond_belief_do_not_overflow() {
    let ledger = Arc::new(Ledger::default());
    let absurd = TokenCounts {
        input: u64::MAX,
        output: u64::MAX,
        ..TokenCounts::default()
    };
    for _ in 0..100 {
        let open = ledger.begin_call(START, call(&client()), u64::MAX);
        open.end(Some(absurd), true);
    }
    assert!(tally(&ledger).counts.estimated_tokens < 1 << 53);
}
