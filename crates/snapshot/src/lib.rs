//! Desired state as validated types.
//!
//! A [`Snapshot`] says which providers, credentials, routes and callers exist; it can be printed and
//! holds no secret. A [`Keyring`] holds the secrets that go with it and cannot be printed. Both are made
//! by `resources::compile` and used by the gateway for whole calls at a time.
//!
//! This crate is pure: it never learns of Kubernetes, sockets, clocks or wire bytes.

mod calendar;
mod client;
mod credential;
mod keyring;
mod name;
mod provider;
mod quota;
mod route;
mod secret;
mod time;

use std::{collections::BTreeMap, sync::Arc};

pub use calendar::{Bounds, Calendar, CalendarUnit};
pub use client::{AcceptedKey, Client, KeyDigest, WhenStoreIsAway};
pub use credential::{CallLimits, Credential, ModelFilter};
pub use keyring::{CredentialSecret, DigestKey, Keyring, SecretVersion};
pub use name::{ClientName, CredentialName, InvalidName, ObjectName, ProviderName, RouteName};
pub use provider::{
    Affinity, AffinityBy, Auth, Azure, AzureStyle, Breaker, Consumers, Endpoint, ErrorMatch, ErrorRule,
    Fault, Header, HeaderSource, Model, Provider, RestReason, RestRule, RestScope, Scheme, Selection,
    Strategy, Timeouts, Tls,
};
pub use quota::{Period, QuotaWindow};
pub use route::{FallbackOn, ModelPattern, Retry, Route, StreamPolicy, Target};
pub use secret::Secret;
pub use time::Timestamp;

/// Everything that a gateway may serve, at one moment. Immutable; a change is another snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Content hash of all objects below; equal on every process that compiled the same objects.
    pub version: String,
    /// Upstream endpoints by name.
    pub providers: BTreeMap<ProviderName, Arc<Provider>>,
    /// Accounts and keys by name. Their secrets are in the [`Keyring`].
    pub credentials: BTreeMap<CredentialName, Arc<Credential>>,
    /// Named routes by name.
    pub routes: BTreeMap<RouteName, Arc<Route>>,
    /// Callers by name.
    pub clients: BTreeMap<ClientName, Arc<Client>>,
}
