//! Why a version is refused.

use crate::{Invalid, ObjectKey};

/// Why a version, or a message of its transfer, is refused. Its text is the reason of a `Nack`: it names objects and
/// fields, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An object says something that cannot be taken.
    #[error("{object}: {invalid}")]
    Object {
        /// Which.
        object: ObjectKey,
        /// What.
        #[source]
        invalid: Invalid,
    },
    /// The name of an object to remove cannot be taken.
    #[error("removals[{index}].{invalid}")]
    Removal {
        /// Which of all.
        index: usize,
        /// What.
        #[source]
        invalid: Invalid,
    },
    /// An object is of a kind that this version does not know.
    #[error("objects[{0}]: its kind is not known to this version")]
    UnknownKind(usize),
    /// A message came where it has no place.
    #[error("a {0} came out of place")]
    OutOfPlace(&'static str),
    /// A response without a message, or with one that this version does not know.
    #[error("a message is missing, or is not known to this version")]
    UnknownMessage,
    /// A chunk is missing, repeated or out of order.
    #[error("expected chunk {expected}, found chunk {found}")]
    Chunk {
        /// The place of the next one.
        expected: u32,
        /// The place that it says.
        found: u32,
    },
    /// The transfer has ended before its last chunk, or after it.
    #[error("expected {expected} chunks, found {found}")]
    Chunks {
        /// How many the end says.
        expected: u32,
        /// How many came.
        found: u32,
    },
    /// There are more or fewer objects than announced.
    #[error("expected {expected} objects, found {found}")]
    Objects {
        /// How many were announced.
        expected: u64,
        /// How many came.
        found: u64,
    },
    /// More bytes than are taken.
    #[error("the objects have more than {limit} bytes")]
    TooLarge {
        /// How many are taken.
        limit: usize,
    },
    /// The same object came twice.
    #[error("{0} came twice")]
    Twice(ObjectKey),
    /// An object is to be removed that is not there.
    #[error("{0} is to be removed and is not there")]
    Absent(ObjectKey),
    /// A delta or mark that does not follow the one before.
    #[error("expected sequence number {expected}, found {found}")]
    Sequence {
        /// The next number.
        expected: u64,
        /// The number that it says.
        found: u64,
    },
    /// A delta or mark of another version than the one that is there.
    #[error("expected version {expected:?} as the base, found {found:?}")]
    Base {
        /// The version that is there; empty before the first.
        expected: String,
        /// The version that it says.
        found: String,
    },
    /// Names and versions of all objects are not what was announced.
    #[error("the digest over names and versions is another than announced")]
    Digest,
    /// There is no key of the installation.
    #[error("the digest key is missing")]
    NoDigestKey,
}
