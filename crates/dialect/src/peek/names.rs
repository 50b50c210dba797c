//! The names in a request that mean something to the gateway.

/// The top-level members that mean something to the gateway.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Top {
    Model,
    Stream,
    StreamOptions,
    SafetyIdentifier,
    User,
    Metadata,
    PromptCacheKey,
    Conversation,
    PreviousResponseId,
    /// One stored object or several: `file_id`, `file_ids` and so on.
    Objects,
    /// Whatever the caller wants to note down: nothing in it means anything.
    Notes,
    /// `messages`, `input` or `prompt`.
    Turns,
    Other,
}

impl Top {
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"stream_options" => Self::StreamOptions,
            b"safety_identifier" => Self::SafetyIdentifier,
            b"user" => Self::User,
            b"metadata" => Self::Metadata,
            b"prompt_cache_key" => Self::PromptCacheKey,
            b"conversation" => Self::Conversation,
            b"previous_response_id" => Self::PreviousResponseId,
            b"client_metadata" => Self::Notes,
            b"messages" | b"input" | b"prompt" => Self::Turns,
            name if is_object_ids(name) => Self::Objects,
            _ => Self::Other,
        }
    }
}

/// Names whose values are ids of stored objects, wherever they stand.
#[inline]
pub(super) fn is_object_ids(name: &[u8]) -> bool {
    match name.len() {
        7 => name == b"file_id",
        8 => name == b"file_ids",
        13 => name == b"input_file_id",
        16 => name == b"vector_store_ids",
        _ => false,
    }
}

/// Names whose values belong to the caller: a tool's arguments or a schema may well have a field `file_id`
/// that names no stored object.
#[inline]
pub(super) fn is_callers_data(name: &[u8]) -> bool {
    match name.len() {
        5 => name == b"input",
        6 => name == b"schema",
        8 => name == b"metadata",
        9 => name == b"arguments",
        10 => name == b"parameters",
        12 => name == b"input_schema",
        14 => name == b"input_examples",
        _ => false,
    }
}
