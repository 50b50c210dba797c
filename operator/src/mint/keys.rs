//! Minted keys, what is written into their Secrets, and what may be told of them.

use std::{collections::BTreeMap, io};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret as KubeSecret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt};
use rand::{TryRng, rngs::SysRng};
use resources::{
    Belonging, Minted, SecretValue, SecretValues,
    kinds::{ClientKey, CreationPolicy, MintTarget},
};
use snapshot::{Secret, Timestamp};

use super::decide::Change;

/// How minted keys begin. What follows is random.
const PREFIX: &str = "rh-";

/// How much of a minted key is told to recognise it by: of 43 random characters 3.
const TOLD: usize = PREFIX.len() + 3;

/// The labels of Secrets that the operator makes: what they are for, which `secretPolicy: Labelled` asks for, and
/// whose they are.
pub(crate) const LABELS: [(&str, &str); 2] = [
    ("roundhouse.dev/use", "credential"),
    ("app.kubernetes.io/managed-by", "roundhouse-operator"),
];

/// What may be told of a client's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name of its Secret.
    pub secret_name: Option<String>,
    /// How the key begins, as far as that helps nobody to guess it. `None` for a key that was brought: of that
    /// nothing is known to be harmless.
    pub key_prefix: Option<String>,
    /// When the key is replaced next; `None` when it is not.
    pub next_rotation_time: Option<Timestamp>,
}

/// What may be told of a client's key, with the Secret that it is in.
pub fn facts(object: &ClientKey, secret: Option<&SecretValues>) -> Facts {
    let mut facts = Facts {
        secret_name: object.spec.kept_in().map(|reference| reference.name),
        ..Facts::default()
    };
    let (Some(target), Some(secret)) = (&object.spec.target, secret) else {
        return facts;
    };
    let notes = secret.minted.as_ref();
    if Minted::belonging(notes, object) != Belonging::Ours {
        return facts;
    }
    if let Some(SecretValue::Known(key)) = secret.values.get(&target.key) {
        facts.key_prefix = told(key);
    }
    let issued = notes.and_then(|notes| notes.issued_at);
    facts.next_rotation_time = object
        .spec
        .rotation
        .and_then(|rotation| issued.map(|issued| issued + rotation.every.0));
    facts
}

fn told(key: &Secret) -> Option<String> {
    let text = std::str::from_utf8(key.expose()).ok()?;
    // Somebody may have put another in its place.
    let is_minted = text.starts_with(PREFIX) && text.len() > 40;
    text.get(..TOLD).filter(|_| is_minted).map(str::to_owned)
}

/// Makes a client key of 256 random bits.
pub(super) fn mint() -> io::Result<Secret> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(Secret::new(format!(
        "{PREFIX}{}",
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    )))
}

