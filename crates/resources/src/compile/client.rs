//! Callers.

use std::{collections::HashMap, sync::Arc};

use snapshot::{AcceptedKey, CallLimits, Client, ClientName, KeyDigest, Timestamp, WhenStoreIsAway};

use super::{Compiling, Place, Verdict, credential::patterns, secret, window};
use crate::{
    Belonging, Identity, Kind, Minted, Object, Objects, Reason,
    condition::Refusal,
    kinds::{self, ClientKey, MintTarget, SecretKeyReference},
    minted::timestamp,
};

/// Shorter keys could be guessed.
const MIN_KEY: usize = 20;

/// Compiles all client keys. Of two with one key the older one keeps it, or without ages the one whose
/// name comes first, so that a new object cannot take over an identity.
pub(super) fn compile(compiling: &mut Compiling<'_>, place: Place) -> Vec<(Identity, Verdict)> {
    let mut objects: Vec<(&Identity, &Arc<ClientKey>)> = compiling
        .objects
        .iter()
        .filter_map(|(identity, object)| match object {
            Object::ClientKey(object) => Some((identity, object)),
            _ => None,
        })
        .collect();
    let age = |object: &ClientKey| object.metadata.creation_timestamp.as_ref().map(|time| time.0);
    objects.sort_by_key(|(identity, object)| (age(object), &identity.name));
    let mut holders: HashMap<KeyDigest, &Identity> = HashMap::new();
    let mut verdicts = Vec::new();
    for (identity, object) in objects {
        let verdict = match key(compiling, identity, object, place) {
            Err(verdict) => verdict,
            Ok(key) => {
                let holder = *holders.entry(key.digest).or_insert(identity);
                if holder == identity {
                    let mut keys = vec![key];
                    let previous = previous(compiling, identity, object);
                    keys.extend(
                        previous.filter(|it| *holders.entry(it.digest).or_insert(identity) == identity),
                    );
                    add(compiling, identity, object, keys)
                } else {
                    let message = format!("{holder} has the same key; give this one a key of its own");
                    Verdict::refused(Refusal::new(Reason::DuplicateKey, message))
                }
            }
        };
        verdicts.push((identity.clone(), verdict));
    }
    verdicts
}

/// The key that it has now.
fn key(
    compiling: &Compiling<'_>,
    identity: &Identity,
    object: &ClientKey,
    place: Place,
) -> Result<AcceptedKey, Verdict> {
    if let Some(target) = &object.spec.target {
        is_minted(compiling.objects, identity, object, target, place)?;
    }
    let Some(reference) = object.spec.kept_in() else {
        let message = "spec: exactly one of secretRef and target is needed";
        return Err(Verdict::refused(Refusal::new(Reason::InvalidSpec, message)));
    };
    let key =
        secret::key(compiling.objects, identity.name.namespace(), &reference).map_err(Verdict::unresolved)?;
    let length = String::from_utf8_lossy(key.expose()).chars().count();
    if length < MIN_KEY {
        let message = format!(
            "the key has {length} characters; a client key needs at least {MIN_KEY}, best from `openssl rand -hex 32`"
        );
        return Err(Verdict::refused(Refusal::new(Reason::WeakKey, message)));
    }
    Ok(compiling.key.digest(key.expose()).into())
}

/// Whether the Secret of a key to be minted is there and is its own. Files have nobody who mints: what is in them
/// under that name was put there for it.
fn is_minted(
    objects: &Objects,
    identity: &Identity,
    object: &ClientKey,
    target: &MintTarget,
    place: Place,
) -> Result<(), Verdict> {
    let name = &target.name;
    let missing = |message: String| Err(Verdict::unresolved(Refusal::new(Reason::SecretMissing, message)));
    let secret = objects.secret(identity.name.namespace(), name);
    match (place, secret) {
        (Place::Standalone, Some(_)) => Ok(()),
        (Place::Standalone, None) => missing(format!(
            "there is no Secret {name}: only the operator of a cluster mints keys; put the key into a Secret and \
             name it in secretRef"
        )),
        (Place::Cluster { .. }, None) => missing(format!(
            "Secret {name} is not there yet: the operator mints it unless clientKeys.mint is off"
        )),
        (Place::Cluster { .. }, Some(secret)) => match Minted::belonging(secret.minted.as_ref(), object) {
            Belonging::Ours => Ok(()),
            Belonging::Former => missing(format!(
                "Secret {name} is still that of a deleted ClientKey of this name; the operator replaces it"
            )),
            Belonging::Foreign => {
                let message = format!(
                    "Secret {name} exists and was not made for this ClientKey; delete it, or make a ClientKey whose \
                     target has another name"
                );
                Err(Verdict::refused(Refusal::new(Reason::SecretExists, message)))
            }
        },
    }
}

/// The key before, while a rotation overlaps. Without a moment at which it ends it does not work at all.
fn previous(compiling: &Compiling<'_>, identity: &Identity, object: &ClientKey) -> Option<AcceptedKey> {
    let target = object.spec.target.as_ref()?;
    let namespace = identity.name.namespace();
    let secret = compiling.objects.secret(namespace, &target.name)?;
    let valid_until = secret.minted.as_ref()?.previous_valid_until?;
    let reference = SecretKeyReference {
        name: target.name.clone(),
        key: target.previous_key(),
    };
    let key = secret::key(compiling.objects, namespace, &reference).ok()?;
    Some(AcceptedKey {
        digest: compiling.key.digest(key.expose()),
        valid_until: Some(valid_until),
    })
}

fn add(
    compiling: &mut Compiling<'_>,
    identity: &Identity,
    object: &ClientKey,
    keys: Vec<AcceptedKey>,
) -> Verdict {
    let spec = &object.spec;
    let expires_at = match spec.expires_at.as_deref().map(timestamp) {
        None => None,
        Some(Some(time)) => Some(time),
        Some(None) => {
            let message = "spec.expiresAt: expected a time such as 2027-01-31T00:00:00Z";
            return Verdict::refused(Refusal::new(Reason::InvalidSpec, message));
        }
    };
    let budgets = match window::compile(&spec.budgets, "spec.budgets") {
        Ok(budgets) => budgets,
        Err(refusal) => return Verdict::refused(refusal),
    };
    let limits = spec.limits.unwrap_or_default();
    let client = Client {
        name: ClientName::from(identity.name.clone()),
        keys,
        admin: spec.admin,
        models: patterns(&spec.models.clone().unwrap_or_default().allow),
        limits: CallLimits {
            concurrency: limits.concurrency,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
        },
        when_store_is_away: match limits.when_store_is_away {
            kinds::WhenStoreIsAway::Share => WhenStoreIsAway::Share,
            kinds::WhenStoreIsAway::Refuse => WhenStoreIsAway::Refuse,
        },
        budgets,
        expires_at,
        debug_headers: spec.debug_headers,
    };
    compiling.version.object(Kind::ClientKey, &identity.name, spec);
    for key in &client.keys {
        compiling.version.part(key.digest.as_bytes());
        let end = key.valid_until.map_or(u64::MAX, Timestamp::as_micros);
        compiling.version.part(&end.to_le_bytes());
    }
    let clients = &mut compiling.compiled.snapshot.clients;
    clients.insert(client.name.clone(), Arc::new(client));
    Verdict::good()
}
