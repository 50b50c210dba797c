//! What changes from one version to the next.

use std::collections::BTreeSet;

use crate::{
    Contents, ObjectKey, Refused, Versions,
    contents::{Draft, opened},
    discovery::v1,
};

/// What leads from `old` to `new`. Objects of equal version are taken to be equal.
pub fn diff(old: &Versions, new: &Contents, sequence: u64) -> v1::Delta {
    let versions = new.versions();
    let changed = versions
        .objects
        .iter()
        .filter(|(key, version)| old.objects.get(*key) != Some(*version));
    let gone = old
        .objects
        .keys()
        .filter(|key| !versions.objects.contains_key(*key));
    v1::Delta {
        sequence,
        base: old.snapshot.to_string(),
        version: versions.snapshot.to_string(),
        upserts: changed.filter_map(|(key, _)| new.object(key)).collect(),
        removals: gone.map(Into::into).collect(),
        digest: versions.digest().to_vec(),
    }
}

/// What `base` becomes. Objects that do not change are shared with it. The sequence number is not looked at:
/// see [`Follower`](crate::Follower).
pub fn apply(base: &Contents, delta: v1::Delta) -> Result<Contents, Refused> {
    let expected = &base.versions().snapshot;
    if delta.base != **expected {
        return Err(Refused::Base {
            expected: expected.to_string(),
            found: delta.base,
        });
    }
    let mut draft = Draft::from(base);
    let mut seen = BTreeSet::new();
    for (index, removal) in delta.removals.into_iter().enumerate() {
        let key = ObjectKey::try_from(removal).map_err(|invalid| Refused::Removal { index, invalid })?;
        if !draft.remove(&key) {
            return Err(Refused::Absent(key));
        }
        seen.insert(key);
    }
    for (index, object) in delta.upserts.into_iter().enumerate() {
        let (key, version, object) = opened(object).ok_or(Refused::UnknownKind(index))?;
        draft.put(&key, version, object)?;
        if let Some(twice) = seen.replace(key) {
            return Err(Refused::Twice(twice));
        }
    }
    draft.finish(delta.version, &delta.digest)
}
