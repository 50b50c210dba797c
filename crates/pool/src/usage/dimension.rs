//! What usage is counted by.

use std::str::FromStr;

/// What usage is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// The client key, `namespace/name`.
    Client,
    /// The route, as the caller of the ledger names it.
    Route,
    /// The Provider, `namespace/name`.
    Provider,
    /// The credential, `namespace/name`.
    Credential,
    /// The upstream's name of the model.
    Model,
}

/// A text that names no dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected client, route, provider, credential or model")]
pub struct UnknownDimension;

/// Stands for all names that are too long, or one too many. No object has this name, for it has no slash.
pub(crate) const OTHER: &str = "other";

impl Dimension {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Client,
        Self::Route,
        Self::Provider,
        Self::Credential,
        Self::Model,
    ];

    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Route => "route",
            Self::Provider => "provider",
            Self::Credential => "credential",
            Self::Model => "model",
        }
    }

    /// Names that are counted each by itself in a day, at most. Names of models, and of routes where these are
    /// models, can come from clients.
    pub(crate) const fn most_names(self) -> usize {
        match self {
            Self::Client | Self::Provider | Self::Credential => 10_000,
            Self::Route | Self::Model => 1_000,
        }
    }

    /// The longest name that is counted by itself, in bytes. Names of objects are at most 317 in Kubernetes.
    const fn longest_name(self) -> usize {
        match self {
            Self::Client | Self::Provider | Self::Credential => 512,
            Self::Route | Self::Model => 256,
        }
    }

    /// The name to count `name` by, as far as its length goes.
    pub(super) const fn bounded(self, name: &str) -> &str {
        if name.len() > self.longest_name() {
            OTHER
        } else {
            name
        }
    }
}

impl FromStr for Dimension {
    type Err = UnknownDimension;

    fn from_str(text: &str) -> Result<Self, UnknownDimension> {
        let known = Self::ALL.into_iter().find(|dimension| dimension.as_str() == text);
        known.ok_or(UnknownDimension)
    }
}
