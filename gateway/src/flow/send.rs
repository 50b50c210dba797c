//! Outbound → reply.

use std::{error::Error, time::Instant};

use http::{HeaderMap, Request, StatusCode};
use snapshot::FallbackOn;
use tokio::time::timeout;

use super::{
    classify::Setback,
    encode::TooLong,
    peek::{MULTIPART_MAX, broken_body, too_large},
    route::Hop,
};
use crate::failure::Failure;
use crate::server::BodyError;
use crate::upstream::{Permit, RequestBody, SendError, UpstreamBody};

/// An upstream's answer, its body still to be read.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: UpstreamBody,
}

/// Why there is no answer.
pub(super) enum Stopped {
    /// What the request presents was taken back before anything was sent. Its body is given back.
    Revoked(RequestBody),
    /// The upstream or the caller is at fault.
    Setback(Setback),
}

/// Sends a request and waits for the head of the answer: `firstByte` at most for streams, else to the call's end.
pub(super) async fn send(
    hop: &Hop,
    request: Box<Request<RequestBody>>,
    permit: &Permit,
    stream: bool,
    deadline: Instant,
) -> Result<Reply, Stopped> {
    let timeouts = &hop.provider.provider.timeouts;
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = if stream {
        left.min(timeouts.first_byte)
    } else {
        left
    };
    match timeout(limit, hop.provider.upstream.send(*request, permit)).await {
        Ok(Ok(response)) => {
            let (parts, body) = response.into_parts();
            Ok(Reply {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        }
        Ok(Err(SendError::Revoked(body))) => Err(Stopped::Revoked(body)),
        Ok(Err(error)) => Err(Stopped::Setback(unreachable(hop, &error))),
        Err(_) => Err(Stopped::Setback(Setback::timeout(
            "the upstream did not answer in time",
        ))),
    }
}

fn unreachable(hop: &Hop, error: &SendError) -> Setback {
    if let Some(failure) = broken_request(error) {
        return Setback::final_word(failure);
    }
    let provider = &hop.provider.provider.name;
    let cause = error.source().map(ToString::to_string);
    tracing::warn!(%provider, %error, cause, "upstream not reached");
    match error {
        SendError::ConnectTimeout { .. } => {
            Setback::timeout("the upstream could not be connected to in time")
        }
        _ => Setback::upstream(
            StatusCode::BAD_GATEWAY,
            "upstream_unreachable",
            "the upstream could not be reached",
            FallbackOn::UpstreamFailed,
        ),
    }
}

/// What to tell a caller whose own body broke off while it was sent. Over HTTP/2 that is the cause of a reset.
fn broken_request(error: &SendError) -> Option<Failure> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<BodyError>() {
            return Some(broken_body(error));
        }
        if error.is::<TooLong>() {
            return Some(too_large(MULTIPART_MAX));
        }
        cause = error.source();
    }
    matches!(error, SendError::Body(_)).then(|| {
        Failure::invalid(
            "incomplete_body",
            "the request body is not as long as it was said to be",
        )
    })
}
