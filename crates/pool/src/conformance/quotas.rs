//! What an account allows within longer periods.

use std::time::Duration;

use snapshot::{Calendar, CalendarUnit, Period, QuotaWindow, RestReason, RestScope, Strategy, Timestamp};

use super::{Bench, guessed, name_of, refuse, refused, stated, succeed, used};
use crate::{
    Member, NoneUsable, Outcome, Settled, Store, WindowState,
    rest::ladder,
    testing::{START, World, credential, lane, member, provider_name, requests, rolling, tokens, with_quota},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    a_rolling_window_begins_with_a_request_and_closes_at_its_limit(make).await;
    a_calendar_window_begins_anew_with_its_day(make).await;
    tokens_count_in_the_period_in_which_they_become_known(make).await;
    tokens_of_calls_under_way_are_held(make).await;
    of_closed_windows_and_rests_the_latest_end_counts(make).await;
    a_credential_out_of_quota_is_passed_over(make).await;
    a_window_without_numbers_closes_on_a_refusal(make).await;
    a_reset_begins_the_windows_anew_and_ends_rests_for_lack_of_quota(make).await;
    counts_stay_with_the_name_of_their_window(make).await;
    a_reported_lack_of_quota_ends_with_the_period(make).await;
}

const HOUR: u64 = 3600;

fn world(windows: &[QuotaWindow]) -> World {
    World::new(Strategy::RoundRobin, &[with_quota("a", windows)])
}

/// Every day at 09:00 UTC. The clock of the tests starts at 08:00.
fn daily(name: &str) -> QuotaWindow {
    QuotaWindow {
        period: Period::Calendar(Calendar {
            unit: CalendarUnit::Day,
            hour: 9,
            minute: 0,
            zone: jiff::tz::TimeZone::UTC,
        }),
        ..rolling(name, 0)
    }
}

fn exhausted(soonest: Timestamp) -> NoneUsable {
    NoneUsable::Resting {
        soonest,
        reason: RestReason::QuotaExhausted,
    }
}

/// The windows of the first member: name, requests, tokens and seconds until the end.
async fn windows<S: Store>(bench: &Bench<S>) -> Vec<(String, u64, u64, u64)> {
    let members = &bench.world.lanes[0].members()[..1];
    let mut states = bench.pool.look_up(&provider_name(), members).await;
    let state = states.remove(0);
    let seen = |window: &WindowState| {
        let left = window.resets_at.since(bench.after(0)).as_secs();
        (window.name.to_string(), window.requests, window.tokens, left)
    };
    state.windows.iter().map(seen).collect()
}

fn seen(name: &str, requests: u64, tokens: u64, left: u64) -> (String, u64, u64, u64) {
    (name.to_owned(), requests, tokens, left)
}

async fn a_rolling_window_begins_with_a_request_and_closes_at_its_limit<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, world(&[requests("5h", 5 * HOUR, 2)]));
    assert_eq!(windows(&bench).await, [], "nobody has asked for anything yet");
    bench.step(HOUR);
    succeed(bench.lease().await);
    bench.step(HOUR);
    drop(bench.lease().await);
    assert_eq!(
        windows(&bench).await,
        [seen("5h", 2, 0, 4 * HOUR)],
        "cancelled calls count too"
    );
    assert_eq!(bench.none().await, exhausted(bench.after(4 * HOUR)));
    bench.step(4 * HOUR - 1);
    bench.world.clock.step(Duration::from_micros(999_999));
    bench.none().await;
    bench.world.clock.step(Duration::from_micros(1));
    assert_eq!(windows(&bench).await, [], "it has ended");
    bench.step(HOUR);
    let lease = bench.lease().await;
    assert!(!lease.is_probe(), "the end was known");
    assert_eq!(
        windows(&bench).await,
        [seen("5h", 1, 0, 5 * HOUR)],
        "and begins with the next request"
    );
}

async fn a_calendar_window_begins_anew_with_its_day<S: Store>(make: &impl Fn() -> S) {
    let day = QuotaWindow {
        requests: Some(1),
        ..daily("day")
    };
    let bench = Bench::new(make, world(&[day]));
    assert_eq!(
        windows(&bench).await,
        [seen("day", 0, 0, HOUR)],
        "a day has always begun"
    );
    bench.calls(1).await;
    assert_eq!(bench.none().await, exhausted(bench.after(HOUR)));
    bench.step(HOUR);
    assert_eq!(windows(&bench).await, [seen("day", 0, 0, 24 * HOUR)]);
    bench.step(HOUR);
    bench.calls(1).await;
    assert_eq!(bench.none().await, exhausted(bench.after(23 * HOUR)));
}

