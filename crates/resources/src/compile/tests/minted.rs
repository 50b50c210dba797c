//! Keys that the operator mints.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::*;
use crate::Minted;

const KEY: &str = "canary-canary-canary-canary";
const FORMER: &str = "former-former-former-former";

/// A Secret with both keys, and with these annotations and this owner.
fn secret(annotations: &[(&str, &str)], owner: Option<&str>) -> Object {
    let values = [("api-key", KEY), ("api-key-previous", FORMER)];
    let metadata = ObjectMeta {
        annotations: Some(
            annotations
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        ),
        owner_references: owner.map(|uid| {
            vec![OwnerReference {
                api_version: "roundhouse.dev/v1alpha1".to_owned(),
                kind: "ClientKey".to_owned(),
                name: "me".to_owned(),
                uid: uid.to_owned(),
                ..OwnerReference::default()
            }]
        }),
        ..ObjectMeta::default()
    };
    let values = values.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    Object::Secret(Arc::new(SecretValues::from_cluster(values, &metadata)))
}

/// The client `me`, with uid `now`, that wants its key minted into the Secret `minted`.
fn world(secret: Option<Object>) -> World {
    let mut object = kinds::ClientKey::new("me", spec(json!({"target": {"name": "minted"}})));
    object.metadata.uid = Some("now".to_owned());
    let world = World::default().with("me", Object::ClientKey(Arc::new(object)));
    match secret {
        Some(secret) => world.with("minted", secret),
        None => world,
    }
}

const OURS: (&str, &str) = (Minted::CLIENT_KEY, "me");
const UNTIL: (&str, &str) = (Minted::PREVIOUS_VALID_UNTIL, "2027-01-31T00:00:00Z");

#[test]
fn a_minted_key_is_taken_from_its_own_secret_alone() {
    let cases = [
        (None, Reason::SecretMissing, "nobody has minted it"),
        (
            Some(secret(&[], None)),
            Reason::SecretExists,
            "nothing says that it was minted",
        ),
        (
            Some(secret(&[(Minted::CLIENT_KEY, "you")], None)),
            Reason::SecretExists,
            "it was minted for another",
        ),
        (
            Some(secret(&[OURS], Some("before"))),
            Reason::SecretMissing,
            "its owner is deleted",
        ),
        (
            Some(secret(&[OURS], Some("now"))),
            Reason::Resolved,
            "it goes with it",
        ),
        (Some(secret(&[OURS], None)), Reason::Resolved, "it stays"),
    ];
    for (secret, expected, why) in cases {
        let compiled = world(secret).compile_in(CLUSTER);
        assert_eq!(reason(&compiled, Kind::ClientKey, "me"), expected, "{why}");
        let is_served = !compiled.snapshot.clients.is_empty();
        assert_eq!(is_served, expected == Reason::Resolved, "{why}");
    }
}

#[test]
fn files_have_nobody_who_mints() {
    let missing = world(None).compile();
    assert_eq!(reason(&missing, Kind::ClientKey, "me"), Reason::SecretMissing);
    assert!(message(&missing).contains("secretRef"), "{}", message(&missing));
    let there = world(Some(secret(&[], None))).compile();
    assert_eq!(reason(&there, Kind::ClientKey, "me"), Reason::Resolved);
}

#[test]
fn the_key_before_works_until_the_moment_that_its_secret_says() {
    let digest = |key: &str| DigestKey::new(&Secret::new("installation")).digest(key.as_bytes());
    let keys = |annotations: &[(&str, &str)]| {
        let compiled = world(Some(secret(annotations, None))).compile_in(CLUSTER);
        assert!(!format!("{compiled:?}").contains("canary"));
        let client = compiled.snapshot.clients.values().next().cloned();
        let keys = client.expect("it is served").keys.clone();
        (keys, compiled.snapshot.version)
    };
    let (both, version) = keys(&[OURS, UNTIL]);
    let [present, previous] = both[..] else {
        panic!("both keys work: {both:?}");
    };
    assert_eq!(present, digest(KEY).into());
    assert_eq!(previous.digest, digest(FORMER));
    assert_eq!(
        previous.valid_until.map(|end| end.to_string()).as_deref(),
        Some("2027-01-31T00:00:00Z")
    );
    let (later, other) = keys(&[OURS, (Minted::PREVIOUS_VALID_UNTIL, "2027-02-01T00:00:00Z")]);
    assert_ne!(later, both);
    assert_ne!(other, version, "another end is another version");
    // Whoever takes the note away does not give the key an endless life.
    for annotations in [&[OURS][..], &[OURS, (Minted::PREVIOUS_VALID_UNTIL, "soon")]] {
        assert_eq!(keys(annotations).0, [digest(KEY).into()], "{annotations:?}");
    }
}
