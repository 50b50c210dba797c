//! Raw bytes against a real listener.
#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

mod bounds;
mod deadlines;
mod drain;
mod framing;
mod protocols;
mod tls;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{BodyError, Peer, RequestBody, ServerSettings, Tls, bind, serve};
use crate::lifecycle::{Drain, DrainControl, Phase};

/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

struct Server {
    address: SocketAddr,
    control: DrainControl,
    served: JoinHandle<()>,
    bench: Bench,
}

/// What handlers and tests share.
#[derive(Clone)]
struct Bench {
    drain: Drain,
    /// A response stream was dropped.
    dropped: Arc<Notify>,
    /// Lets held responses go on.
    gate: Arc<Notify>,
}

fn start(settings: ServerSettings) -> Server {
    start_with(settings, None)
}

fn start_with(settings: ServerSettings, tls: Option<Arc<Tls>>) -> Server {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (control, drain) = Drain::new();
    let bench = Bench {
        drain: drain.clone(),
        dropped: Arc::default(),
        gate: Arc::default(),
    };
    let handler = {
        let bench = bench.clone();
        move |request, peer| answer(bench.clone(), request, peer)
    };
    let served = tokio::spawn(serve(listener, tls, handler, settings, drain));
    Server {
        address,
        control,
        served,
        bench,
    }
}

/// Deadlines short enough to be waited for, and long enough for what must not be late.
fn hasty() -> ServerSettings {
    let mut settings = ServerSettings::default();
    settings.deadlines.first_byte = Duration::from_millis(200);
    settings.deadlines.head = Duration::from_millis(200);
    settings.deadlines.body_idle = Duration::from_millis(200);
    settings.deadlines.keep_alive = Duration::from_millis(200);
    settings.deadlines.write_stall = Duration::from_millis(200);
    settings.deadlines.linger = Duration::from_millis(200);
    settings
}

async fn answer(bench: Bench, request: Request<RequestBody>, peer: Peer) -> Reply {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        "/early" => text(StatusCode::PAYLOAD_TOO_LARGE, "enough"),
        "/slow" => {
            sleep(Duration::from_millis(700)).await;
            text(StatusCode::OK, "slow")
        }
        "/held" => {
            bench.gate.notified().await;
            text(StatusCode::OK, "held")
        }
        "/endless" => endless(bench),
        "/goodbye" => goodbye(bench),
        _ => match body.collect().await {
            Ok(body) => {
                let length = body.to_bytes().len();
                text(
                    StatusCode::OK,
                    &format!("{} {length} {:?} tls={}", head.uri.path(), head.version, peer.tls),
                )
            }
            Err(BodyError::TooSlow) => text(StatusCode::REQUEST_TIMEOUT, "too slow"),
            Err(BodyError::Malformed(_)) => text(StatusCode::BAD_REQUEST, "malformed"),
            Err(BodyError::Gone(_)) => text(StatusCode::BAD_REQUEST, "gone"),
        },
    }
}

fn text(status: StatusCode, text: &str) -> Reply {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Writes as fast as the client reads.
fn endless(bench: Bench) -> Reply {
    stream(bench, |pieces| async move {
        while pieces.send(Bytes::from_static(&[b'x'; 16 * 1024])).await.is_ok() {}
    })
}

/// Says one thing, and another when it is asked to end.
fn goodbye(bench: Bench) -> Reply {
    let ending = bench.drain.clone().reached(Phase::Ending);
    stream(bench, |pieces| async move {
        let _ = pieces.send(Bytes::from_static(b"hello ")).await;
        ending.await;
        let _ = pieces.send(Bytes::from_static(b"goodbye")).await;
    })
}

fn stream<F>(bench: Bench, write: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Reply
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(write(sender));
    Response::new(
        Pieces {
            pieces,
            dropped: bench.dropped,
        }
        .boxed_unsync(),
    )
}

struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    dropped: Arc<Notify>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pieces
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.dropped.notify_one();
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} takes too long"))
}

async fn connect(server: &Server) -> TcpStream {
    soon("connecting", TcpStream::connect(server.address))
        .await
        .unwrap()
}

async fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    soon("sending", stream.write_all(bytes.as_ref())).await.unwrap();
}

/// Everything until the server closes. A reset counts as a close: what came before it came.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = soon("the close of the connection", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Everything until the given text has come.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    soon(text, async {
        while !String::from_utf8_lossy(&bytes).contains(text) {
            if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                break;
            }
        }
    })
    .await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends bytes over a fresh connection and gives all that comes back until the server closes.
async fn exchange(server: &Server, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(server).await;
    send(&mut stream, bytes).await;
    rest(&mut stream).await
}

/// The status codes of pipelined answers, in order.
fn statuses(answers: &str) -> Vec<&str> {
    answers
        .match_indices("HTTP/1.1 ")
        .map(|(at, start)| &answers[at + start.len()..][..3])
        .filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}
