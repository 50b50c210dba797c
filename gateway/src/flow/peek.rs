//! Body → the few members that routing needs; the body itself stays raw.

use std::{ops::Range, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use dialect::{Dialect, FailureKind, Operation, Passthrough, PeekError, Peeked, multipart};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt;

use super::{Inbound, Path, body_memory::Held};
use crate::{
    app::App,
    failure::Failure,
    server::{BodyError, RequestBody},
    upstream::StreamedBody,
};

/// Longest JSON body, collected whole.
const JSON_MAX: u64 = 32 << 20;
/// Longest multipart body, streamed.
pub(super) const MULTIPART_MAX: u64 = 512 << 20;
/// Within how many bytes a multipart body must name its model.
const MULTIPART_HEAD: usize = 64 << 10;

/// A call that is understood as far as routing needs.
pub(crate) struct Call {
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
    pub(crate) request_id: Arc<str>,
    pub(crate) method: Method,
    pub(crate) path: Path,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    /// The model that the caller names, in body or path.
    pub(crate) model: Option<Arc<str>>,
    /// Whether the answer is to be a stream of events.
    pub(crate) stream: bool,
    /// Stored objects that the call names.
    pub(crate) object_ids: Vec<String>,
    pub(crate) payload: Payload,
    pub(crate) arrived: Instant,
}

/// What a call carries.
pub(crate) enum Payload {
    /// Nothing.
    Empty,
    /// JSON, whole.
    Json {
        body: Bytes,
        peeked: Peeked,
        _memory: Held,
    },
    /// A form that streams through: can be sent once. `None` once it is on its way.
    Form(Option<Unsent>),
}

/// A form that was not sent yet.
pub(crate) enum Unsent {
    /// As the caller sends it.
    Form(Form),
    /// As it was written for an upstream model of this name, which was given up before anything was sent.
    Written { model: Arc<str>, body: StreamedBody },
}

/// A multipart form: its beginning was read, the rest streams.
pub(crate) struct Form {
    pub(crate) head: Bytes,
    /// Where in `head` the model's name is.
    pub(crate) model: Option<Range<usize>>,
    pub(crate) rest: RequestBody,
    /// The length of the whole body, where the client said.
    pub(crate) length: Option<u64>,
}

/// Reads what routing needs.
pub(super) async fn peek(app: &App, inbound: Box<Inbound>, path: Path) -> Result<Call, Failure> {
    let Inbound {
        dialect,
        request_id,
        method,
        query,
        headers,
        body,
        arrived,
        ..
    } = *inbound;
    let mut call = Call {
        dialect,
        operation: path.operation,
        request_id,
        model: path.model.as_deref().map(Arc::from),
        stream: resumes_stream(&path, &method, query.as_deref()),
        object_ids: path.object.iter().cloned().collect(),
        payload: Payload::Empty,
        method,
        path,
        query,
        headers,
        arrived,
    };
    let content_type = call
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if let (true, Some(boundary)) = (takes_forms(call.operation), multipart::boundary(content_type)) {
        let (form, model) = form(body, declared_length(&call.headers)?, &boundary, call.operation).await?;
        call.model = call.model.or(model.map(Arc::from));
        call.payload = Payload::Form(Some(Unsent::Form(form)));
    } else if needs_body(&call.method, call.operation) || has_body(&call.headers) {
        let (body, memory) = collect(app, body, declared_length(&call.headers)?).await?;
        if body.is_empty() && !needs_body(&call.method, call.operation) {
            return Ok(call);
        }
        let peeked = dialect::peek(call.operation, &body).map_err(|error| malformed(&error))?;
        call.model = call
            .model
            .or_else(|| peeked.model.as_ref().map(|model| model.value.as_str().into()));
        call.stream = peeked.stream;
        call.object_ids.extend(peeked.object_ids.iter().cloned());
        call.payload = Payload::Json {
            body,
            peeked,
            _memory: memory,
        };
    }
    within_bounds(call)
}

/// Longest name of a model; longer ones are no names.
const MODEL_MAX: usize = 256;

fn within_bounds(call: Call) -> Result<Call, Failure> {
    if call.model.as_ref().is_some_and(|model| model.len() > MODEL_MAX) {
        let message = format!("`model` is longer than {MODEL_MAX} bytes");
        return Err(Failure::invalid("invalid_model", message).param("model"));
    }
    Ok(call)
}

/// Whether a stored response is asked for as a stream of its events.
fn resumes_stream(path: &Path, method: &Method, query: Option<&str>) -> bool {
    let asked = query.is_some_and(|query| query.split('&').any(|pair| pair == "stream=true"));
    path.operation == Operation::StoredResponse && *method == Method::GET && asked
}

fn takes_forms(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Passthrough(
            Passthrough::Images | Passthrough::Audio | Passthrough::Files | Passthrough::Uploads
        )
    )
}

