//! Objects: one thing that is served, by kind and name, in one version.

use std::{fmt, sync::Arc};

use crate::{
    Invalid,
    discovery::v1,
    invalid::{Problem, Within},
};

/// The kinds of objects that travel. Secrets are objects of their own, so that what can be printed and what cannot
/// do not share a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A Provider.
    Provider,
    /// A Credential.
    Credential,
    /// A `ModelRoute`.
    Route,
    /// A `ClientKey`.
    Client,
    /// The secret of a Credential.
    CredentialSecret,
    /// The value of a header of a Provider.
    HeaderSecret,
    /// The key of the installation.
    DigestKey,
}

impl Kind {
    /// The name used in reasons.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "Provider",
            Self::Credential => "Credential",
            Self::Route => "ModelRoute",
            Self::Client => "ClientKey",
            Self::CredentialSecret => "secret of Credential",
            Self::HeaderSecret => "header of Provider",
            Self::DigestKey => "digest key",
        }
    }
}

/// Names an object among all that are served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// What it is.
    pub kind: Kind,
    /// Which of its kind; see [`v1::Kind`].
    pub name: Arc<str>,
}

impl ObjectKey {
    pub(crate) fn new(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    pub(crate) fn header(provider: &str, header: &str) -> Self {
        Self::new(Kind::HeaderSecret, format!("{provider}/{header}"))
    }

    pub(crate) fn digest_key() -> Self {
        Self::new(Kind::DigestKey, "installation")
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

impl From<&ObjectKey> for v1::ObjectKey {
    fn from(key: &ObjectKey) -> Self {
        Self {
            kind: v1::Kind::from(key.kind).into(),
            name: key.name.to_string(),
        }
    }
}

impl TryFrom<v1::ObjectKey> for ObjectKey {
    type Error = Invalid;

    fn try_from(message: v1::ObjectKey) -> Result<Self, Invalid> {
        let unknown = Invalid::new("kind", Problem::UnknownValue(message.kind));
        let kind = v1::Kind::try_from(message.kind)
            .ok()
            .and_then(|kind| Kind::try_from(kind).ok());
        Ok(Self::new(kind.ok_or(unknown)?, message.name))
    }
}

impl TryFrom<v1::KnownObject> for (ObjectKey, Arc<str>) {
    type Error = Invalid;

    fn try_from(message: v1::KnownObject) -> Result<Self, Invalid> {
        let key = message.key.ok_or_else(|| Invalid::new("key", Problem::Missing))?;
        Ok((key.try_into().within("key")?, message.version.into()))
    }
}
