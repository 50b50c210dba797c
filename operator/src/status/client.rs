//! The status of a `ClientKey`.

use resources::{
    ConditionType, Reason,
    kinds::{ClientKey, ClientKeyStatus},
};
use snapshot::Timestamp;

use super::{
    fact::{self, Fact},
    fleet::Spread,
};

/// What whoever mints keys knows of a `ClientKey`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// The Secret that holds the key, where it is not `spec.secretRef`.
    pub secret_name: Option<String>,
    /// How a minted key begins: its constant part, never any of what is secret in it.
    pub key_prefix: Option<String>,
    /// When the key is minted anew.
    pub next_rotation: Option<Timestamp>,
    /// Why the key is not minted: goes into `Accepted`.
    pub refusal: Option<(Reason, String)>,
}

/// What to tell of a `ClientKey`.
pub(super) fn status(
    object: &ClientKey,
    before: Option<&ClientKeyStatus>,
    mut facts: Vec<Fact>,
    spread: &Spread,
    key: KeyFacts,
    now: Timestamp,
) -> ClientKeyStatus {
    let generation = object.metadata.generation;
    if let Some((reason, message)) = key.refusal {
        facts = vec![Fact::new(ConditionType::Accepted, false, reason, message)];
    }
    let expires_at = object.spec.expires_at.clone();
    if !fact::unready(&mut facts) {
        let has_expired = expires_at.as_deref().and_then(read).is_some_and(|at| at <= now);
        facts.push(if has_expired {
            let message = "spec.expiresAt has passed; the key is refused";
            Fact::new(ConditionType::Ready, false, Reason::Expired, message)
        } else {
            Fact::new(ConditionType::Ready, true, Reason::Usable, "")
        });
    }
    facts.extend(spread.facts());
    let conditions = before.map_or(&[][..], |before| &before.conditions);
    ClientKeyStatus {
        observed_generation: generation,
        conditions: fact::conditions(facts, conditions, generation, now),
        secret_name: key
            .secret_name
            .or_else(|| Some(object.spec.secret_ref.name.clone())),
        key_prefix: key.key_prefix,
        expires_at: expires_at.filter(|text| read(text).is_some()),
        next_rotation_time: key.next_rotation.map(|next| next.to_string()),
    }
}

fn read(text: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    // A time before 1970 has passed as well as 1970 has.
    Some(Timestamp::from_micros(
        u64::try_from(moment.as_microsecond()).unwrap_or(0),
    ))
}