/// The Secret of a `ClientKey` that has none yet.
pub(super) fn secret(object: &ClientKey, target: &MintTarget, key: &Secret, now: Timestamp) -> KubeSecret {
    let labels = LABELS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut secret = KubeSecret {
        metadata: ObjectMeta {
            name: Some(target.name.clone()),
            namespace: object.namespace(),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        ..KubeSecret::default()
    };
    note(&mut secret, Minted::CLIENT_KEY, &object.name_any());
    own(&mut secret, object, target);
    put(&mut secret, target, key, now);
    secret
}

/// Makes a change in the Secret of a `ClientKey`. `key` is put in where a new one is needed.
pub(super) fn apply(
    secret: &mut KubeSecret,
    change: Change,
    object: &ClientKey,
    target: &MintTarget,
    key: &Secret,
    now: Timestamp,
) {
    match change {
        Change::Mint => put(secret, target, key, now),
        Change::Rotate => {
            let overlap = object.spec.rotation.map(|rotation| rotation.overlap.0);
            let former = data(secret).remove(&target.key);
            if let (Some(former), Some(overlap)) = (former, overlap) {
                data(secret).insert(target.previous_key(), former);
                note(secret, Minted::PREVIOUS_VALID_UNTIL, &written(now + overlap));
            }
            put(secret, target, key, now);
        }
        Change::Retire => {
            data(secret).remove(&target.previous_key());
            let annotations = secret.metadata.annotations.get_or_insert_default();
            annotations.remove(Minted::PREVIOUS_VALID_UNTIL);
        }
        Change::Own => own(secret, object, target),
    }
}

fn put(secret: &mut KubeSecret, target: &MintTarget, key: &Secret, now: Timestamp) {
    data(secret).insert(target.key.clone(), ByteString(key.expose().to_vec()));
    note(secret, Minted::ISSUED_AT, &written(now));
}

fn data(secret: &mut KubeSecret) -> &mut BTreeMap<String, ByteString> {
    secret.data.get_or_insert_default()
}

fn note(secret: &mut KubeSecret, name: &str, value: &str) {
    let annotations = secret.metadata.annotations.get_or_insert_default();
    annotations.insert(name.to_owned(), value.to_owned());
}

/// Lets the Secret go with its `ClientKey`, or not.
fn own(secret: &mut KubeSecret, object: &ClientKey, target: &MintTarget) {
    let kind = ClientKey::kind(&());
    let owners = secret.metadata.owner_references.get_or_insert_default();
    owners.retain(|owner| owner.kind != kind || Some(&owner.uid) != object.metadata.uid.as_ref());
    if target.creation_policy == CreationPolicy::Owner {
        owners.extend(owner(object));
    }
}

fn owner(object: &ClientKey) -> Option<OwnerReference> {
    // Nobody else's deletion has to wait for that of the Secret, and whoever deletes needs no right to block it.
    Some(OwnerReference {
        controller: Some(true),
        ..object.owner_ref(&())?
    })
}

/// A time as annotations hold it, to the second.
fn written(time: Timestamp) -> String {
    time.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> ClientKey {
        let text = r#"{
            "apiVersion": "roundhouse.dev/v1alpha1", "kind": "ClientKey",
            "metadata": {"name": "me", "namespace": "team", "uid": "now"},
            "spec": {"target": {"name": "s"}, "rotation": {"every": "24h", "overlap": "2h"}}
        }"#;
        serde_json::from_str(text).expect("a ClientKey")
    }

    #[test]
    fn keys_are_256_random_bits() {
        let (one, other) = (mint().expect("random bits"), mint().expect("random bits"));
        let text = std::str::from_utf8(one.expose()).expect("text");
        assert!(
            text.starts_with("rh-") && text.len() == 3 + 43,
            "{} characters",
            text.len()
        );
        assert_ne!(one, other);
    }

    #[test]
    fn what_is_told_of_a_key_does_not_help_to_guess_it() {
        let object = object();
        let target = object.spec.target.clone().expect("it is minted");
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        let told = |key: &str, owner: Option<&str>| {
            let mut secret = secret(&object, &target, &Secret::new(key), now);
            if let Some(owner) = owner {
                note(&mut secret, Minted::CLIENT_KEY, owner);
            }
            let data = secret.data.take().unwrap_or_default();
            let data = data.into_iter().map(|(key, value)| (key, value.0));
            facts(&object, Some(&SecretValues::from_cluster(data, &secret.metadata)))
        };
        let minted = "rh-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS";
        let facts = told(minted, None);
        assert_eq!(facts.secret_name.as_deref(), Some("s"));
        assert_eq!(facts.key_prefix.as_deref(), Some("rh-abc"));
        let next = facts.next_rotation_time.map(|time| time.to_string());
        assert_eq!(next.as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(
            told("correct horse battery staple, and then some more", None).key_prefix,
            None
        );
        assert_eq!(told("rh-short", None).key_prefix, None);
        assert_eq!(
            told(minted, Some("you")).key_prefix,
            None,
            "the Secret is not its own"
        );
        assert_eq!(super::facts(&object, None).key_prefix, None);
    }
}
