//! Reply → deliver, try another, or fail; and what must rest.

mod refusal;
mod setback;
mod stream;

use std::time::Instant;

use bytes::Bytes;
use dialect::{Operation, Passthrough, Tap, Usage, read_answer};
use http::{HeaderMap, StatusCode, header};
use snapshot::{FallbackOn, StreamPolicy};
use tokio::time::timeout_at;

pub(crate) use refusal::refused;
pub(crate) use setback::Setback;
pub(crate) use stream::Opened;

use super::{peek::Call, route::Hop, send::Reply};
use crate::{app::App, live::LiveCredential, upstream::UpstreamBody};

/// An answer that is worth delivering.
pub(crate) enum Answer {
    /// JSON, whole.
    Whole {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
        usage: Option<Usage>,
        object_ids: Vec<String>,
    },
    /// A stream of events.
    Stream { headers: HeaderMap, opened: Box<Opened> },
    /// Bytes that are only passed on.
    Raw {
        status: StatusCode,
        headers: HeaderMap,
        body: UpstreamBody,
    },
}

/// Longest answer that is collected.
const ANSWER_MAX: usize = 64 << 20;
/// Longest error body that is read.
const ERROR_MAX: usize = 256 << 10;

/// How to read an answer.
pub(super) struct Reading {
    /// The stream's usage was asked for on our own account.
    pub(super) hide_usage: bool,
    /// How the stream starts.
    pub(super) policy: StreamPolicy,
    /// When the whole call ends.
    pub(super) deadline: Instant,
}

/// Reads as much of an answer as it takes to know whether it is one.
pub(super) async fn classify(
    app: &App,
    call: &Call,
    hop: &Hop,
    credential: &LiveCredential,
    reply: Reply,
    reading: &Reading,
) -> Result<Answer, Setback> {
    let Reply {
        status,
        headers,
        body,
    } = reply;
    if !status.is_success() {
        // An error whose body does not come is still that error.
        let limit = Instant::now() + hop.provider.provider.timeouts.idle;
        let text = timeout_at(limit.min(reading.deadline).into(), body.collect(ERROR_MAX)).await;
        let text = text.ok().and_then(Result::ok).unwrap_or_default();
        let dialect = hop.provider.provider.dialect;
        let refusal = dialect::read_refusal(dialect, status.as_u16(), &headers, &text, app.since_epoch());
        return Err(refused(&hop.provider, credential, &refusal, &text));
    }
    match shape(call, &headers) {
        Shape::Events => {
            let opened = Opened::new(Tap::new(call.operation, reading.hide_usage));
            let opened = stream::open(hop, credential, body, opened, reading).await?;
            Ok(Answer::Stream { headers, opened })
        }
        Shape::Json => {
            let body = collect(hop, body, reading.deadline).await?;
            let answer = match read_answer(call.operation, &body) {
                // What is only passed on may be any JSON.
                Err(_) if matches!(call.operation, Operation::Passthrough(_)) => {
                    Ok(dialect::Answer::default())
                }
                answer => answer,
            };
            let answer = answer.map_err(|_| {
                Setback::upstream(
                    StatusCode::BAD_GATEWAY,
                    "invalid_upstream_answer",
                    "the upstream answered with something else than JSON",
                    FallbackOn::UpstreamFailed,
                )
            })?;
            if let Some(refusal) = answer.failure {
                return Err(refused(&hop.provider, credential, &refusal, &body));
            }
            Ok(Answer::Whole {
                status,
                headers,
                body,
                usage: answer.usage,
                object_ids: answer.object_ids,
            })
        }
        Shape::Bytes => Ok(Answer::Raw {
            status,
            headers,
            body,
        }),
    }
}

/// What sort of body an answer has.
enum Shape {
    Events,
    Json,
    Bytes,
}

fn shape(call: &Call, headers: &HeaderMap) -> Shape {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    let is = |prefix: &[u8]| {
        content_type
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let passes = matches!(call.operation, Operation::Passthrough(_));
    if is(b"text/event-stream") && (call.stream || passes) {
        Shape::Events
    } else if !passes {
        // Whatever it calls itself, it must be JSON or it is no answer.
        Shape::Json
    } else if is(b"application/json") && !is_download(call) {
        Shape::Json
    } else {
        Shape::Bytes
    }
}

/// Whether the answer is a stored file's content, which may be JSON of any size.
fn is_download(call: &Call) -> bool {
    let files = Operation::Passthrough(Passthrough::Files);
    call.operation == files && call.path.suffix.ends_with("/content")
}

async fn collect(hop: &Hop, body: UpstreamBody, deadline: Instant) -> Result<Bytes, Setback> {
    match timeout_at(deadline.into(), body.collect(ANSWER_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            tracing::warn!(provider = %hop.provider.provider.name, %error, "upstream answer not readable");
            Err(Setback::broken_off())
        }
        Err(_) => Err(Setback::timeout("the upstream did not finish its answer in time")),
    }
}
