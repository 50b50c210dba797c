//! Callers.

use std::{collections::HashMap, sync::Arc};

use snapshot::{CallLimits, Client, ClientName, KeyDigest, Timestamp, WhenStoreIsAway};

use super::{Compiling, Verdict, credential::patterns, secret, window};
use crate::{
    Identity, Kind, Object, Reason,
    condition::Refusal,
    kinds::{self, ClientKey},
};

/// Shorter keys could be guessed.
const MIN_KEY: usize = 20;

/// Compiles all client keys. Of two with one key the older one keeps it, or without ages the one whose
/// name comes first, so that a new object cannot take over an identity.
pub(super) fn compile(compiling: &mut Compiling<'_>) -> Vec<(Identity, Verdict)> {
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
        let verdict = match digest(compiling, identity, object) {
            Err(verdict) => verdict,
            Ok(digest) => {
                let holder = *holders.entry(digest).or_insert(identity);
                if holder == identity {
                    add(compiling, identity, object, digest)
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

fn digest(compiling: &Compiling<'_>, identity: &Identity, object: &ClientKey) -> Result<KeyDigest, Verdict> {
    let reference = &object.spec.secret_ref;
    let key =
        secret::key(compiling.objects, identity.name.namespace(), reference).map_err(Verdict::unresolved)?;
    let length = String::from_utf8_lossy(key.expose()).chars().count();
    if length < MIN_KEY {
        let message = format!(
            "the key has {length} characters; a client key needs at least {MIN_KEY}, best from `openssl rand -hex 32`"
        );
        return Err(Verdict::refused(Refusal::new(Reason::WeakKey, message)));
    }
    Ok(compiling.key.digest(key.expose()))
}

fn add(compiling: &mut Compiling<'_>, identity: &Identity, object: &ClientKey, digest: KeyDigest) -> Verdict {
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
        digests: vec![digest],
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
    compiling.version.part(digest.as_bytes());
    let clients = &mut compiling.compiled.snapshot.clients;
    clients.insert(client.name.clone(), Arc::new(client));
    Verdict::good()
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    // A time before 1970 has passed as well as 1970 has.
    Some(Timestamp::from_micros(
        u64::try_from(time.as_microsecond()).unwrap_or(0),
    ))
}
