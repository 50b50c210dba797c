//! One connection, from its first byte to its close.

use std::{convert::Infallible, error::Error, future::poll_fn, pin::pin, task::Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::TaskTracker;

use super::{
    Peer, RequestBody, ServerSettings,
    activity::{Activity, Watched},
    body::ResponseBody,
    socket::{Socket, Version},
};

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
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<Tracked>,
}

impl Protocols {
    pub(super) fn new(settings: &ServerSettings, tracker: &TaskTracker) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            // Deadlines are the socket's: the parser's own would also be the keep-alive.
            .header_read_timeout(None)
            .max_header_size(settings.max_head)
            // A buffer grows up to this while large bodies come, and is kept while the answer streams.
            .max_buf_size(settings.max_buffer);
        let mut http2 = http2::Builder::new(Tracked(tracker.clone()));
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(settings.deadlines.ping_every)
            .keep_alive_timeout(settings.deadlines.ping_answer)
            .max_concurrent_streams(settings.max_streams)
            .max_header_list_size(u32::try_from(settings.max_head).unwrap_or(u32::MAX))
            .initial_stream_window_size(settings.stream_window)
            .initial_connection_window_size(settings.connection_window)
            .max_send_buf_size(settings.max_buffer);
        Self { http1, http2 }
    }
}

/// Serves one connection until both sides are done with it. Dropping it cuts it.
pub(super) async fn converse<S, H, F, B>(
    stream: S,
    peer: Peer,
    protocols: &Protocols,
    handler: H,
    settings: &ServerSettings,
    watched: Watched,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<RequestBody>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let activity = watched.activity();
    let mut socket = Socket::new(stream, activity.clone(), settings.deadlines);
    let Some(version) = opening(&mut socket, activity).await else {
        return;
    };
    // Streams of one HTTP/2 connection wait apart; on HTTP/1 the socket watches.
    let patience = (version == Version::Http2).then_some(settings.deadlines.body_idle);
    let service = service_fn({
        let activity = activity.clone();
        move |request: Request<Incoming>| {
            let call = activity.open();
            // hyper keeps room for a call's future as long as the connection lives: room for a pointer.
            let response = Box::pin(handler(
                request.map(|body| RequestBody::new(body, patience)),
                peer,
            ));
            async move { Ok::<_, Infallible>(response.await.map(|body| ResponseBody::new(body, call))) }
        }
    });
    let socket = TokioIo::new(socket);
    match version {
        Version::Http1 => conclude(protocols.http1.serve_connection(socket, service), activity).await,
        Version::Http2 => {
            // Rarer and much larger: it has memory of its own.
            let connection = protocols.http2.serve_connection(socket, service);
            Box::pin(conclude(connection, activity)).await;
        }
    }
}

/// What the peer speaks; `None` when the connection ends before that is known.
async fn opening<S>(socket: &mut Socket<S>, activity: &Activity) -> Option<Version>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| {
        activity.register(cx.waker());
        match socket.poll_version(cx) {
            Poll::Pending if activity.is_cut() || activity.is_closing() => Poll::Ready(None),
            version => version,
        }
    })
    .await
}

/// Drives a connection to its end, and asks it to end when it should.
async fn conclude<C>(connection: C, activity: &Activity)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    let mut asked_to_end = false;
    let end = poll_fn(|cx| {
        activity.register(cx.waker());
        if activity.is_cut() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(end) = connection.as_mut().poll(cx) {
            return Poll::Ready(end);
        }
        match asked_to_end {
            // The peer does not agree to the end.
            true if activity.is_idle_http2() => Poll::Ready(Ok(())),
            false if activity.is_closing() || activity.is_idle_http2() => {
                asked_to_end = true;
                activity.expects_end();
                connection.as_mut().graceful_shutdown();
                connection.as_mut().poll(cx)
            }
            true | false => Poll::Pending,
        }
    });
    if let Err(error) = end.await {
        tracing::debug!(error = &error as &dyn Error, "a connection ended early");
    }
}
