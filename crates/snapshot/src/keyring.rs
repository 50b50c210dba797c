//! The secrets that go with a snapshot.

use std::{collections::HashMap, fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{CredentialName, KeyDigest, ProviderName, Secret};

/// Identifies one value of a secret without revealing it: changes exactly when the value does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretVersion(pub Arc<str>);

/// The secret of one credential at one version.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialSecret {
    /// Which value this is.
    pub version: SecretVersion,
    /// The key or token that the upstream wants.
    pub secret: Secret,
}

/// The per-installation key under which client keys and secret versions are hashed.
#[derive(Clone)]
pub struct DigestKey {
    mac: Hmac<Sha256>,
}

impl DigestKey {
    /// Derives the hashing state from the installation's key (any length, 32 random bytes advised).
    #[expect(clippy::missing_panics_doc, reason = "HMAC takes keys of any length")]
    pub fn new(key: &Secret) -> Self {
        let mac = Hmac::new_from_slice(key.expose()).expect("an HMAC key may have any length");
        Self { mac }
    }

    /// The digest of a client key, as stored in the snapshot.
    pub fn digest(&self, key: &[u8]) -> KeyDigest {
        KeyDigest::new(self.tag(key))
    }

    /// The version of a secret value.
    pub fn version(&self, secret: &Secret) -> SecretVersion {
        let tag = self.tag(secret.expose());
        let prefix = tag
            .iter()
            .take(8)
            .fold(0u64, |prefix, byte| prefix << 8 | u64::from(*byte));
        SecretVersion(format!("{prefix:016x}").into())
    }

    fn tag(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

/// All secrets of one moment. Not printable and not serialisable.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyring {
    /// What each credential presents upstream. A credential of a Provider without authentication is absent.
    pub credentials: HashMap<CredentialName, CredentialSecret>,
    /// Values of Provider headers that come from Secrets, by Provider and lower-case header name.
    pub headers: HashMap<(ProviderName, String), Secret>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring [redacted]")
    }
}
