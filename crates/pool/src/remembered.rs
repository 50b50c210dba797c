//! What is remembered for a while, and at most so many at a time.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::{BuildHasher, Hash, Hasher},
    time::Duration,
};

use snapshot::Timestamp;

/// A map whose entries expire, and of which the one not touched for longest goes when it is full.
#[derive(Debug)]
pub(crate) struct Remembered<K, V, S = RandomState> {
    entries: HashMap<K, Entry<V>, S>,
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

/// Takes keys as they are. Only for keys that come out of a keyed hash: nobody can choose those.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<K: Copy + Eq + Hash, V, S: BuildHasher + Default> Remembered<K, V, S> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::default(),
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

    /// Changes a value that is there, or sets what `change` makes of nothing. Either way it has `ttl` left, or a sixtieth
    /// less: what was touched just before is not touched again.
    pub(crate) fn change(
        &mut self,
        key: K,
        now: Timestamp,
        ttl: Duration,
        change: impl FnOnce(Option<&V>) -> V,
    ) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.expires > now) else {
            return self.set(key, change(None), now, ttl);
        };
        let value = change(Some(&entry.value));
        if entry.expires + ttl / 60 >= now + ttl {
            entry.value = value;
        } else {
            self.set(key, value, now, ttl);
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
        let mut remembered: Remembered<_, _> = Remembered::new(2);
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
    fn a_change_keeps_an_entry_alive() {
        let start = Timestamp::EPOCH;
        let mut remembered: Remembered<_, _> = Remembered::new(2);
        let count = |known: Option<&u32>| known.map_or(1, |known| known + 1);
        let mut now = start;
        for _ in 0..200 {
            remembered.change(1, now, TTL, count);
            now = now + Duration::from_millis(500);
        }
        assert_eq!(
            remembered.get(1, now),
            Some(&200),
            "it was never gone for a minute"
        );
        assert!(
            remembered.touches.len() <= 2,
            "{} touches",
            remembered.touches.len()
        );
        remembered.change(1, now + TTL, TTL, count);
        assert_eq!(
            remembered.get(1, now + TTL),
            Some(&1),
            "what has expired does not count"
        );
    }

    #[test]
    fn neither_entries_nor_touches_grow_without_bound() {
        let mut remembered: Remembered<_, _> = Remembered::new(100);
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
