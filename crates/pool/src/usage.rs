//! What was used: requests and tokens per day and name, of calls that end and of calls that do not.
//!
//! [`Ledger`] counts in the process, [`redis::ledger`](crate::redis::ledger) shares what it counts. A call
//! is counted when it begins, in the day in which it begins; its guard ([`Open`]) moves it from open to
//! settled once, whatever happens to the call. So a process can say at any time what it used and what may
//! still come, as absolute numbers that only it writes.

mod book;
mod counts;
mod day;
mod dimension;
mod ledger;
mod report;

pub use counts::{Counts, Tally};
pub use day::Day;
pub use dimension::Dimension;
pub use ledger::{Attempt, Call, Ledger, Open};
pub use report::{Report, Row};

pub(crate) use book::Change;
pub(crate) use counts::{believed, believed_usage};
pub(crate) use dimension::OTHER;
pub(crate) use ledger::Changes;