/// Whether the request is meaningless without a JSON body.
fn needs_body(method: &Method, operation: Operation) -> bool {
    let stored = matches!(
        operation,
        Operation::StoredResponse
            | Operation::Passthrough(
                Passthrough::Files | Passthrough::Uploads | Passthrough::Batches | Passthrough::VectorStores
            )
    );
    *method == Method::POST && !stored
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0")
}

fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    length
        .map(Some)
        .ok_or_else(|| Failure::invalid("invalid_content_length", "content-length is not a number"))
}

pub(super) fn too_large(limit: u64) -> Failure {
    Failure::caller(
        FailureKind::TooLarge,
        StatusCode::PAYLOAD_TOO_LARGE,
        "request_too_large",
        format!("the request body is longer than {} MiB", limit >> 20),
    )
}

pub(crate) fn broken_body(error: &BodyError) -> Failure {
    match error {
        BodyError::TooSlow => Failure::caller(
            FailureKind::Timeout,
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the request body took too long to arrive",
        ),
        BodyError::Malformed(_) | BodyError::Gone(_) => {
            Failure::invalid("incomplete_body", "the request body ended early or was malformed")
        }
    }
}

/// Reads a whole body, within the bounds of one call and of all together.
async fn collect(app: &App, mut body: RequestBody, length: Option<u64>) -> Result<(Bytes, Held), Failure> {
    let mut memory = app.body_memory.hold();
    let full = |_| {
        Failure::overloaded(
            "body_memory_exhausted",
            "the gateway holds as many request bodies as it may; try again",
        )
    };
    if length.is_some_and(|length| length > JSON_MAX) {
        return Err(too_large(JSON_MAX));
    }
    // A declared length is reserved at once, but memory is only taken for what arrives.
    let declared = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
    memory.grow(declared).map_err(full)?;
    let mut whole: Option<Bytes> = None;
    let mut pieces = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|error| broken_body(&error))?.into_data() else {
            continue;
        };
        let arrived = pieces.len() + whole.as_ref().map_or(0, Bytes::len) + piece.len();
        if arrived as u64 > JSON_MAX {
            return Err(too_large(JSON_MAX));
        }
        if arrived > declared {
            memory.grow(piece.len()).map_err(full)?;
        }
        match whole.take() {
            None if pieces.is_empty() => whole = Some(piece),
            first => {
                if let Some(first) = first {
                    pieces.reserve(declared.max(arrived));
                    pieces.extend_from_slice(&first);
                }
                pieces.extend_from_slice(&piece);
            }
        }
    }
    Ok((whole.unwrap_or_else(|| pieces.freeze()), memory))
}

/// Reads a form up to its model's name.
async fn form(
    mut body: RequestBody,
    length: Option<u64>,
    boundary: &str,
    operation: Operation,
) -> Result<(Form, Option<String>), Failure> {
    if length.is_some_and(|length| length > MULTIPART_MAX) {
        return Err(too_large(MULTIPART_MAX));
    }
    let wants_model = matches!(
        operation,
        Operation::Passthrough(Passthrough::Images | Passthrough::Audio)
    );
    let mut head = BytesMut::new();
    let mut ended = false;
    let model = loop {
        if wants_model {
            match multipart::peek(boundary, &head) {
                multipart::Peek::Model { value, range } => break Some((value, range)),
                multipart::Peek::NeedMore if !ended && head.len() < MULTIPART_HEAD => {}
                multipart::Peek::NeedMore | multipart::Peek::NoModel => {
                    return Err(Failure::invalid(
                        "model_not_found_in_form",
                        "the form must name its `model` within its first 64 KiB, before any file",
                    )
                    .param("model"));
                }
                multipart::Peek::Malformed => {
                    return Err(Failure::invalid(
                        "malformed_form",
                        "the body is not a well-formed multipart form",
                    ));
                }
            }
        } else {
            break None;
        }
        match body.frame().await {
            Some(frame) => {
                if let Ok(piece) = frame.map_err(|error| broken_body(&error))?.into_data() {
                    head.extend_from_slice(&piece);
                }
            }
            None => ended = true,
        }
    };
    let (value, range) = model.unzip();
    Ok((
        Form {
            head: head.freeze(),
            model: range,
            rest: body,
            length,
        },
        value,
    ))
}

fn malformed(error: &PeekError) -> Failure {
    let failure = Failure::invalid("invalid_request_body", error.to_string());
    match error {
        PeekError::Duplicate { name } => failure.param(name.clone()),
        PeekError::WrongType { name, .. } => failure.param(*name),
        _ => failure,
    }
}
