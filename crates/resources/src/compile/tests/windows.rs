//! Quotas and budgets.

use std::time::Duration;

use jiff::{civil::Weekday, tz::TimeZoneDatabase};
use serde_json::{Value, json};
use snapshot::{Calendar, CalendarUnit, Period, QuotaWindow, Strategy, WhenStoreIsAway};

use super::{World, message, provider, reason};
use crate::{Kind, Reason};

fn compiled(windows: &Value) -> super::Compiled {
    World::default()
        .provider("up", json!({}))
        .credential("one", json!({"quota": {"windows": windows}}))
        .secret("one", "sk-1")
        .client("me", json!({"budgets": windows}))
        .secret("me", "canary-canary-canary-canary")
        .compile()
}

fn calendar(unit: CalendarUnit, hour: u8, minute: u8, zone: &str) -> Period {
    let zone = TimeZoneDatabase::bundled().get(zone).expect("a known zone");
    Period::Calendar(Calendar {
        unit,
        hour,
        minute,
        zone,
    })
}

#[test]
fn windows_are_what_was_written_with_defaults() {
    let cases = [
        (
            json!({"duration": "5h", "requests": 100}),
            Period::Rolling(Duration::from_secs(5 * 3600)),
            (Some(100), None),
        ),
        (
            json!({"calendar": {"unit": "Day"}, "tokens": 7}),
            calendar(CalendarUnit::Day, 0, 0, "UTC"),
            (None, Some(7)),
        ),
        (
            json!({"calendar": {"unit": "Week", "time": "09:05", "timeZone": "Asia/Shanghai"}}),
            calendar(CalendarUnit::Week(Weekday::Monday), 9, 5, "Asia/Shanghai"),
            (None, None),
        ),
        (
            json!({"calendar": {"unit": "Week", "weekday": "Sunday"}}),
            calendar(CalendarUnit::Week(Weekday::Sunday), 0, 0, "UTC"),
            (None, None),
        ),
        (
            json!({"calendar": {"unit": "Month", "time": "23:59"}}),
            calendar(CalendarUnit::Month(1), 23, 59, "UTC"),
            (None, None),
        ),
        (
            json!({"calendar": {"unit": "Month", "day": 31}}),
            calendar(CalendarUnit::Month(31), 0, 0, "UTC"),
            (None, None),
        ),
    ];
    for (mut written, period, (requests, tokens)) in cases {
        written["name"] = json!("a");
        let compiled = compiled(&json!([written]));
        let expected = QuotaWindow {
            name: "a".into(),
            period,
            requests,
            tokens,
        };
        let snapshot = &compiled.snapshot;
        let credential = snapshot.credentials.values().next().expect("one credential");
        assert_eq!(credential.quota.first(), Some(&expected), "{written}");
        let client = snapshot.clients.values().next().expect("one client");
        assert_eq!(client.budgets, [expected], "{written}");
    }
}

#[test]
fn an_unknown_time_zone_keeps_only_its_object_out() {
    let windows = json!([{"name": "a", "calendar": {"unit": "Day", "timeZone": "Mars/Olympus"}}]);
    let compiled = compiled(&windows);
    for (kind, name) in [(Kind::Credential, "one"), (Kind::ClientKey, "me")] {
        assert_eq!(reason(&compiled, kind, name), Reason::UnknownTimeZone);
    }
    for path in ["spec.quota.windows[0]", "spec.budgets[0]"] {
        let expected = format!("{path}.calendar.timeZone: there is no time zone Mars/Olympus");
        assert!(message(&compiled).contains(&expected), "{}", message(&compiled));
    }
    assert!(compiled.snapshot.credentials.is_empty() && compiled.snapshot.clients.is_empty());
    assert_eq!(compiled.snapshot.providers.len(), 1);
}

#[test]
fn a_client_says_what_becomes_of_its_limits_when_the_store_is_away() {
    for (limits, expected) in [
        (json!({"concurrency": 3}), WhenStoreIsAway::Share),
        (
            json!({"concurrency": 3, "whenStoreIsAway": "Refuse"}),
            WhenStoreIsAway::Refuse,
        ),
    ] {
        let compiled = World::default()
            .client("me", json!({"limits": limits}))
            .secret("me", "canary-canary-canary-canary")
            .compile();
        let client = compiled.snapshot.clients.values().next().expect("one client");
        assert_eq!(client.when_store_is_away, expected);
        assert_eq!(client.limits.concurrency, Some(3));
    }
}

#[test]
fn who_has_most_headroom_can_be_preferred() {
    let fields = json!({"selection": {"strategy": "MostHeadroom"}});
    let compiled = World::default().provider("up", fields).compile();
    assert_eq!(provider(&compiled).selection.strategy, Strategy::MostHeadroom);
}
