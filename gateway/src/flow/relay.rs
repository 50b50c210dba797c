//! Answer → client.

mod raw;
mod stream;
mod waiting;

use std::time::{Duration, Instant};

use dialect::{Dialect, response_header_allowed};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use tokio::time::timeout;
use tracing::Instrument;

pub(crate) use raw::Raw;
pub(crate) use stream::Relay;
pub(crate) use waiting::Waiting;

use super::{
    classify::Answer,
    dispatch::{Delivery, Dispatch},
    settle::Settlement,
};
use crate::{body::ReplyBody, failure::Failure};
use pool::ObjectId;

/// Waits for an answer and turns it into the response. A stream that has nothing to say for `keepAliveAfter` begins
/// with comments, while its upstream is still being sought.
pub(super) async fn answer(
    mut dispatch: Box<Dispatch>,
    mut settlement: Box<Settlement>,
) -> Result<Response<ReplyBody>, Failure> {
    let span = settlement.span().clone();
    if !dispatch.call.stream {
        return match dispatch.run().instrument(span).await {
            Ok(delivery) => Ok(deliver(delivery, &dispatch, settlement)),
            Err(failure) => {
                settlement.asked(dispatch.asked.take());
                Err(settlement.failed(failure))
            }
        };
    }
    let patience = dispatch.plan.served.stream.keep_alive_after.max(SHORTEST_SILENCE);
    let mut running = Box::pin(async move {
        let found = dispatch.run().instrument(span).await;
        (found, dispatch)
    });
    match timeout(patience, &mut running).await {
        Ok((Ok(delivery), dispatch)) => Ok(deliver(delivery, &dispatch, settlement)),
        Ok((Err(failure), dispatch)) => {
            settlement.asked(dispatch.asked);
            Err(settlement.failed(failure))
        }
        Err(_) => {
            settlement.answered(StatusCode::OK);
            let mut response = Response::new(ReplyBody::waiting(Waiting::new(running, settlement, patience)));
            event_stream(response.headers_mut());
            Ok(response)
        }
    }
}

/// Builds the response to a delivery.
fn deliver(delivery: Delivery, dispatch: &Dispatch, mut settlement: Box<Settlement>) -> Response<ReplyBody> {
    let dialect = dispatch.call.dialect;
    let Delivery { answer, mut attempt } = delivery;
    attempt.lease.commit();
    let shown = settlement
        .debug_headers()
        .then(|| (attempt.lease.credential().clone(), attempt.attempts));
    let mut response = match answer {
        Answer::Whole {
            status,
            headers,
            body,
            usage,
            object_ids,
        } => {
            for id in &object_ids {
                let provider = &attempt.provider.provider.name;
                let credential = attempt.lease.credential();
                dispatch
                    .app
                    .pool
                    .remember(provider, ObjectId::new(id), credential);
            }
            settlement.answered(status);
            settlement.delivering(attempt);
            settlement.succeeded(usage);
            passed(dialect, status, &headers, ReplyBody::whole(body))
        }
        Answer::Stream { headers, opened } => {
            settlement.answered(StatusCode::OK);
            settlement.delivering(attempt);
            let relay = Relay::new(&dispatch.app, &dispatch.call, &dispatch.plan, *opened, settlement);
            let mut response = passed(dialect, StatusCode::OK, &headers, ReplyBody::stream(relay));
            event_stream(response.headers_mut());
            response
        }
        Answer::Raw {
            status,
            headers,
            body,
        } => {
            settlement.answered(status);
            let timeouts = attempt.provider.provider.timeouts;
            let deadline = dispatch.call.arrived + timeouts.total;
            settlement.delivering(attempt);
            passed(
                dialect,
                status,
                &headers,
                ReplyBody::raw(Raw::new(body, timeouts.idle, deadline, settlement)),
            )
        }
    };
    if let Some((credential, attempts)) = shown {
        let headers = response.headers_mut();
        if let Ok(name) = HeaderValue::from_str(credential.as_str()) {
            headers.insert(HeaderName::from_static("x-roundhouse-credential"), name);
        }
        headers.insert(
            HeaderName::from_static("x-roundhouse-attempts"),
            HeaderValue::from(attempts),
        );
    }
    response
}

/// A response with what may pass of the upstream's headers.
fn passed(
    dialect: Dialect,
    status: StatusCode,
    upstream: &HeaderMap,
    body: ReplyBody,
) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in upstream {
        if response_header_allowed(dialect, name) {
            headers.append(name.clone(), value.clone());
        }
    }
    response
}

/// The headers of a stream: nobody on the way may keep or gather it.
fn event_stream(headers: &mut HeaderMap) {
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
}

/// No comment comes sooner, whatever a route says: a timer of zero would never rest.
const SHORTEST_SILENCE: Duration = Duration::from_millis(10);

/// A comment line: keeps a connection alive and is invisible to every client.
///
/// No blank line follows: it would end an event that the upstream has only given an `id:`, and `OpenAI`'s Python SDK
/// fails on such.
const COMMENT: &[u8] = b": keep-alive\n";

/// The moment of something that happens `after` the later of two moments.
fn later(a: Instant, b: Instant, after: Duration) -> Instant {
    a.max(b) + after
}
