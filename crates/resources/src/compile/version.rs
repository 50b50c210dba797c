//! The content hash of a snapshot.

use serde::Serialize;
use sha2::{Digest, Sha256};
use snapshot::ObjectName;

use crate::Kind;

/// Hashes what goes into a snapshot, in the order of compilation.
pub(super) struct Version(Sha256);

impl Version {
    pub(super) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds an object. Specs serialise in a fixed order, so equal specs hash equally everywhere.
    pub(super) fn object(&mut self, kind: Kind, name: &ObjectName, spec: &impl Serialize) {
        self.part(kind.as_str().as_bytes());
        self.part(name.as_str().as_bytes());
        self.part(&serde_json::to_vec(spec).unwrap_or_default());
    }

    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        let hash = self.0.finalize();
        let half = hash
            .iter()
            .take(16)
            .fold(0u128, |half, byte| half << 8 | u128::from(*byte));
        format!("{half:032x}")
    }
}
