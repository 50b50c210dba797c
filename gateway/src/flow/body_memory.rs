//! How much of request bodies is held at once, by all calls together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A bound on the bytes of request bodies in memory.
pub(crate) struct BodyMemory {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl BodyMemory {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            used: Arc::default(),
            limit,
        }
    }

    /// Starts to hold a body, with nothing yet.
    pub(super) fn hold(&self) -> Held {
        Held {
            used: self.used.clone(),
            limit: self.limit,
            bytes: 0,
        }
    }
}

/// The memory of one body, given back on drop.
pub(crate) struct Held {
    used: Arc<AtomicUsize>,
    limit: usize,
    bytes: usize,
}

/// The bound is reached.
pub(super) struct NoMemory;

impl Held {
    /// Takes `bytes` more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) > self.limit {
            Err(NoMemory)
        } else {
            Ok(())
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::BodyMemory;

    #[test]
    fn memory_is_bounded_and_given_back() {
        let memory = BodyMemory::new(100);
        let mut first = memory.hold();
        assert!(first.grow(60).is_ok());
        assert!(
            memory.hold().grow(60).is_err(),
            "two bodies together are over the bound"
        );
        assert!(memory.hold().grow(40).is_ok(), "what was refused is given back");
        drop(first);
        assert!(memory.hold().grow(100).is_ok(), "what was held is given back");
    }
}
