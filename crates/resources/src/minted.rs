//! What a Secret says of the client key that was minted into it. The Secret is the state: nothing else remembers it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use snapshot::Timestamp;

use crate::{
    Kind,
    kinds::{ClientKey, GROUP},
};

/// What a Secret says of the client key that was minted into it. Holds nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The name of the `ClientKey` that it was minted for, in the same namespace.
    pub client_key: String,
    /// The uid of that `ClientKey`, where the Secret goes with it.
    pub owner: Option<String>,
    /// When the key was minted; `None` when somebody has taken the note away.
    pub issued_at: Option<Timestamp>,
    /// Until when the key before works too; `None` when there is none.
    pub previous_valid_until: Option<Timestamp>,
}

/// Whose Secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belonging {
    /// It was minted for this `ClientKey`.
    Ours,
    /// It went with a `ClientKey` of this name that is deleted. Its key must not live on.
    Former,
    /// It is somebody else's.
    Foreign,
}

impl Minted {
    /// The annotation that names the `ClientKey`.
    pub const CLIENT_KEY: &'static str = "roundhouse.dev/client-key";
    /// The annotation that says when the key was minted.
    pub const ISSUED_AT: &'static str = "roundhouse.dev/issued-at";
    /// The annotation that says until when the key before works too.
    pub const PREVIOUS_VALID_UNTIL: &'static str = "roundhouse.dev/previous-valid-until";

    /// Reads the metadata of a Secret; `None` when no client key was minted into it.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let annotation = |name| metadata.annotations.as_ref()?.get(name);
        let time = |name| annotation(name).and_then(|text| timestamp(text));
        Some(Self {
            client_key: annotation(Self::CLIENT_KEY)?.clone(),
            owner: owner(metadata).map(|owner| owner.uid.clone()),
            issued_at: time(Self::ISSUED_AT),
            previous_valid_until: time(Self::PREVIOUS_VALID_UNTIL),
        })
    }

    /// Whether a Secret with these notes, or without any, is the one of `object`.
    pub fn belonging(notes: Option<&Self>, object: &ClientKey) -> Belonging {
        let ours = notes.filter(|notes| Some(&notes.client_key) == object.metadata.name.as_ref());
        match ours {
            None => Belonging::Foreign,
            Some(notes) if notes.owner.is_some() && notes.owner != object.metadata.uid => Belonging::Former,
            Some(_) => Belonging::Ours,
        }
    }
}

/// The `ClientKey` that a Secret goes with.
fn owner(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| {
        let group = owner.api_version.split('/').next();
        owner.kind == Kind::ClientKey.as_str() && group == Some(GROUP)
    })
}

/// A time as RFC 3339 writes it. One before 1970 has passed as well as 1970 has.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_micros(
        u64::try_from(time.as_microsecond()).unwrap_or(0),
    ))
}
