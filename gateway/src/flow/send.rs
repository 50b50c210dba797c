//! Outbound → reply.

use std::time::Instant;

use http::{HeaderMap, Request, StatusCode};
use snapshot::FallbackOn;
use tokio::time::timeout;

use super::{classify::Setback, route::Hop};
use crate::upstream::{RequestBody, SendError, UpstreamBody};

/// An upstream's answer, its body still to be read.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: UpstreamBody,
}

/// Sends a request and waits for the head of the answer: `firstByte` at most for streams, else to the call's end.
pub(super) async fn send(
    hop: &Hop,
    request: Request<RequestBody>,
    stream: bool,
    deadline: Instant,
) -> Result<Reply, Setback> {
    let timeouts = &hop.provider.provider.timeouts;
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = if stream {
        left.min(timeouts.first_byte)
    } else {
        left
    };
    match timeout(limit, hop.provider.upstream.send(request)).await {
        Ok(Ok(response)) => {
            let (parts, body) = response.into_parts();
            Ok(Reply {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        }
        Ok(Err(error)) => Err(unreachable(hop, &error)),
        Err(_) => Err(Setback::timeout("the upstream did not answer in time")),
    }
}

fn unreachable(hop: &Hop, error: &SendError) -> Setback {
    let provider = &hop.provider.provider.name;
    let cause = std::error::Error::source(error).map(ToString::to_string);
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
