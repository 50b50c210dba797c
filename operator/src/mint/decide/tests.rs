//! Object, Secret and time in, decision out.

use std::{collections::BTreeMap, time::Duration};

use resources::{Minted, SecretValue, SecretValues, kinds::ClientKey};
use serde_json::{Value, json};
use snapshot::{Secret, Timestamp};

use super::{Change, Decision, decide};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// So many seconds after a day in 2026.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000) + Duration::from_secs(seconds)
}

fn object(spec: &Value) -> ClientKey {
    let object = json!({
        "apiVersion": "roundhouse.dev/v1alpha1",
        "kind": "ClientKey",
        "metadata": {"name": "me", "namespace": "team", "uid": "now"},
        "spec": spec,
    });
    serde_json::from_str(&object.to_string()).expect("a ClientKey")
}

/// A minted Secret: issued at 0, without a former key, going with its `ClientKey`.
#[derive(Clone)]
struct Found(SecretValues);

impl Found {
    fn new() -> Self {
        let minted = Minted {
            client_key: "me".to_owned(),
            owner: Some("now".to_owned()),
            issued_at: Some(at(0)),
            previous_valid_until: None,
        };
        let mut secret = SecretValues::from(BTreeMap::new());
        secret.minted = Some(minted);
        Self(secret).holds("api-key", "rh-key")
    }

    fn holds(mut self, key: &str, value: &str) -> Self {
        let value = SecretValue::Known(Secret::new(value));
        self.0.values.insert(key.to_owned(), value);
        self
    }

    fn lacks(mut self, key: &str) -> Self {
        self.0.values.remove(key);
        self
    }

    fn notes(mut self, change: impl FnOnce(&mut Minted)) -> Self {
        change(self.0.minted.as_mut().expect("it has notes"));
        self
    }

    fn foreign(mut self) -> Self {
        self.0.minted = None;
        self
    }
}

fn wait(seconds: u64) -> Decision {
    Decision::Wait {
        until: Some(at(seconds)),
    }
}

const WAIT: Decision = Decision::Wait { until: None };

/// Why, the spec, the Secret, the seconds that have passed, and what has to be done.
type Case<'a> = (&'static str, &'a Value, Option<Found>, u64, Decision);

fn check(cases: Vec<Case<'_>>) {
    for (why, spec, secret, seconds, expected) in cases {
        let secret = secret.map(|found| found.0);
        assert_eq!(
            decide(&object(spec), secret.as_ref(), at(seconds)),
            expected,
            "{why}"
        );
    }
}

/// A Secret with a former key that works until then.
fn former(until: u64) -> Found {
    Found::new()
        .holds("api-key-previous", "rh-former")
        .notes(|notes| notes.previous_valid_until = Some(at(until)))
}

#[test]
fn a_secret_is_made_kept_or_left_alone() {
    let minted = json!({"target": {"name": "s"}});
    let orphan = json!({"target": {"name": "s", "creationPolicy": "Orphan"}});
    let brought = json!({"secretRef": {"name": "s"}});
    let cases: Vec<Case<'_>> = vec![
        ("a key that was brought is not ours", &brought, None, 0, WAIT),
        ("there is none", &minted, None, 0, Decision::Create),
        ("there is one", &minted, Some(Found::new()), 1000 * DAY, WAIT),
        (
            "somebody's Secret",
            &minted,
            Some(Found::new().foreign()),
            0,
            Decision::Refuse,
        ),
        (
            "another ClientKey's",
            &minted,
            Some(Found::new().notes(|notes| notes.client_key = "you".to_owned())),
            0,
            Decision::Refuse,
        ),
        (
            "that of a deleted one of this name",
            &minted,
            Some(Found::new().notes(|notes| notes.owner = Some("before".to_owned()))),
            0,
            Decision::Replace,
        ),
        (
            "the key was taken out",
            &minted,
            Some(Found::new().lacks("api-key")),
            0,
            Decision::Write(Change::Mint),
        ),
        (
            "the key was emptied",
            &minted,
            Some(Found::new().holds("api-key", "")),
            0,
            Decision::Write(Change::Mint),
        ),
        (
            "it shall stay",
            &orphan,
            Some(Found::new()),
            0,
            Decision::Write(Change::Own),
        ),
        (
            "it stays",
            &orphan,
            Some(Found::new().notes(|notes| notes.owner = None)),
            0,
            WAIT,
        ),
        (
            "it stayed, and shall go with the new one",
            &minted,
            Some(Found::new().notes(|notes| notes.owner = None)),
            0,
            Decision::Write(Change::Own),
        ),
    ];
    check(cases);
}

#[test]
fn keys_are_replaced_and_end_in_time() {
    let minted = json!({"target": {"name": "s"}});
    let rotated = json!({"target": {"name": "s"}, "rotation": {"every": "24h", "overlap": "2h"}});
    let cases: Vec<Case<'_>> = vec![
        (
            "a rotation is not due",
            &rotated,
            Some(Found::new()),
            DAY - 1,
            wait(DAY),
        ),
        (
            "a rotation is due",
            &rotated,
            Some(Found::new()),
            DAY,
            Decision::Write(Change::Rotate),
        ),
        (
            "nobody knows how old it is",
            &rotated,
            Some(Found::new().notes(|notes| notes.issued_at = None)),
            0,
            Decision::Write(Change::Rotate),
        ),
        (
            "the key before works on",
            &rotated,
            Some(former(2 * HOUR)),
            HOUR,
            wait(2 * HOUR),
        ),
        (
            "the time of the key before is over",
            &rotated,
            Some(former(2 * HOUR)),
            2 * HOUR,
            Decision::Write(Change::Retire),
        ),
        (
            "it is over without a rotation, too",
            &minted,
            Some(former(2 * HOUR)),
            2 * HOUR,
            Decision::Write(Change::Retire),
        ),
        (
            "a former key without a time",
            &minted,
            Some(former(0).notes(|notes| notes.previous_valid_until = None)),
            0,
            Decision::Write(Change::Retire),
        ),
        (
            "a time without a former key",
            &minted,
            Some(former(2 * HOUR).lacks("api-key-previous")),
            2 * HOUR,
            Decision::Write(Change::Retire),
        ),
        (
            "the key before keeps its time when rotations become frequent",
            &rotated,
            Some(former(30 * HOUR)),
            DAY,
            wait(30 * HOUR),
        ),
        (
            "both are due",
            &rotated,
            Some(former(2 * HOUR)),
            DAY,
            Decision::Write(Change::Rotate),
        ),
    ];
    check(cases);
}

#[test]
fn a_client_that_expires_gets_no_more_keys() {
    let over = json!({
        "target": {"name": "s"},
        "rotation": {"every": "24h", "overlap": "2h"},
        "expiresAt": "2026-01-01T12:00:00Z",
    });
    let cases: Vec<Case<'_>> = vec![
        (
            "a client that has expired needs no key",
            &over,
            None,
            12 * HOUR,
            Decision::Wait { until: None },
        ),
        (
            "one that has not expired does",
            &over,
            None,
            12 * HOUR - 1,
            Decision::Create,
        ),
        ("nor another key", &over, Some(Found::new()), 100 * DAY, WAIT),
        (
            "its former key goes all the same",
            &over,
            Some(former(13 * HOUR)),
            13 * HOUR,
            Decision::Write(Change::Retire),
        ),
    ];
    check(cases);
}

#[test]
fn nothing_is_made_for_what_is_being_deleted() {
    let mut object = object(&json!({"target": {"name": "s"}}));
    let time: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time));
    assert_eq!(decide(&object, None, at(0)), WAIT);
}
