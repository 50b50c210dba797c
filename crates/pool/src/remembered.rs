//! What is remembered for a while, and at most so many at a time.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use snapshot::Timestamp;

/// A map whose entries expire, and of which the one not touched for longest goes when it is full.
#[derive(Debug)]
pub(crate) struct Remembered<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Touches in order; all but an entry's last are stale.
    touches: VecDeque<(u64, K)>,
    touch: u64,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    expires: Timestamp,
    touch: u64,
}

impl<K: Copy + Eq + Hash, V> Remembered<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            touches: VecDeque::new(),
            touch: 0,
            capacity,
        }
    }

    pub(crate) fn get(&self, key: K, now: Timestamp) -> Option<&V> {
        self.entries
            .get(&key)
            .filter(|entry| entry.expires > now)
            .map(|entry| &entry.value)
    }

    /// Sets a value and its remaining time.
    pub(crate) fn set(&mut self, key: K, value: V, now: Timestamp, ttl: Duration) {
        self.touch += 1;
        self.touches.push_back((self.touch, key));
        let entry = Entry {
            value,
            expires: now + ttl,
            touch: self.touch,
        };
        self.entries.insert(key, entry);
        // Two per insertion, so that stale touches cannot pile up.
        for _ in 0..2 {
            self.drop_oldest(now);
        }
    }

    /// Drops what has expired, from the oldest touch on.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        while self.drop_oldest(now) {}
    }

    /// Drops the oldest touch if it is stale, or its entry if that is expired or one too many.
    fn drop_oldest(&mut self, now: Timestamp) -> bool {
        let Some(&(touch, key)) = self.touches.front() else {
            return false;
        };
        let entry = self.entries.get(&key).filter(|entry| entry.touch == touch);
        if let Some(entry) = entry {
            if entry.expires > now && self.entries.len() <= self.capacity {
                return false;
            }
            self.entries.remove(&key);
        }
        self.touches.pop_front();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use snapshot::Timestamp;

    use super::Remembered;

    const TTL: Duration = Duration::from_secs(60);

    #[test]
    fn entries_expire_and_the_longest_untouched_goes_first() {
        let start = Timestamp::EPOCH;
        let mut remembered = Remembered::new(2);
        remembered.set(1, "a", start, TTL);
        remembered.set(2, "b", start, TTL);
        remembered.set(1, "a", start, TTL);
        remembered.set(3, "c", start, TTL);
        assert_eq!(remembered.get(1, start), Some(&"a"), "touched again");
        assert_eq!(remembered.get(2, start), None, "pushed out");
        assert_eq!(remembered.get(3, start), Some(&"c"), "new");
        assert_eq!(remembered.get(3, start + TTL), None, "expired");
    }

    #[test]
    fn neither_entries_nor_touches_grow_without_bound() {
        let mut remembered = Remembered::new(100);
        let mut now = Timestamp::EPOCH;
        for round in 0..10_000u64 {
            remembered.set(round % 150, round, now, TTL);
            remembered.set(7, round, now, TTL);
            now = now + Duration::from_millis(1);
        }
        assert!(
            remembered.entries.len() <= 100,
            "{} entries",
            remembered.entries.len()
        );
        assert!(
            remembered.touches.len() <= 400,
            "{} touches",
            remembered.touches.len()
        );
        remembered.sweep(now + TTL);
        assert_eq!(
            (remembered.entries.len(), remembered.touches.len()),
            (0, 0),
            "all expired"
        );
    }
}
