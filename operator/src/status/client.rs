//! The status of a `ClientKey`.

use resources::{
    ConditionType, Reason,
    kinds::{ClientKey, ClientKeyHandled, ClientKeyStatus, LastHandled},
};
use snapshot::Timestamp;

use super::{
    fact::{self, Fact},
    fleet::Spread,
};
use crate::mint::Facts;

/// What to tell of a `ClientKey`.
pub(super) fn status(
    object: &ClientKey,
    before: Option<&ClientKeyStatus>,
    mut facts: Vec<Fact>,
    spread: &Spread,
    key: Facts,
    handled: Option<&LastHandled>,
    now: Timestamp,
) -> ClientKeyStatus {
    let generation = object.metadata.generation;
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
        secret_name: key.secret_name,
        key_prefix: key.key_prefix,
        expires_at: expires_at.filter(|text| read(text).is_some()),
        next_rotation_time: key.next_rotation_time.map(|next| next.to_string()),
        last_handled: last_handled(before, handled),
    }
}

/// What status tells already, with what was done of late.
fn last_handled(before: Option<&ClientKeyStatus>, late: Option<&LastHandled>) -> Option<ClientKeyHandled> {
    let late = late.and_then(|late| late.reset_quota.clone());
    match late {
        Some(late) => Some(ClientKeyHandled {
            reset_quota: Some(late),
        }),
        None => before?.last_handled.clone(),
    }
}

fn read(text: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    // A time before 1970 has passed as well as 1970 has.
    Some(Timestamp::from_micros(
        u64::try_from(moment.as_microsecond()).unwrap_or(0),
    ))
}
