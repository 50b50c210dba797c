//! Credentials.

use resources::{
    Identity, Kind,
    kinds::{LastError, LastHandled},
};
use snapshot::RestReason;

use super::{Reading, World, at, brief, name};

#[test]
fn ready_means_usable_now_or_again_without_anybody() {
    type Set = fn(&mut World);
    let cases: [(&str, Set, &str); 16] = [
        ("all is well", |_| {}, "Ready=True/Usable"),
        (
            "its Secret lacks the key",
            |world| world.credential(r#""key": "k""#, r#""key": "other""#),
            "Ready=False/KeyMissing ResolvedRefs=False/KeyMissing",
        ),
        (
            "there is no such Provider",
            |world| world.credential(r#""name": "p""#, r#""name": "q""#),
            "Ready=False/ProviderNotFound ResolvedRefs=False/ProviderNotFound",
        ),
        (
            "it is wrong by itself",
            |world| {
                let quota = r#""quota": {"windows": [{"name": "w", "calendar": {"unit": "Day", "timeZone": "Mars/Base"}}]}, "apiKey""#;
                world.credential(r#""apiKey""#, quota);
            },
            "Accepted=False/UnknownTimeZone Ready=False/UnknownTimeZone Stalled=True/UnknownTimeZone",
        ),
        (
            "it is suspended",
            |world| world.credential(r#""apiKey""#, r#""suspend": true, "apiKey""#),
            "Ready=False/Suspended",
        ),
        (
            "it rests and comes back",
            |world| world.measure(&[(None, RestReason::RateLimited, at(60))]),
            "CoolingDown=True/RateLimited Ready=True/CoolingDown",
        ),
        (
            "its rest is over, which the next call finds out",
            |world| world.measure(&[(None, RestReason::Failing, at(0))]),
            "Ready=True/Usable",
        ),
        (
            "its quota is gone until its period ends",
            |world| world.measure(&[(None, RestReason::QuotaExhausted, at(60))]),
            "CoolingDown=True/QuotaExhausted QuotaExhausted=True/QuotaExhausted Ready=True/QuotaExhausted",
        ),
        (
            "a model rests, and the others do not",
            |world| world.measure(&[(Some("m"), RestReason::ModelUnavailable, at(60))]),
            "Ready=True/Usable",
        ),
        (
            "its key is refused, however short the rest",
            |world| world.measure(&[(None, RestReason::Unauthorized, at(0))]),
            "Ready=False/Unauthorized Stalled=True/Unauthorized",
        ),
        (
            "its account is blocked",
            |world| world.measure(&[(None, RestReason::AccountBlocked, at(60))]),
            "Ready=False/AccountBlocked Stalled=True/AccountBlocked",
        ),
        (
            "a gateway reports before the store is read",
            |world| {
                world.measure(&[]);
                world.report(Some(RestReason::RateLimited), Some(at(60)));
            },
            "CoolingDown=True/RateLimited Ready=True/CoolingDown",
        ),
        (
            "a gateway reports and nobody said until when",
            |world| world.report(Some(RestReason::RateLimited), None),
            "CoolingDown=True/RateLimited Ready=True/CoolingDown",
        ),
        (
            "it recovered",
            |world| {
                world.report(Some(RestReason::Unauthorized), None);
                world.report(None, None);
            },
            "Ready=True/Usable",
        ),
        (
            "a report about a model says nothing of the whole",
            |world| world.report(Some(RestReason::ModelUnavailable), Some(at(60))),
            "Ready=True/Usable",
        ),
        (
            "a report about the key before is void",
            |world| {
                world.report(Some(RestReason::Unauthorized), None);
                world.secret("sk-second", "11");
            },
            "Ready=True/Usable",
        ),
    ];
    for (why, set, expected) in cases {
        let mut world = World::new();
        set(&mut world);
        assert_eq!(brief(&world.status(Kind::Credential, "c")), expected, "{why}");
    }
}

#[test]
fn it_tells_what_rests_until_when() {
    let mut world = World::new();
    world.measure(&[
        (Some("m"), RestReason::Failing, at(30)),
        (None, RestReason::RateLimited, at(60)),
    ]);
    let status = world.of_credential();
    let rests: Vec<_> = status
        .rests
        .iter()
        .map(|rest| (rest.model.as_deref(), rest.reason.as_str(), rest.until.as_str()))
        .collect();
    assert_eq!(
        rests,
        [
            (None, "RateLimited", "2027-01-15T08:01:00Z"),
            (Some("m"), "Failing", "2027-01-15T08:00:30Z")
        ]
    );
    assert_eq!(status.resting_until.as_deref(), Some("2027-01-15T08:01:00Z"));
    assert_eq!(status.observed_generation, Some(7));
    assert!(
        status
            .conditions
            .iter()
            .all(|it| it.observed_generation == Some(7))
    );
}

#[test]
fn the_same_told_by_another_clock_is_no_news() {
    let mut world = World::new();
    world.measure(&[(None, RestReason::RateLimited, at(60))]);
    world.tell();
    let told = world.of_credential();
    world.now = at(10);
    world.measure(&[(None, RestReason::RateLimited, at(62))]);
    assert_eq!(world.of_credential(), told, "two seconds are the skew of clocks");
    world.measure(&[(None, RestReason::RateLimited, at(90))]);
    assert_eq!(
        world.of_credential().resting_until.as_deref(),
        Some("2027-01-15T08:01:30Z"),
        "it rests for longer"
    );
}

#[test]
fn what_was_told_stands_while_the_store_is_away() {
    let mut world = World::new();
    world.measure(&[(None, RestReason::Unauthorized, at(60))]);
    world.tell();
    world.reading = Reading::Away;
    world.now = at(3600);
    let brief_now = |world: &World| brief(&world.status(Kind::Credential, "c"));
    assert_eq!(
        brief_now(&world),
        "Ready=False/Unauthorized Stalled=True/Unauthorized"
    );
    world.secret("sk-second", "11");
    // `tell` put the object with its status in; the Secret is another one now.
    assert_eq!(
        brief_now(&world),
        "Ready=True/Usable",
        "a new key was not refused"
    );

    let mut world = World::new();
    world.measure(&[(None, RestReason::RateLimited, at(60))]);
    world.tell();
    world.reading = Reading::Away;
    assert_eq!(
        brief_now(&world),
        "CoolingDown=True/RateLimited Ready=True/CoolingDown"
    );
    world.now = at(61);
    assert_eq!(brief_now(&world), "Ready=True/Usable", "time passes all the same");
}

#[test]
fn a_condition_keeps_its_time_while_its_status_is_the_same() {
    let mut world = World::new();
    world.tell();
    world.now = at(100);
    world.measure(&[(None, RestReason::RateLimited, at(160))]);
    let times: Vec<_> = world
        .of_credential()
        .conditions
        .iter()
        .map(|it| {
            (
                it.type_.clone(),
                it.last_transition_time.0.as_second() - 1_800_000_000,
            )
        })
        .filter(|(_, seconds)| *seconds > 0)
        .collect();
    assert_eq!(
        times,
        [("CoolingDown".to_owned(), 100)],
        "Ready is true for another reason"
    );
}

#[test]
fn what_was_refused_and_handled_is_remembered() {
    let mut world = World::new();
    world.report(Some(RestReason::RateLimited), Some(at(60)));
    let error = Some(LastError {
        class: "RateLimited".to_owned(),
        at: "2027-01-15T08:00:00Z".to_owned(),
    });
    let handled = |clear_rest: Option<&str>, reset_quota: Option<&str>| LastHandled {
        clear_rest: clear_rest.map(ToOwned::to_owned),
        reset_quota: reset_quota.map(ToOwned::to_owned),
    };
    let credential = || Identity {
        kind: Kind::Credential,
        name: name("c"),
    };
    world.handled.insert(credential(), handled(Some("one"), None));
    world.tell();
    world.reports = super::Reports::default();
    world.handled.insert(credential(), handled(None, Some("two")));
    let status = world.of_credential();
    assert_eq!(status.last_error, error, "also by a replica that heard no report");
    assert_eq!(status.last_handled, Some(handled(Some("one"), Some("two"))));
}
