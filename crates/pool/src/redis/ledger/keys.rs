//! Names in the store.

use crate::usage::{Day, Dimension};

/// Makes keys, which share one hash tag so that a cluster keeps them together.
#[derive(Debug)]
pub(super) struct Keys {
    root: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            root: format!("{prefix}:{{usage}}:"),
        }
    }

    pub(super) fn store(&self) -> Vec<u8> {
        self.key("store")
    }

    pub(super) fn owners(&self) -> Vec<u8> {
        self.key("owners")
    }

    pub(super) fn life(&self, owner: &str) -> Vec<u8> {
        self.key(&format!("life:{owner}"))
    }

    pub(super) fn own(&self, owner: &str, day: Day) -> Vec<u8> {
        self.key(&format!("own:{owner}:{day}"))
    }

    pub(super) fn grave(&self, owner: &str, day: Day) -> Vec<u8> {
        self.key(&format!("grave:{owner}:{day}"))
    }

    pub(super) fn base(&self, day: Day) -> Vec<u8> {
        self.key(&format!("base:{day}"))
    }

    fn key(&self, rest: &str) -> Vec<u8> {
        [self.root.as_bytes(), rest.as_bytes()].concat()
    }
}

/// The field of a name in a hash of counts.
pub(super) fn field(dimension: Dimension, name: &str) -> String {
    format!("{}|{name}", dimension.as_str())
}

/// What [`field`] made; `None` for fields that are no counts.
pub(super) fn parse_field(field: &str) -> Option<(Dimension, &str)> {
    let (dimension, name) = field.split_once('|')?;
    Some((dimension.parse().ok()?, name))
}

/// The pattern of the fields of a dimension.
pub(super) fn pattern(dimension: Option<Dimension>) -> String {
    dimension.map_or_else(|| "*".to_owned(), |dimension| field(dimension, "*"))
}
