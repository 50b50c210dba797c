//! The resource kinds, their schema, and compile: objects to Snapshot, Keyring and conditions.
//!
//! [`kinds`] are the types that people write, [`schema`] is what is generated from them (the definitions for
//! an API server, and the same checks for files), [`manifest`] reads files into [`Objects`], and
//! [`compile()`] turns objects into what a gateway serves.
//!
//! This crate is pure: files, environment and time come in as arguments. It never logs, and nothing that
//! it says about an object contains the value of a Secret.

pub mod compile;
pub mod condition;
pub mod kinds;
pub mod manifest;
mod minted;
mod object;
mod references;
pub mod schema;

pub use compile::{Compiled, Place, compile};
pub use condition::{Condition, ConditionType, ObjectConditions, Reason};
pub use minted::{Belonging, Minted};
pub use object::{Identity, Kind, Object, Objects, SecretValue, SecretValues};
pub use references::references;
