//! Entries found by name once and by number from then on.

use std::{
    hash::Hash,
    ops::{Index, IndexMut},
};

use foldhash::HashMap;

/// A map that gives each key a small number. A number stays good until its entry is removed, and
/// entries are removed only when nothing refers to them.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    numbers: HashMap<K, u32>,
    entries: Vec<Option<(K, V)>>,
    free: Vec<u32>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            numbers: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    pub(super) fn number(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// The number of `key`, whose entry is made when missing.
    pub(super) fn intern(&mut self, key: &K, make: impl FnOnce() -> V) -> u32 {
        if let Some(number) = self.number(key) {
            return number;
        }
        let entry = Some((key.clone(), make()));
        let number = if let Some(number) = self.free.pop() {
            self.entries[position(number)] = entry;
            number
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 objects exist")
        };
        self.numbers.insert(key.clone(), number);
        number
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().flatten().map(|(key, value)| (key, value))
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.numbers.values().copied().collect()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().flatten().map(|(_, value)| value)
    }

    /// Takes out what `gone` is true for.
    pub(super) fn extract(&mut self, mut gone: impl FnMut(&mut V) -> bool) -> Vec<(u32, V)> {
        let mut extracted = Vec::new();
        for (number, entry) in (0..).zip(&mut self.entries) {
            if let Some((key, value)) = entry.take_if(|(_, value)| gone(value)) {
                self.numbers.remove(&key);
                self.free.push(number);
                extracted.push((number, value));
            }
        }
        extracted
    }

    pub(super) fn key(&self, number: u32) -> &K {
        &self.entry(number).0
    }

    fn entry(&self, number: u32) -> &(K, V) {
        self.entries[position(number)]
            .as_ref()
            .expect("a number is kept only while its entry is")
    }
}

impl<K: Clone + Eq + Hash, V> Index<u32> for Table<K, V> {
    type Output = V;

    fn index(&self, number: u32) -> &V {
        &self.entry(number).1
    }
}

impl<K: Clone + Eq + Hash, V> IndexMut<u32> for Table<K, V> {
    fn index_mut(&mut self, number: u32) -> &mut V {
        let entry = self.entries[position(number)].as_mut();
        &mut entry.expect("a number is kept only while its entry is").1
    }
}

fn position(number: u32) -> usize {
    number as usize
}
