//! The two ways this crate reads JSON.
//!
//! [`strict`] is a validating token reader for requests: what it accepts is JSON, so that nothing which
//! another parser would read differently passes the gateway. [`raw`] is a lenient walker for answers: it
//! finds members and leaves their values as bytes. Neither recurses, allocates per value, or builds a tree.

pub(crate) mod raw;
pub(crate) mod strict;
mod text;

pub(crate) use text::{decode, encode};
