//! The gateway's own errors, in the words of the client that must understand them.

use bytes::Bytes;
use serde::Serialize;

use crate::{Api, Dialect, Operation};

/// An error of the gateway, ready to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The HTTP status, for those who send one.
    pub status: u16,
    /// What it is about.
    pub kind: FailureKind,
    /// A code that programs can act on.
    pub code: Option<&'a str>,
    /// What a person should read.
    pub message: &'a str,
    /// The parameter at fault.
    pub param: Option<&'a str>,
    /// The id of the request, which Anthropic's envelope repeats.
    pub request_id: &'a str,
}

/// What an error is about; each dialect has its own name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The request cannot be understood or served as it is.
    InvalidRequest,
    /// The caller's key is missing or wrong.
    Authentication,
    /// The caller may not do this.
    Permission,
    /// No such route, model or object.
    NotFound,
    /// The route does not take this method.
    MethodNotAllowed,
    /// The body is too large.
    TooLarge,
    /// A format or encoding that is not served.
    Unsupported,
    /// Too many requests or tokens, or nothing left to serve them with.
    RateLimit,
    /// The caller has used up what it may use within a longer period; waiting a moment does not help.
    Quota,
    /// The gateway or all upstreams have too much to do.
    Overloaded,
    /// The upstream failed.
    Upstream,
    /// The upstream took too long.
    Timeout,
    /// The gateway failed.
    Internal,
}

/// Where a stream stands when it has to be ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The `sequence_number` seen last.
    pub(crate) sequence: Option<u64>,
    /// The response that the stream is about.
    pub(crate) response: Option<ResponseHead>,
}

/// What names a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created_at: u64,
}

/// The JSON body of an error answer.
pub fn encode_failure(dialect: Dialect, failure: &Failure<'_>) -> Bytes {
    match dialect {
        Dialect::OpenAi => json(&OpenAiEnvelope {
            error: failure.into(),
        }),
        Dialect::Anthropic => json(&AnthropicEnvelope::from(failure)),
    }
}

/// The frames that end a stream of which the client has seen nothing, or (`started`) something. A tap that
/// has seen the stream numbers them better: [`crate::Tap::encode_failure`].
pub fn encode_stream_failure(operation: Operation, failure: &Failure<'_>, started: bool) -> Bytes {
    encode_stream_failure_after(operation, failure, started, &Position::default())
}

/// As [`encode_stream_failure`], after what the stream has said before.
pub(crate) fn encode_stream_failure_after(
    operation: Operation,
    failure: &Failure<'_>,
    started: bool,
    position: &Position,
) -> Bytes {
    match operation {
        Operation::Generate(Api::Messages) | Operation::CountTokens => {
            event("error", &json(&AnthropicEnvelope::from(failure)))
        }
        Operation::Generate(Api::Responses)
        | Operation::StoredResponse
        | Operation::ResponseInputTokens
        | Operation::ResponseCompact => response_failure(failure, started, position),
        Operation::Generate(Api::ChatCompletions | Api::Completions) => {
            let mut frames = event(
                "",
                &json(&OpenAiEnvelope {
                    error: failure.into(),
                }),
            )
            .to_vec();
            frames.extend_from_slice(b"data: [DONE]\n\n");
            Bytes::from(frames)
        }
        Operation::Generate(Api::Embeddings) | Operation::Passthrough(_) => event(
            "",
            &json(&OpenAiEnvelope {
                error: failure.into(),
            }),
        ),
    }
}

