//! A value that cannot be printed.

use std::fmt;

use zeroize::Zeroizing;

/// Secret bytes. Printing shows `[redacted]`; the memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Callers are few: what signs, sends or compares.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("canary-0123456789");
        let printed = format!("{secret:?} {secret:#?} {:?}", Some(&secret));
        assert_eq!(
            printed, "[redacted] [redacted] Some([redacted])",
            "Debug must not show the bytes"
        );
    }
}
