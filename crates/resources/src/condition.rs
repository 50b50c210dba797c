//! What is true of an object: conditions with reasons from a closed set.

use std::fmt;

use crate::Identity;

/// What is true of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectConditions {
    /// The object.
    pub identity: Identity,
    /// One condition per type.
    pub conditions: Vec<Condition>,
}

impl ObjectConditions {
    /// Whether every condition is true.
    pub fn is_good(&self) -> bool {
        self.conditions.iter().all(|condition| condition.status)
    }

    /// The condition of this type.
    pub fn get(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// One fact about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which fact.
    pub kind: ConditionType,
    /// Whether it is so.
    pub status: bool,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in a sentence that says what to do. Never holds the value of a Secret.
    pub message: String,
}

/// The facts that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// The object is valid by itself.
    Accepted,
    /// What it refers to exists and can be used.
    ResolvedRefs,
    /// It can be used now, or again without anybody's help.
    Ready,
    /// Every gateway serves this version of it.
    Programmed,
    /// A Credential rests.
    CoolingDown,
    /// The quota of a Credential is used up.
    QuotaExhausted,
    /// It is on its way to the gateways. Told only while it is so.
    Reconciling,
    /// Nothing gets better until somebody changes it. Told only while it is so.
    Stalled,
}

impl ConditionType {
    /// The name used in status and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Ready => "Ready",
            Self::Programmed => "Programmed",
            Self::CoolingDown => "CoolingDown",
            Self::QuotaExhausted => "QuotaExhausted",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a condition has its status. A closed set: people and tools match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Accepted: nothing is wrong.
    Valid,
    /// Not accepted: the text is not YAML.
    InvalidYaml,
    /// Not accepted: a field is unknown, missing, of the wrong type or out of bounds.
    InvalidSpec,
    /// Not accepted: no such kind.
    UnknownKind,
    /// Not accepted: a Provider's name would shadow a route.
    ReservedName,
    /// Not accepted: another object of the kind has the name.
    DuplicateName,
    /// Not accepted: the address is one that may not be used.
    AddressForbidden,
    /// Not accepted: a calendar names a time zone that does not exist.
    UnknownTimeZone,
    /// Not accepted: a client key is too short.
    WeakKey,
    /// Not accepted: another `ClientKey` has the same key.
    DuplicateKey,
    /// Refs resolved: all of them.
    Resolved,
    /// Refs not resolved: no such Provider.
    ProviderNotFound,
    /// Refs not resolved: the Provider exists and is not accepted or lacks something itself.
    ProviderNotUsable,
    /// Refs not resolved: the Provider takes no key.
    ProviderTakesNoKey,
    /// Refs not resolved: no such Secret.
    SecretMissing,
    /// Refs not resolved: no such `ConfigMap`.
    ConfigMapMissing,
    /// Refs not resolved: the Secret or `ConfigMap` lacks the key.
    KeyMissing,
    /// Refs not resolved: the value is empty.
    EmptyKey,
    /// Refs not resolved: the value cannot be used, such as a key with a control character.
    InvalidKey,
    /// Refs not resolved: a variable or file that the value names is not there.
    UnexpandedVariable,
    /// Ready: nothing is wrong.
    Usable,
    /// Ready: it rests, and is used again by itself.
    CoolingDown,
    /// Ready, and `CoolingDown` or `QuotaExhausted`: its quota is used up until its period ends.
    QuotaExhausted,
    /// `CoolingDown`: too many calls or tokens in a short time.
    RateLimited,
    /// `CoolingDown`: the upstream has no model for it.
    ModelUnavailable,
    /// `CoolingDown`: it fails without a known reason.
    Failing,
    /// Not `CoolingDown`: it does not rest.
    NotResting,
    /// Not `QuotaExhausted`: nothing says that its quota is used up.
    WithinQuota,
    /// Not ready: `spec.suspend` is set.
    Suspended,
    /// Not ready: the upstream does not take the key.
    Unauthorized,
    /// Not ready: the upstream has blocked the account.
    AccountBlocked,
    /// Not ready: a Provider that takes keys has no Credential.
    NoCredentials,
    /// Not ready: no Credential of the Provider is.
    NoReadyCredential,
    /// Not ready: no target of the `ModelRoute` is.
    NoReadyTarget,
    /// Not ready: the key of a caller has expired.
    Expired,
    /// Not accepted: the Secret to mint into is somebody else's.
    SecretExists,
    /// Programmed: every gateway has this version.
    Delivered,
    /// Not programmed: it is on its way to the gateways.
    Distributing,
    /// Not programmed: a gateway refuses the version.
    Refused,
    /// Not programmed: it must not be served.
    NotServed,
    /// Nobody knows whether it is programmed: there is no gateway.
    NoGateways,
}

impl Reason {
    /// The name used in status and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "Valid",
            Self::InvalidYaml => "InvalidYaml",
            Self::InvalidSpec => "InvalidSpec",
            Self::UnknownKind => "UnknownKind",
            Self::ReservedName => "ReservedName",
            Self::DuplicateName => "DuplicateName",
            Self::AddressForbidden => "AddressForbidden",
            Self::UnknownTimeZone => "UnknownTimeZone",
            Self::WeakKey => "WeakKey",
            Self::DuplicateKey => "DuplicateKey",
            Self::Resolved => "Resolved",
            Self::ProviderNotFound => "ProviderNotFound",
            Self::ProviderNotUsable => "ProviderNotUsable",
            Self::ProviderTakesNoKey => "ProviderTakesNoKey",
            Self::SecretMissing => "SecretMissing",
            Self::ConfigMapMissing => "ConfigMapMissing",
            Self::KeyMissing => "KeyMissing",
            Self::EmptyKey => "EmptyKey",
            Self::InvalidKey => "InvalidKey",
            Self::UnexpandedVariable => "UnexpandedVariable",
            Self::Usable => "Usable",
            Self::CoolingDown => "CoolingDown",
            Self::QuotaExhausted => "QuotaExhausted",
            Self::RateLimited => "RateLimited",
            Self::ModelUnavailable => "ModelUnavailable",
            Self::Failing => "Failing",
            Self::NotResting => "NotResting",
            Self::WithinQuota => "WithinQuota",
            Self::Suspended => "Suspended",
            Self::Unauthorized => "Unauthorized",
            Self::AccountBlocked => "AccountBlocked",
            Self::NoCredentials => "NoCredentials",
            Self::NoReadyCredential => "NoReadyCredential",
            Self::NoReadyTarget => "NoReadyTarget",
            Self::Expired => "Expired",
            Self::SecretExists => "SecretExists",
            Self::Delivered => "Delivered",
            Self::Distributing => "Distributing",
            Self::Refused => "Refused",
            Self::NotServed => "NotServed",
            Self::NoGateways => "NoGateways",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why something is not so: the reason and the sentence of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn condition(self, kind: ConditionType) -> Condition {
        Condition {
            kind,
            status: false,
            reason: self.reason,
            message: self.message,
        }
    }
}