async fn tokens_count_in_the_period_in_which_they_become_known<S: Store>(make: &impl Fn() -> S) {
    let day = QuotaWindow {
        tokens: Some(1000),
        ..daily("day")
    };
    let bench = Bench::new(make, world(&[tokens("30m", 1800, 1000), day]));
    bench.lease().await.settle(used(60));
    let late = bench.lease().await;
    let expected = [seen("30m", 2, 60, 1800), seen("day", 2, 60, HOUR)];
    assert_eq!(windows(&bench).await, expected);
    bench.step(1800);
    late.settle(used(61));
    assert_eq!(
        windows(&bench).await,
        [seen("day", 2, 121, 1800)],
        "there is no half hour that they could count in"
    );
    let late = bench.lease().await;
    bench.step(1800);
    let current = bench.lease().await;
    late.settle(used(62));
    let expected = [seen("30m", 1, 62, 1800), seen("day", 1, 62, 24 * HOUR)];
    assert_eq!(windows(&bench).await, expected, "in the new ones");
    current.settle(Settled::new(Outcome::Cancelled));
    assert_eq!(windows(&bench).await, expected, "nothing is known of this one");
}

async fn tokens_of_calls_under_way_are_held<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, world(&[tokens("5h", 5 * HOUR, 100)]));
    bench.lease().await.settle(used(60));
    let lease = bench.lease().await;
    assert_eq!(bench.pool.states()[0].reserved_tokens, 60);
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(1)
        },
        "60 are used and 60 are expected"
    );
    lease.settle(used(20));
    let lease = bench.lease().await;
    bench.step(HOUR);
    lease.settle(used(40));
    assert_eq!(
        bench.none().await,
        exhausted(bench.after(4 * HOUR)),
        "120 are used"
    );
    bench.step(4 * HOUR);
    let _lease = bench.lease().await;
    assert_eq!(
        windows(&bench).await,
        [seen("5h", 1, 0, 5 * HOUR)],
        "what was used beyond the limit is forgotten with its period"
    );
}

async fn of_closed_windows_and_rests_the_latest_end_counts<S: Store>(make: &impl Fn() -> S) {
    let both = [requests("short", 100, 1), requests("long", 1000, 2)];
    let bench = Bench::new(make, world(&both));
    bench.calls(1).await;
    assert_eq!(bench.none().await, exhausted(bench.after(100)));
    bench.step(100);
    bench.calls(1).await;
    assert_eq!(bench.none().await, exhausted(bench.after(900)), "both are closed");
    bench.report("a", guessed(RestReason::RateLimited));
    assert_eq!(
        bench.none().await,
        exhausted(bench.after(900)),
        "the rest is shorter"
    );
    let mut blocked = stated(950);
    blocked.reason = RestReason::AccountBlocked;
    bench.report("a", blocked);
    assert_eq!(
        bench.none().await,
        NoneUsable::Resting {
            soonest: bench.after(950),
            reason: RestReason::AccountBlocked
        }
    );
    bench.step(950);
    bench.calls(1).await;
}

async fn a_credential_out_of_quota_is_passed_over<S: Store>(make: &impl Fn() -> S) {
    let members = [with_quota("a", &[requests("1h", HOUR, 2)]), member("b")];
    let mut world = World::new(Strategy::RoundRobin, &members);
    world.provider.selection.max_wait = Duration::from_secs(10);
    let bench = Bench::new(make, world);
    assert_eq!(bench.calls(7).await, "ababbbb");
    bench.report("b", stated(600));
    assert_eq!(
        bench.none().await,
        exhausted(bench.after(600)),
        "both rest, and nobody waits for that"
    );
    bench.step(HOUR);
    assert_eq!(bench.calls(5).await, "ababb", "the next hour");
}

