//! What goes into the index and what comes out of it.

use std::{fmt, sync::Arc};

use resources::{Identity, Kind, Object};

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// An object was made or changed.
    Applied(Identity, Content),
    /// An object was deleted, and somebody saw it.
    Deleted(Identity),
    /// Everything of a kind in a namespace was listed.
    Relisted(Scope, Vec<(Identity, Content)>),
    /// A Secret or `ConfigMap` was asked for.
    Fetched(Identity, Fetched),
}

/// What is kept of something that is watched.
#[derive(Clone, Debug)]
pub enum Content {
    /// An object of ours.
    Object(Object),
    /// An object of ours that is not as it must be, and why.
    Undecodable(String),
    /// A Secret or `ConfigMap`, of which no value is seen.
    Stub(Stub),
}

/// What is kept of every Secret and `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Changes whenever anything of it does.
    pub resource_version: Arc<str>,
    /// Whether its label says that Credentials may use it.
    pub labelled: bool,
}

/// What became of asking for a Secret or `ConfigMap`.
#[derive(Debug)]
pub enum Fetched {
    /// It is there.
    Found {
        /// Its state at that moment.
        stub: Stub,
        /// Its values.
        object: Object,
    },
    /// It is not there.
    Missing,
    /// It may not be read, and why. Asking goes on.
    Denied(String),
}

/// All objects of a kind in a namespace, or in all namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Their kind.
    pub kind: Kind,
    /// Their namespace; `None` for all.
    pub namespace: Option<Arc<str>>,
}

/// Something that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// List it again, whatever its watch says.
    Relist(Scope),
    /// Ask for a Secret or `ConfigMap`, until an answer says what it is.
    Fetch(Identity),
    /// Stop to ask for it.
    Forget(Identity),
}

/// What an event changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing that anybody is told.
    None,
    /// Metadata or status of objects, which compile does not look at.
    Metadata,
    /// What compile looks at.
    Content,
}

impl Scope {
    /// Whether an object is one of these.
    pub fn holds(&self, identity: &Identity) -> bool {
        let namespace = self.namespace.as_deref();
        self.kind == identity.kind && namespace.is_none_or(|namespace| namespace == identity.name.namespace())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}s of namespace {namespace}", self.kind),
            None => write!(f, "{}s of all namespaces", self.kind),
        }
    }
}
