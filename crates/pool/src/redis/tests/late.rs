//! The store hears late of what was used.

use std::time::Duration;

use snapshot::{Calendar, CalendarUnit, Period, QuotaWindow, Strategy};

use super::fleet::{Fleet, GENEROUS, PACE, PREFIX, eventually, heard, per_minute, used, world};
use crate::{
    Clock,
    redis::tag::Pace,
    testing::{World, member, requests, rolling, with_quota},
};

#[tokio::test]
async fn what_was_used_before_the_first_contact_is_charged_once() {
    let mut limited = with_quota("a", &[requests("day", 86_400, 100)]);
    limited.limits = per_minute(100);
    let world = World::new(Strategy::RoundRobin, &[limited]);
    let mut fleet = Fleet::by_hand(world, 1, GENEROUS, PACE).await;
    fleet.server.kill();
    fleet.a().reaches(false).await;
    for _ in 0..7 {
        fleet.a().lease(&fleet.world).await.settle(used(10));
    }
    let held = fleet.a().lease(&fleet.world).await;
    fleet.server.restart().await;
    fleet.a().reaches(true).await;
    heard(fleet.a()).await;
    assert_eq!(fleet.a().windows(&fleet.world).await, [(8, 70)], "of the window");
    let minute = format!("{PREFIX}:{{p:ns/p}}:r:a");
    assert_eq!(fleet.server.cli(&["HGET", &minute, "rs"]), "8", "of the minute");
    held.settle(used(10));
    heard(fleet.a()).await;
    assert_eq!(fleet.a().windows(&fleet.world).await, [(8, 80)], "and none again");
    fleet.is_quiet().await;
}

#[tokio::test]
async fn windows_by_the_calendar_are_charged_with_what_was_used_away() {
    let day = QuotaWindow {
        period: Period::Calendar(Calendar {
            unit: CalendarUnit::Day,
            hour: 9,
            minute: 0,
            zone: jiff::tz::TimeZone::UTC,
        }),
        ..rolling("day", 0)
    };
    let members = [member("a"), member("b"), with_quota("c", &[day])];
    let world = World::new(Strategy::RoundRobin, &members);
    let mut fleet = Fleet::by_hand(world, 1, GENEROUS, PACE).await;
    fleet.server.kill();
    fleet.a().reaches(false).await;
    let held = fleet.a().leases(&fleet.world, 3).await;
    fleet.server.restart().await;
    fleet.a().reaches(true).await;
    heard(fleet.a()).await;
    assert_eq!(fleet.a().in_flight(&fleet.world).await, [1, 1, 1], "all are told");
    assert_eq!(fleet.a().windows(&fleet.world).await, [(1, 0)], "that of c");
    for lease in held {
        lease.settle(used(5));
    }
    heard(fleet.a()).await;
    assert_eq!(fleet.a().windows(&fleet.world).await, [(1, 5)], "that of c");
    fleet.is_quiet().await;
}

#[tokio::test]
async fn what_is_told_late_leaves_the_count_of_a_minute_right() {
    let mut limited = member("a");
    limited.limits.tokens_per_minute = Some(1_000);
    let world = World::new(Strategy::RoundRobin, &[limited]);
    let pace = Pace {
        beat: Duration::from_millis(100),
        ..PACE
    };
    let fleet = Fleet::by_hand(world, 2, GENEROUS, pace).await;
    let (a, b, world) = (fleet.a(), fleet.b(), &fleet.world);
    let lease = a.lease(world).await;
    heard(a).await;
    let tag = a.tag();
    lease.settle(used(7));
    // It is not heard as long as this is on its way.
    let sending = tag.send().expect("there is something to say");
    for (seconds, tokens) in [(14, 3), (50, 2)] {
        fleet.step(Duration::from_secs(seconds)).await;
        eventually("it lives, though it is not heard", async || {
            fleet.signed("a") == Some(world.clock.now().as_micros())
        })
        .await;
        b.lease(world).await.settle(used(tokens));
        heard(b).await;
    }
    drop(sending);
    heard(a).await;
    let minute = format!("{PREFIX}:{{p:ns/p}}:r:a");
    assert_eq!(
        fleet.server.cli(&["HGET", &minute, "ts"]),
        "5",
        "of the last minute"
    );
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_minute_of_a_caller_ages_by_the_second() {
    let mut world = world("abc");
    world.limits = per_minute(4);
    let fleet = Fleet::by_hand(world, 1, GENEROUS, PACE).await;
    let enters = async || {
        let Some((admission, lease)) = fleet.a().enter(&fleet.world).await else {
            return false;
        };
        lease.settle(used(1));
        admission.settle(1);
        heard(fleet.a()).await;
        true
    };
    for (seconds, expected) in [
        (0, [true, true, true]),
        (30, [true, false, false]),
        (32, [true, true, true]),
        (1, [false, false, false]),
    ] {
        fleet.step(Duration::from_secs(seconds)).await;
        let found = [enters().await, enters().await, enters().await];
        assert_eq!(found, expected, "after another {seconds} s");
    }
    fleet.is_quiet().await;
}

#[tokio::test]
async fn ends_of_a_caller_that_are_told_together_count_in_their_seconds() {
    let mut world = world("abc");
    world.limits.tokens_per_minute = Some(1_000);
    let pace = Pace {
        beat: Duration::from_millis(100),
        ..PACE
    };
    let fleet = Fleet::by_hand(world, 1, GENEROUS, pace).await;
    let key = format!("{PREFIX}:{{c:ns/client}}");
    let end = async |tokens| {
        let entered = fleet.a().enter(&fleet.world).await;
        let (admission, lease) = entered.expect("there is room");
        lease.settle(used(tokens));
        admission.settle(tokens);
        fleet.world.clock.now().as_micros() / 1_000_000
    };
    let first = end(7).await;
    let tags = fleet.a().pool.shared.store.tags();
    let tag = tags.iter().find(|tag| tag.key() == key).expect("it is in use");
    // What ends meanwhile is told in one batch.
    let sending = tag.send();
    let mut seconds = vec![(first, 7)];
    for tokens in [3, 2] {
        fleet.step(Duration::from_secs(1)).await;
        seconds.push((end(tokens).await, tokens));
    }
    drop(sending);
    heard(fleet.a()).await;
    for (second, tokens) in seconds {
        let field = format!("t{}", second % 64);
        let counted = fleet.server.cli(&["HGET", &key, &field]);
        assert_eq!(counted, tokens.to_string(), "in second {second}");
    }
    assert_eq!(fleet.server.cli(&["HGET", &key, "ts"]), "12", "in all");
    fleet.is_quiet().await;
}
