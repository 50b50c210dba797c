//! One connection, from its handshake to its close.

use std::{convert::Infallible, pin::pin, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::Connection;

/// Between two pings, and from a ping to its answer: whoever vanished is noticed within half a minute.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(20);

/// Calls at a time on one connection.
const CALLS_MAX: u32 = 100;

/// Bytes of a request that may be under way unread.
const WINDOW: u32 = 256 << 10;

/// Bytes of answers that one call may hold between the service and the network.
const SEND_BUFFER: usize = 256 << 10;

/// Bytes of a request's header fields. Tokens of Kubernetes are some 1,500.
const HEAD_MAX: u32 = 32 << 10;

/// How long a peer may take to agree to the end of a connection, and calls that came just then to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Spawns the calls of a connection where the server waits for them.
#[derive(Clone, Debug)]
pub(super) struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// How connections are spoken on.
pub(super) fn protocol(tracker: &TaskTracker) -> http2::Builder<Tracked> {
    let mut protocol = http2::Builder::new(Tracked(tracker.clone()));
    protocol
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEAD_MAX);
    protocol
}

/// Serves a connection until both ends are done with it, or nothing was asked for as long as `idle`. Dropping it
/// cuts it.
pub(super) async fn converse(
    stream: TlsStream<TcpStream>,
    connection: Connection,
    protocol: &http2::Builder<Tracked>,
    routes: Router,
    idle: Duration,
    shutdown: CancellationToken,
) {
    // Each call holds one; it is counted by those who hold it.
    let (calls, watched) = watch::channel(());
    let held = calls.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        let call = held.subscribe();
        let mut routes = routes.clone();
        async move {
            let response = routes.call(request).await?;
            Ok::<_, Infallible>(response.map(|body| {
                // The call is over when its answer is.
                Body::new(body.map_frame(move |frame| {
                    let _ = &call;
                    frame
                }))
            }))
        }
    });
    drop(watched);
    let peer = protocol.serve_connection(TokioIo::new(stream), service);
    let mut peer = pin!(peer);
    let ended = tokio::select! {
        ended = peer.as_mut() => ended,
        () = ask_to_end(&calls, idle, &shutdown) => {
            peer.as_mut().graceful_shutdown();
            timeout(PATIENCE, peer).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a connection ended early"
        );
    }
}

/// Waits until the process ends, or no call goes on for as long as `idle`.
async fn ask_to_end(calls: &watch::Sender<()>, idle: Duration, shutdown: &CancellationToken) {
    let unused = async {
        loop {
            calls.closed().await;
            sleep(idle).await;
            if calls.is_closed() {
                return;
            }
        }
    };
    tokio::select! {
        () = unused => (),
        () = shutdown.cancelled() => (),
    }
}
