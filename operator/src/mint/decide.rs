//! What has to be done for a `ClientKey`. Pure: the object, its Secret and the time come in.

use resources::{
    Belonging, Minted, SecretValue, SecretValues,
    kinds::{ClientKey, CreationPolicy, MintTarget},
};
use snapshot::Timestamp;

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing before `until`, or before something changes.
    Wait {
        /// When something is due.
        until: Option<Timestamp>,
    },
    /// Nothing: the Secret is somebody else's. The object's condition `Accepted` says so.
    Refuse,
    /// The Secret has to be made.
    Create,
    /// The Secret is that of a deleted `ClientKey` of this name: it goes, and another is made.
    Replace,
    /// The Secret has to be written.
    Write(Change),
}

/// What changes in the Secret of a client key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key is put in; there is none.
    Mint,
    /// The key becomes the one before, and a new one takes its place.
    Rotate,
    /// The key before goes: its time is over.
    Retire,
    /// It goes with the `ClientKey` from now on, or no longer.
    Own,
}

/// Says what has to be done. `secret` is the one that the object's `target` names; `None` when there is none.
pub fn decide(object: &ClientKey, secret: Option<&SecretValues>, now: Timestamp) -> Decision {
    let Some(target) = &object.spec.target else {
        return Decision::Wait { until: None };
    };
    if object.metadata.deletion_timestamp.is_some() {
        return Decision::Wait { until: None };
    }
    let is_over = is_over(object, now);
    let Some(secret) = secret else {
        // A key that cannot be used needs not be made.
        return if is_over {
            Decision::Wait { until: None }
        } else {
            Decision::Create
        };
    };
    let minted = match (Minted::belonging(secret.minted.as_ref(), object), &secret.minted) {
        (Belonging::Ours, Some(minted)) => minted,
        (Belonging::Former, _) => return Decision::Replace,
        (Belonging::Ours | Belonging::Foreign, _) => return Decision::Refuse,
    };
    if !is_over && !has_key(secret, &target.key) {
        return Decision::Write(Change::Mint);
    }
    if minted.owner.is_some() != (target.creation_policy == CreationPolicy::Owner) {
        return Decision::Write(Change::Own);
    }
    inside(object, target, secret, minted, now)
}

/// Decides between rotating, retiring and waiting, for a Secret that is its own and has a key.
fn inside(
    object: &ClientKey,
    target: &MintTarget,
    secret: &SecretValues,
    minted: &Minted,
    now: Timestamp,
) -> Decision {
    let has_previous =
        secret.values.contains_key(&target.previous_key()) || minted.previous_valid_until.is_some();
    let overlap = has_previous.then(|| minted.previous_valid_until.unwrap_or(Timestamp::EPOCH));
    // A key whose age nobody knows is old enough. The one before keeps its time in any case.
    let rotation = object.spec.rotation.filter(|_| !is_over(object, now));
    let rotation = rotation.map(|rotation| {
        let due = minted
            .issued_at
            .map_or(Timestamp::EPOCH, |issued| issued + rotation.every.0);
        due.max(overlap.unwrap_or(Timestamp::EPOCH))
    });
    if rotation.is_some_and(|due| due <= now) {
        Decision::Write(Change::Rotate)
    } else if overlap.is_some_and(|end| end <= now) {
        Decision::Write(Change::Retire)
    } else {
        let until = rotation.into_iter().chain(overlap).min();
        Decision::Wait { until }
    }
}

/// Whether the client has expired.
fn is_over(object: &ClientKey, now: Timestamp) -> bool {
    let end = object.spec.expires_at.as_deref();
    let end = end.and_then(|end| end.parse::<jiff::Timestamp>().ok());
    end.is_some_and(|end| u128::try_from(end.as_microsecond()).unwrap_or(0) <= u128::from(now.as_micros()))
}

fn has_key(secret: &SecretValues, key: &str) -> bool {
    matches!(secret.values.get(key), Some(SecretValue::Known(value)) if !value.expose().is_empty())
}

#[cfg(test)]
mod tests;
