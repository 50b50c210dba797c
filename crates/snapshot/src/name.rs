//! Names of objects: `namespace/name`, one type per kind.

use std::{fmt, sync::Arc};

/// The identity of an object: `namespace/name`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(Arc<str>);

/// A text that is not `namespace/name`.
#[derive(Debug, thiserror::Error)]
#[error("expected namespace/name with both parts not empty")]
pub struct InvalidName;

impl ObjectName {
    /// Joins the two parts. Fails when one is empty or holds a slash.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidName> {
        if namespace.is_empty() || name.is_empty() || namespace.contains('/') || name.contains('/') {
            return Err(InvalidName);
        }
        Ok(Self(format!("{namespace}/{name}").into()))
    }

    /// `namespace/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name within the namespace.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ObjectName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (namespace, name) = text.split_once('/').ok_or(InvalidName)?;
        Self::new(namespace, name)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $kind(ObjectName);

        impl $kind {
            /// Joins the two parts. Fails when one is empty or holds a slash.
            pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidName> {
                ObjectName::new(namespace, name).map(Self)
            }
        }

        impl From<ObjectName> for $kind {
            fn from(name: ObjectName) -> Self {
                Self(name)
            }
        }

        impl std::ops::Deref for $kind {
            type Target = ObjectName;

            fn deref(&self) -> &ObjectName {
                &self.0
            }
        }

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $kind {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                text.parse().map(Self)
            }
        }
    )*};
}

kinds! {
    /// The name of a Provider.
    ProviderName
    /// The name of a Credential.
    CredentialName
    /// The name of a `ModelRoute`.
    RouteName
    /// The name of a `ClientKey`.
    ClientName
}