/// Agents act on `response.failed`, which needs a response that has begun. Before that there is the `error`
/// event, to which the error object is added: it makes the SDKs raise instead of yielding an unknown event.
fn response_failure(failure: &Failure<'_>, started: bool, position: &Position) -> Bytes {
    if !started {
        return event(
            "error",
            &json(&ErrorEvent {
                kind: "error",
                sequence_number: 0,
                code: failure.code,
                message: failure.message,
                param: failure.param,
                error: failure.into(),
            }),
        );
    }
    let unknown = ResponseHead::default();
    let head = position.response.as_ref().unwrap_or(&unknown);
    event(
        "response.failed",
        &json(&FailedEvent {
            kind: "response.failed",
            sequence_number: position.sequence.map_or(0, |last| last.saturating_add(1)),
            response: FailedResponse {
                id: &head.id,
                object: "response",
                created_at: head.created_at,
                status: "failed",
                error: ResponseError {
                    code: failure.code.unwrap_or_else(|| failure.kind.response_code()),
                    message: failure.message,
                },
                incomplete_details: None,
                instructions: None,
                metadata: Empty {},
                model: &head.model,
                output: [],
                parallel_tool_calls: true,
                tool_choice: "auto",
                tools: [],
                usage: None,
            },
        }),
    )
}

fn event(name: &str, data: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(name.len() + data.len() + 24);
    if !name.is_empty() {
        frame.extend_from_slice(b"event: ");
        frame.extend_from_slice(name.as_bytes());
        frame.push(b'\n');
    }
    frame.extend_from_slice(b"data: ");
    frame.extend_from_slice(data);
    frame.extend_from_slice(b"\n\n");
    Bytes::from(frame)
}

/// Strings and numbers always become JSON; an empty object is what a client would get if they ever did not.
pub(crate) fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"{}"), Bytes::from)
}

impl FailureKind {
    const fn openai_type(self) -> &'static str {
        match self {
            Self::InvalidRequest
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::TooLarge
            | Self::Unsupported => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Permission => "permission_error",
            Self::RateLimit => "rate_limit_error",
            Self::Quota => "insufficient_quota",
            Self::Overloaded | Self::Upstream | Self::Timeout | Self::Internal => "server_error",
        }
    }

    const fn anthropic_type(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::MethodNotAllowed | Self::Unsupported => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimit | Self::Quota => "rate_limit_error",
            Self::Overloaded => "overloaded_error",
            Self::Timeout => "timeout_error",
            Self::Upstream | Self::Internal => "api_error",
        }
    }

    /// The code of `response.error`, which must not be null.
    const fn response_code(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit_exceeded",
            Self::Quota => "insufficient_quota",
            Self::InvalidRequest
            | Self::Authentication
            | Self::Permission
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::TooLarge
            | Self::Unsupported => "invalid_prompt",
            Self::Overloaded | Self::Upstream | Self::Timeout | Self::Internal => "server_error",
        }
    }
}

#[derive(Serialize)]
struct OpenAiEnvelope<'a> {
    error: OpenAiError<'a>,
}

/// All four keys are always there: SDKs read them without asking.
#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl<'a> From<&Failure<'a>> for OpenAiError<'a> {
    fn from(failure: &Failure<'a>) -> Self {
        Self {
            message: failure.message,
            kind: failure.kind.openai_type(),
            param: failure.param,
            code: failure.code,
        }
    }
}

#[derive(Serialize)]
struct AnthropicEnvelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: AnthropicError<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<AnthropicDetails<'a>>,
}

#[derive(Serialize)]
struct AnthropicDetails<'a> {
    error_code: &'a str,
}

impl<'a> From<&Failure<'a>> for AnthropicEnvelope<'a> {
    fn from(failure: &Failure<'a>) -> Self {
        Self {
            kind: "error",
            error: AnthropicError {
                kind: failure.kind.anthropic_type(),
                message: failure.message,
                details: failure.code.map(|error_code| AnthropicDetails { error_code }),
            },
            request_id: failure.request_id,
        }
    }
}

#[derive(Serialize)]
struct ErrorEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    code: Option<&'a str>,
    message: &'a str,
    param: Option<&'a str>,
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct FailedEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    response: FailedResponse<'a>,
}

/// The members that the schema requires, and the ones that clients read.
#[derive(Serialize)]
struct FailedResponse<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    error: ResponseError<'a>,
    incomplete_details: Option<Empty>,
    instructions: Option<Empty>,
    metadata: Empty,
    model: &'a str,
    output: [Empty; 0],
    parallel_tool_calls: bool,
    tool_choice: &'static str,
    tools: [Empty; 0],
    usage: Option<Empty>,
}

#[derive(Serialize)]
struct ResponseError<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Empty {}
