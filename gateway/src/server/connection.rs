//! One connection, from its first byte to its close.

use std::{convert::Infallible, error::Error, future::poll_fn, pin::pin, task::Poll};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::{body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::TaskTracker;

use super::{Peer, RequestBody, ServerSettings, activity::Watched, body::ResponseBody, socket::Socket};

/// Spawns the streams of HTTP/2 connections where the server waits for them.
#[derive(Clone, Debug)]
pub(super) struct Tracked(pub(super) TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// How both protocols are spoken, made once per listener.
pub(super) fn protocols(settings: &ServerSettings, tracker: &TaskTracker) -> auto::Builder<Tracked> {
    let mut builder = auto::Builder::new(Tracked(tracker.clone()));
    builder
        .http1()
        // Deadlines are the socket's: the parser's own would also be the keep-alive.
        .header_read_timeout(None)
        // A buffer grows up to this while large bodies come, and is kept while the answer streams.
        .max_buf_size(settings.max_buffer);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.deadlines.ping_every)
        .keep_alive_timeout(settings.deadlines.ping_answer)
        .max_concurrent_streams(settings.max_streams)
        .max_header_list_size(u32::try_from(settings.max_buffer).unwrap_or(u32::MAX))
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_send_buf_size(settings.max_buffer);
    builder
}

/// Serves one connection until both sides are done with it. Dropping it cuts it.
pub(super) async fn converse<S, H, F, B>(
    stream: S,
    peer: Peer,
    protocols: &auto::Builder<Tracked>,
    handler: H,
    settings: &ServerSettings,
    watched: Watched,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<RequestBody>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let activity = watched.activity();
    let socket = Socket::new(stream, activity.clone(), settings.deadlines);
    let body_idle = settings.deadlines.body_idle;
    let service = service_fn({
        let activity = activity.clone();
        move |request: Request<Incoming>| {
            let call = activity.open();
            let patience = (request.version() == Version::HTTP_2).then_some(body_idle);
            let response = handler(request.map(|body| RequestBody::new(body, patience)), peer);
            async move { Ok::<_, Infallible>(response.await.map(|body| ResponseBody::new(body, call))) }
        }
    });
    let mut connection = pin!(protocols.serve_connection(TokioIo::new(socket), service));
    let mut asked_to_end = false;
    let end = poll_fn(|cx| {
        activity.register(cx.waker());
        if activity.is_cut() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(end) = connection.as_mut().poll(cx) {
            return Poll::Ready(end);
        }
        if asked_to_end {
            return if activity.is_idle_http2() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        }
        if !activity.is_closing() && !activity.is_idle_http2() {
            return Poll::Pending;
        }
        asked_to_end = true;
        activity.expects_end();
        connection.as_mut().graceful_shutdown();
        connection.as_mut().poll(cx)
    });
    if let Err(error) = end.await {
        tracing::debug!(error = &*error, "a connection ended early");
    }
}
