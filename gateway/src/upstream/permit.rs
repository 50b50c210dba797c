//! Whether a request may still be sent as it was written.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Whether a request may still be sent as it was written. Waiting for a connection takes time, in which the key that the
/// request presents may be taken back.
#[derive(Debug, Default)]
pub struct Permit(RwLock<bool>);

/// While it is held, the permit is not taken back.
pub(super) struct Held<'a>(#[expect(dead_code, reason = "it is held")] RwLockReadGuard<'a, bool>);

impl Permit {
    /// Takes it back for ever. No request begins under it once this has returned: one whose first bytes are being
    /// handed over at this moment is waited for, which takes no longer than a write that does not wait.
    pub fn revoke(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Holds it while the first bytes of a request are handed over; `None` when it was taken back.
    pub(super) fn hold(&self) -> Option<Held<'_>> {
        let revoked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (!*revoked).then_some(Held(revoked))
    }
}
