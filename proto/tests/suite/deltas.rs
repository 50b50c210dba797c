//! What changes.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};
use proto::{Contents, Kind, ObjectKey, Refused, Versions, apply, chunks, diff, discovery::v1};
use snapshot::{Keyring, Secret, Snapshot};

use crate::any;

/// Some of what `old` has and some of what `new` has, by turns.
fn mixed(old: &Contents, new: &Contents, turns: &[(bool, bool)]) -> Contents {
    fn mix<K: Clone + Ord, V: Clone>(
        old: impl IntoIterator<Item = (K, V)>,
        new: impl IntoIterator<Item = (K, V)>,
        turns: &mut impl Iterator<Item = (bool, bool)>,
    ) -> BTreeMap<K, V> {
        let mut kept: Vec<_> = old.into_iter().collect();
        kept.sort_by(|a, b| a.0.cmp(&b.0));
        kept.retain(|_| turns.next().unwrap().0);
        let mut added: Vec<_> = new.into_iter().collect();
        added.sort_by(|a, b| a.0.cmp(&b.0));
        added.retain(|_| turns.next().unwrap().1);
        kept.into_iter().chain(added).collect()
    }
    let turns = &mut turns.iter().copied().cycle();
    let (from, to) = (old.snapshot(), new.snapshot());
    let (secrets, others) = (old.keyring(), new.keyring());
    let snapshot = Snapshot {
        version: to.version.clone(),
        providers: mix(from.providers.clone(), to.providers.clone(), turns),
        credentials: mix(from.credentials.clone(), to.credentials.clone(), turns),
        routes: mix(from.routes.clone(), to.routes.clone(), turns),
        clients: mix(from.clients.clone(), to.clients.clone(), turns),
    };
    let keyring = Keyring {
        credentials: mix(secrets.credentials.clone(), others.credentials.clone(), turns)
            .into_iter()
            .collect(),
        headers: mix(secrets.headers.clone(), others.headers.clone(), turns)
            .into_iter()
            .collect(),
    };
    Contents::new(
        Arc::new(snapshot),
        Arc::new(keyring),
        Secret::new("one installation"),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_delta_leads_from_the_old_to_the_new(
        old in any::contents(),
        other in any::contents(),
        turns in vec(any::<(bool, bool)>(), 1..20),
        other_key in any::<bool>(),
    ) {
        let new = if other_key { other.clone() } else { mixed(&old, &other, &turns) };
        let delta = diff(old.versions(), &new, 1);
        prop_assert_eq!(&apply(&old, delta.clone()).unwrap(), &new);
        // Nothing is sent that is there already.
        let (old, new) = (old.versions(), new.versions());
        let changed = new.objects.iter().filter(|(key, version)| old.objects.get(*key) != Some(version)).count();
        let gone = old.objects.keys().filter(|key| !new.objects.contains_key(*key)).count();
        prop_assert_eq!((delta.upserts.len(), delta.removals.len()), (changed, gone));
    }

    #[test]
    fn a_delta_of_another_base_is_refused(old in any::contents(), new in any::contents()) {
        prop_assume!(old.versions() != new.versions());
        let mut delta = diff(old.versions(), &new, 1);
        let found = delta.base.clone();
        let refused = Err(Refused::Base { expected: new.versions().snapshot.to_string(), found });
        prop_assert_eq!(apply(&new, delta.clone()), refused);
        // Not even if it says that it fits.
        delta.base = new.versions().snapshot.to_string();
        if let Ok(contents) = apply(&new, delta) {
            prop_assert_eq!(contents.versions(), new.versions());
        }
    }

    #[test]
    fn a_delta_that_lacks_a_part_is_refused(old in any::contents(), new in any::contents(), which in any::<prop::sample::Index>()) {
        let whole = diff(old.versions(), &new, 1);
        let parts = whole.upserts.len() + whole.removals.len();
        prop_assume!(parts > 0);
        let mut delta = whole;
        let index = which.index(parts);
        if index < delta.upserts.len() {
            delta.upserts.remove(index);
        } else {
            delta.removals.remove(index - delta.upserts.len());
        }
        prop_assert_eq!(apply(&old, delta), Err(Refused::Digest));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_digest_is_of_all_names_and_versions(one in versions(), other in versions()) {
        prop_assert_eq!(one.digest() == other.digest(), one == other);
    }
}

/// Few enough that two are sometimes equal, with names that run into versions.
fn versions() -> impl Strategy<Value = Versions> {
    let kind = prop_oneof![Just(Kind::Provider), Just(Kind::Credential)];
    let object = ((kind, "a{1,2}"), "a{0,2}");
    ("a{0,1}", vec(object, 0..3)).prop_map(|(snapshot, objects)| Versions {
        snapshot: snapshot.into(),
        objects: objects
            .into_iter()
            .map(|((kind, name), version)| {
                (
                    ObjectKey {
                        kind,
                        name: name.into(),
                    },
                    version.into(),
                )
            })
            .collect(),
    })
}

fn served(value: &str, version: &str) -> Contents {
    let name: snapshot::CredentialName = "default/first".parse().unwrap();
    let mut keyring = Keyring::default();
    keyring.credentials.insert(name, any::secret(value));
    let snapshot = Snapshot {
        version: version.to_owned(),
        ..Snapshot::default()
    };
    Contents::new(
        Arc::new(snapshot),
        Arc::new(keyring),
        Secret::new("one installation"),
    )
}

#[test]
fn a_digest_does_not_depend_on_values() {
    let contents = served("one", "v1");
    let mut messages: Vec<_> = chunks(&contents, 1000).collect();
    for message in &mut messages {
        if let Some(v1::stream_response::Message::Chunk(chunk)) = &mut message.message {
            for object in &mut chunk.objects {
                if let Some(v1::object::Object::CredentialSecret(secret)) = &mut object.object {
                    secret.value = b"two".to_vec();
                }
            }
        }
    }
    let mut follower = proto::Follower::new(None);
    let arrived = messages
        .into_iter()
        .find_map(|message| follower.accept(message).unwrap())
        .unwrap();
    assert_ne!(arrived.keyring(), contents.keyring());
    assert_eq!(arrived.versions().digest(), contents.versions().digest());
}

#[test]
fn unchanged_objects_are_shared() {
    let credential = |version: &str, suspended| {
        let mut object = v1::Credential {
            name: "default/a".to_owned(),
            provider: "default/p".to_owned(),
            models: Some(v1::ModelFilter::default()),
            limits: Some(v1::CallLimits::default()),
            ..v1::Credential::default()
        };
        let first = snapshot::Credential::try_from(object.clone()).unwrap();
        object.name = "default/b".to_owned();
        object.suspended = suspended;
        let second = snapshot::Credential::try_from(object).unwrap();
        let mut snapshot = Snapshot {
            version: version.to_owned(),
            ..Snapshot::default()
        };
        for credential in [first, second] {
            snapshot
                .credentials
                .insert(credential.name.clone(), Arc::new(credential));
        }
        Contents::new(
            Arc::new(snapshot),
            Arc::default(),
            Secret::new("one installation"),
        )
    };
    let (old, new) = (credential("v1", false), credential("v2", true));
    let applied = apply(&old, diff(old.versions(), &new, 1)).unwrap();
    let of =
        |contents: &Contents, name: &str| contents.snapshot().credentials[&name.parse().unwrap()].clone();
    assert!(
        Arc::ptr_eq(&of(&old, "default/a"), &of(&applied, "default/a")),
        "it did not change"
    );
    assert!(of(&applied, "default/b").suspended);
}

#[test]
fn what_is_not_there_cannot_be_removed() {
    let (old, new) = (served("one", "v1"), served("two", "v2"));
    let key = ObjectKey {
        kind: Kind::Route,
        name: "default/none".into(),
    };
    let mut delta = diff(old.versions(), &new, 1);
    delta.removals.push((&key).into());
    assert_eq!(apply(&old, delta), Err(Refused::Absent(key)));
}

#[test]
fn an_object_changes_once() {
    let (old, new) = (served("one", "v1"), served("two", "v2"));
    let mut delta = diff(old.versions(), &new, 1);
    delta.upserts.push(delta.upserts[0].clone());
    let key = ObjectKey {
        kind: Kind::CredentialSecret,
        name: "default/first".into(),
    };
    assert_eq!(apply(&old, delta), Err(Refused::Twice(key)));
}
