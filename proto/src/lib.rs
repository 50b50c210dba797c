//! The gRPC protocols of Roundhouse: what gateways, operators and administrators say to each other.
//!
//! `roundhouse.discovery.v1` carries the desired state from operators to gateways, `roundhouse.admin.v1` what people,
//! tools and gateways ask of operators. The `.proto` files are the reference, comments included; `build.rs` makes
//! [`discovery`] and [`admin`] of them.
//!
//! This crate knows no socket, no clock and no task: messages go in, messages and values come out. Connections belong
//! to the gateway and the operator. Start with [`Contents`], which is all that a gateway serves:
//!
//! ```text
//! operator:  Contents::new ──> Announcer::update ──> chunks | diff ──┐
//!                                                                    │ StreamResponse
//! gateway:   Contents      <── Follower::accept <── Assembler | apply┘
//! ```
//!
//! - Objects of [`snapshot`] become messages by `From`, and messages objects by `TryFrom`; [`Invalid`] names the
//!   field that cannot be taken, never its value.
//! - Every [object](ObjectKey) has a version: a keyed hash of its content, made by the operator and carried along. A
//!   gateway never computes one: it may know fewer fields than what was hashed.
//! - Secrets travel in messages of their own, which cannot be printed. `.proto` files mark their fields with
//!   `debug_redact`.
//! - A digest over all names and versions says whether what was put together is what was meant. That values arrive as
//!   they were sent is TLS's business.
//!
//! # Compatibility
//!
//! Gateways and operators of neighbouring builds talk to each other during every upgrade. Numbers are never used again;
//! fields and cases are only added. A field that is not known is ignored, so a new field must be one that may be
//! ignored. What must not be ignored is added as an enum value or a case of a oneof: a build that does not know it
//! refuses the whole version with a reason, and keeps the last good one.

mod announcer;
mod contents;
mod convert;
mod delta;
mod follower;
mod generated;
mod invalid;
mod object;
mod refused;
mod transfer;

pub use announcer::{Announcer, Update};
pub use contents::{Contents, Versions};
pub use convert::Reported;
pub use delta::{apply, diff};
pub use follower::{Follower, Refusal};
pub use generated::roundhouse::{admin, discovery};
pub use invalid::{Invalid, Problem};
pub use object::{Kind, ObjectKey};
pub use refused::Refused;
pub use transfer::{Assembler, Chunks, MESSAGE_LIMIT, TRANSFER_LIMIT, chunks};

/// The `.proto` files as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
