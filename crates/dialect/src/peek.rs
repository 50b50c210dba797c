//! Reads from a JSON request what the gateway must know, and nothing else.
//!
//! One validating pass, no recursion, no tree: the body itself is what goes upstream, so all that is taken
//! from it are a few decoded values and the byte ranges that [`Peeked::splice`] needs. Whatever is accepted
//! here is JSON without duplicate top-level members, so the gateway and the upstream read the same request.

mod error;
mod names;
mod scan;
mod splice;

use std::ops::Range;

pub use error::{JsonType, PeekError};
pub use splice::{Edits, Segments};

use crate::Operation;

/// What a request says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// The model that is asked for, decoded, with the range of its token.
    pub model: Option<Member<String>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the caller asked for the usage chunk (`stream_options.include_usage`).
    pub wants_usage: bool,
    /// The caller's end user: `safety_identifier`, else `user`; for Anthropic `metadata.user_id`.
    pub user: Option<String>,
    /// What names a conversation: `prompt_cache_key`, else the conversation's id; for Anthropic
    /// `metadata.user_id`, in which official clients put the session.
    pub session: Option<String>,
    /// The bytes that stay the same from turn to turn of one conversation: the messages up to and including
    /// the first one that is not the system's; the whole prompt where there are no messages.
    ///
    /// A separate `system` or `instructions` is left out: it is the same for all conversations of an
    /// application, and Claude Code changes its head with every request.
    pub prefix: Option<Range<usize>>,
    /// Ids of stored objects that the request refers to: `previous_response_id`, the conversation, and every
    /// `file_id`, `file_ids`, `input_file_id` and `vector_store_ids` outside of data that the caller's own
    /// tools or schemas define. At most 256, each once.
    pub object_ids: Vec<String>,
    layout: Layout,
}

/// A decoded member with the place of its value in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<T> {
    /// The decoded value.
    pub value: T,
    /// The bytes of the value's token, quotes included.
    pub range: Range<usize>,
}

/// Where things stand that a splice may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layout {
    /// Just behind the opening brace.
    first_member: usize,
    /// Whether the object has no members.
    is_empty: bool,
    /// Just behind `true` of `"stream": true`; `None` when the answer is not streamed or its format has no
    /// `stream_options.include_usage`.
    usage_can_be_asked: Option<usize>,
    stream_options: StreamOptions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum StreamOptions {
    #[default]
    Absent,
    /// The range of a `null`.
    Null(Range<usize>),
    Object {
        /// Just behind the opening brace.
        first_member: usize,
        is_empty: bool,
        /// The value of `include_usage`.
        include_usage: Option<Range<usize>>,
    },
}

/// Looks into a request body.
///
/// Nesting is limited to 128 levels; every top-level name may occur once, however it is spelled.
pub fn peek(operation: Operation, body: &[u8]) -> Result<Peeked, PeekError> {
    scan::scan(operation, body)
}
