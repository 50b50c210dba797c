//! Usage as it is read.

use std::sync::Arc;

use super::{Day, Dimension, Tally};

/// What was used and is under way, by day, dimension and name, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Each name that was used.
    pub rows: Vec<Row>,
}

/// One name in one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The day in which the calls began.
    pub day: Day,
    /// What the name is of.
    pub dimension: Dimension,
    /// The name; `other` for all that were too long or too many.
    pub name: Arc<str>,
    /// Its numbers.
    pub tally: Tally,
}

impl Report {
    pub(crate) fn new(mut rows: Vec<Row>) -> Self {
        rows.sort_unstable_by(|a, b| (a.day, a.dimension, &a.name).cmp(&(b.day, b.dimension, &b.name)));
        Self { rows }
    }
}
