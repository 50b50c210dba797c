//! Why a request body was refused. Every message is fit for the caller who sent it.

use std::fmt;

use thiserror::Error;

use crate::json::strict::{Fault, MAX_DEPTH, Token};

/// Why a request body was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeekError {
    /// There is no body, or only white space.
    #[error("the request body is empty, expected a JSON object")]
    Empty,
    /// The body is not text.
    #[error("the request body is not valid UTF-8 at byte {at}")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// The body is not JSON.
    #[error("the request body is not valid JSON: expected {expected} at byte {at}")]
    Malformed {
        /// Offset of the byte that does not fit.
        at: usize,
        /// What would have fitted.
        expected: &'static str,
    },
    /// The body is JSON, but not an object.
    #[error("the request body must be a JSON object, found {found}")]
    NotAnObject {
        /// What it is instead.
        found: JsonType,
    },
    /// A name occurs twice, so two readers could see two different requests.
    #[error("the request body contains '{name}' more than once")]
    Duplicate {
        /// The decoded name.
        name: String,
    },
    /// The object has more members than any request of any vendor.
    #[error("the request body has more than {limit} top-level members")]
    TooManyMembers {
        /// The number of members allowed.
        limit: usize,
    },
    /// A member that the gateway reads has a value of the wrong type.
    #[error("'{name}' must be {expected}, found {found}")]
    WrongType {
        /// Path of the member.
        name: &'static str,
        /// The type it must have.
        expected: JsonType,
        /// The type it has.
        found: JsonType,
    },
    /// Arrays and objects are nested deeper than is allowed.
    #[error("the request body is nested deeper than {limit} levels")]
    TooDeep {
        /// The number of levels allowed.
        limit: u32,
    },
}

/// The types of JSON values, as named in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `1.5`
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

impl fmt::Display for JsonType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        })
    }
}

impl JsonType {
    /// The type of the value that a token begins; keys and closings begin none.
    pub(super) fn of(token: &Token) -> Self {
        match token {
            Token::Key(_) | Token::String(_) => Self::String,
            Token::Number(_) => Self::Number,
            Token::True | Token::False => Self::Boolean,
            Token::Null => Self::Null,
            Token::OpenObject => Self::Object,
            Token::OpenArray | Token::Close => Self::Array,
        }
    }
}

impl From<Fault> for PeekError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unexpected { at, expected } => Self::Malformed { at, expected },
            Fault::TooDeep => Self::TooDeep { limit: MAX_DEPTH },
        }
    }
}