async fn a_window_without_numbers_closes_on_a_refusal<S: Store>(make: &impl Fn() -> S) {
    let quota = guessed(RestReason::QuotaExhausted);
    let first_guess = ladder(RestReason::QuotaExhausted, 1).as_secs();
    let both = [rolling("5h", 5 * HOUR), daily("day")];
    for report in [false, true] {
        // Half a day before the day ends, which is long after the five hours do.
        let bench = Bench::new(make, world(&both));
        bench.step(13 * HOUR);
        let lease = bench.lease().await;
        bench.step(HOUR);
        if report {
            bench.report("a", quota);
        } else {
            lease.settle(refused(quota));
        }
        let expected = exhausted(bench.after(4 * HOUR));
        assert_eq!(bench.none().await, expected, "reported: {report}");
        bench.step(4 * HOUR);
        let lease = bench.lease().await;
        assert!(!lease.is_probe(), "it reopens fully");
        bench.step(4 * HOUR);
        lease.settle(refused(quota));
        assert_eq!(bench.none().await, exhausted(bench.after(HOUR)), "an hour later");
    }

    let bench = Bench::new(make, world(&both));
    bench
        .lease()
        .await
        .settle(refused(guessed(RestReason::RateLimited)));
    bench.step(5);
    assert!(
        bench.lease().await.is_probe(),
        "about other reasons windows know nothing"
    );

    let bench = Bench::new(make, world(&both));
    bench.lease().await.settle(Settled {
        rest: Some((RestScope::CredentialAndModel, quota)),
        ..Settled::new(Outcome::CredentialFault)
    });
    assert_eq!(
        bench.none().await,
        exhausted(bench.after(first_guess)),
        "nor about one model"
    );

    let bench = Bench::new(make, world(&both));
    bench.lease().await.settle(refused(stated(60)));
    assert_eq!(
        bench.none().await,
        exhausted(bench.after(60)),
        "the upstream knows better"
    );

    let bench = Bench::new(make, world(&both[..1]));
    let lease = bench.lease().await;
    bench.step(5 * HOUR);
    lease.settle(refused(quota));
    assert_eq!(
        bench.none().await,
        exhausted(bench.after(first_guess)),
        "the five hours have ended: nobody knows"
    );
}

async fn a_reset_begins_the_windows_anew_and_ends_rests_for_lack_of_quota<S: Store>(make: &impl Fn() -> S) {
    let day = QuotaWindow {
        requests: Some(9),
        ..daily("day")
    };
    let bench = Bench::new(make, world(&[tokens("5h", 5 * HOUR, 100), day]));
    let reset = || bench.pool.reset_quota(&provider_name(), &credential("a"));
    let late = bench.lease().await;
    bench.lease().await.settle(used(100));
    assert_eq!(bench.none().await, exhausted(bench.after(5 * HOUR)));
    reset();
    late.settle(used(50));
    assert_eq!(
        windows(&bench).await,
        [seen("day", 0, 50, HOUR)],
        "what was under way counts in the day, which has begun"
    );
    for scope in [RestScope::Credential, RestScope::CredentialAndModel] {
        bench.lease().await.settle(Settled {
            rest: Some((scope, stated(600))),
            ..Settled::new(Outcome::CredentialFault)
        });
        assert_eq!(bench.none().await, exhausted(bench.after(600)), "{scope:?}");
        reset();
        assert_eq!(bench.calls(1).await, "a", "{scope:?}");
    }
    reset();
    refuse(bench.lease().await, RestReason::Unauthorized);
    reset();
    assert!(
        matches!(bench.none().await, NoneUsable::Resting { .. }),
        "a wrong key is not made right"
    );
}

async fn counts_stay_with_the_name_of_their_window<S: Store>(make: &impl Fn() -> S) {
    let mut bench = Bench::new(
        make,
        world(&[requests("5h", 5 * HOUR, 2), tokens("week", 168 * HOUR, 1000)]),
    );
    bench.lease().await.settle(used(10));
    bench.lease().await.settle(used(10));
    bench.none().await;
    let raised: Vec<Member> = vec![with_quota(
        "a",
        &[
            tokens("week", 100 * HOUR, 1000),
            requests("5h", 5 * HOUR, 3),
            rolling("new", HOUR),
        ],
    )];
    bench.world.lanes = vec![lane("model", Strategy::RoundRobin, &raised)];
    bench.step(HOUR);
    let lease = bench.lease().await;
    assert_eq!(name_of(&lease), "a", "one more is allowed");
    assert_eq!(
        windows(&bench).await,
        [
            seen("week", 3, 20, 99 * HOUR),
            seen("5h", 3, 20, 4 * HOUR),
            seen("new", 1, 0, HOUR)
        ],
        "since {START}"
    );
    assert_eq!(bench.none().await, exhausted(bench.after(4 * HOUR)));
}

async fn a_reported_lack_of_quota_ends_with_the_period<S: Store>(make: &impl Fn() -> S) {
    let members = [member("a"), with_quota("b", &[daily("day")])];
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members));
    assert_eq!(name_of(&bench.lease().await), "a", "nothing went to b");
    bench.report("b", guessed(RestReason::QuotaExhausted));
    let state = bench.pool.look_up(&provider_name(), &members).await.remove(1);
    let ends: Vec<_> = state.rests.iter().map(|rest| rest.until).collect();
    assert_eq!(ends, [bench.after(HOUR)], "at 09:00, when it has quota again");
}
