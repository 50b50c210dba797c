//! Callers.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use subtle::ConstantTimeEq;

use crate::{CallLimits, ClientName, ModelPattern, QuotaWindow, Timestamp};

/// One caller: a client key without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Which `ClientKey` this is.
    pub name: ClientName,
    /// The keys that it may present (two while a rotation overlaps).
    pub keys: Vec<AcceptedKey>,
    /// Whether it may use the admin routes of its namespace.
    pub admin: bool,
    /// The models that it may name; empty allows all.
    pub models: Vec<ModelPattern>,
    /// What it may use at most.
    pub limits: CallLimits,
    /// What becomes of its limits while replicas cannot agree on what is used.
    pub when_store_is_away: WhenStoreIsAway,
    /// What it may use within longer periods.
    pub budgets: Vec<QuotaWindow>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// Whether answers tell it the credential used and the number of attempts.
    pub debug_headers: bool,
}

/// A key that a client may present, by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedKey {
    /// Recognises the key.
    pub digest: KeyDigest,
    /// When it stops working because another took its place; `None` while none did. The client's own end holds too.
    pub valid_until: Option<Timestamp>,
}

impl From<KeyDigest> for AcceptedKey {
    /// A key that no other replaces.
    fn from(digest: KeyDigest) -> Self {
        Self {
            digest,
            valid_until: None,
        }
    }
}

/// What becomes of a caller's limits while replicas cannot agree on what is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStoreIsAway {
    /// Each replica holds it to its share.
    #[default]
    Share,
    /// It is refused.
    Refuse,
}

/// A keyed hash (HMAC-SHA-256 under the installation's key) of a client key.
#[derive(Clone, Copy, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Wraps a computed digest.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for KeyDigest {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}
