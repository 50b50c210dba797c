//! HTTP/2: connections shared by many requests, each driven by a task of its own.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, Request, Uri, header::CONTENT_LENGTH, header::HOST, request, response, uri};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::client::TlsStream;

use dialect::Segments;

use super::{BodyError, BoxError, Permit, RequestBody, h1::is_hop_by_hop};

/// The most content given out at once.
const PIECE: usize = 64 * 1024;
/// How often a connection with streams is asked whether it is still there, and how long it may take to say.
const PING: Duration = Duration::from_secs(20);
/// The longest response head, as HTTP/2 counts it.
const HEAD: u32 = 64 * 1024;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http2::SendRequest<Outgoing>,
    /// How many streams the upstream takes.
    most: AtomicUsize,
    streams: AtomicUsize,
    /// When the last stream ended.
    free_since: Mutex<Instant>,
}

/// A place for one request on a connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Stream(Arc<Connection>);

/// A response body. Dropping it resets the stream.
#[derive(Debug)]
pub(super) struct Answer {
    incoming: Incoming,
    failure: Option<BodyError>,
    stream: Option<Stream>,
}

/// Why there is no response head.
#[derive(Debug)]
pub(super) enum Failed {
    /// The stream ended.
    Stream {
        source: hyper::Error,
        /// Whether the upstream cannot have acted on the request, or its connection went away under it.
        retry: bool,
    },
    /// The permit was taken back before anything was sent. The request's body is given back.
    Revoked(RequestBody),
}

/// Bytes of one answer that may lie unread.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of all answers of a connection that may lie unread.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// Streams of one connection at most: so few that readers who stop cannot use up the window of the others.
fn most(granted: usize) -> usize {
    granted.min((CONNECTION_WINDOW / STREAM_WINDOW) as usize)
}

impl Connection {
    /// Speaks HTTP/2 over a fresh TLS connection.
    pub(super) async fn open(tls: Box<TlsStream<TcpStream>>) -> Result<Arc<Self>, hyper::Error> {
        let (sender, mut driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_header_list_size(HEAD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(tls))
            .await?;
        let connection = Arc::new(Self {
            sender,
            most: AtomicUsize::new(most(driver.current_max_send_streams())),
            streams: AtomicUsize::new(0),
            free_since: Mutex::new(Instant::now()),
        });
        let observer = Arc::downgrade(&connection);
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with its connection, and an error of it is every stream's"
        )]
        tokio::spawn(async move {
            let ended = poll_fn(|cx| {
                let polled = Pin::new(&mut driver).poll(cx);
                if let Some(connection) = observer.upgrade() {
                    connection
                        .most
                        .store(most(driver.current_max_send_streams()), Ordering::Release);
                }
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(connection)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// How long no request has been using it.
    pub(super) fn free_for(&self) -> Duration {
        if self.streams.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        self.free_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }
}

impl Stream {
    /// A place on this connection; `None` when the upstream takes no more streams on it.
    pub(super) fn open(connection: &Arc<Connection>) -> Option<Self> {
        let most = connection.most.load(Ordering::Acquire);
        connection
            .streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
                (open < most).then_some(open + 1)
            })
            .ok()
            .map(|_| Self(Arc::clone(connection)))
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// The permit is held while the request is given to the connection's task, which writes it as soon as it can.
    ///
    /// Cancel safe: dropping the future resets the stream.
    pub(super) async fn exchange(
        self,
        request: &request::Parts,
        authority: &uri::Authority,
        body: RequestBody,
        permit: &Permit,
    ) -> Result<(response::Parts, Answer), Failed> {
        let mut sender = self.0.sender.clone();
        let sent = match permit.hold() {
            Some(_held) => sender.try_send_request(assemble(request, authority, body)),
            None => return Err(Failed::Revoked(body)),
        };
        let response = sent.await.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            let source = error.into_error();
            Failed::Stream {
                retry: unsent || went_away(&source),
                source,
            }
        })?;
        let (parts, incoming) = response.into_parts();
        let answer = Answer {
            incoming,
            failure: None,
            stream: Some(self),
        };
        Ok((parts, answer))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        *self.0.free_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether the connection ended, rather than that the upstream answered this stream with an error.
fn went_away(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<::h2::Error>() {
            return error.is_io()
                || error.is_go_away()
                || error.reason() == Some(::h2::Reason::REFUSED_STREAM);
        }
        if error.is::<std::io::Error>() {
            return true;
        }
        source = error.source();
    }
    error.is_canceled() || error.is_closed()
}

impl Answer {
    /// The next piece of content: all that is there, up to a bound. `None` after the last.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        if self.stream.is_none() {
            return Poll::Ready(None);
        }
        let Some(first) = ready!(self.poll_data(cx)) else {
            return Poll::Ready(self.failure.take().map(Err));
        };
        let mut more = BytesMut::new();
        while first.len() + more.len() < PIECE
            && self.stream.is_some()
            && let Poll::Ready(Some(data)) = self.poll_data(cx)
        {
            if more.is_empty() {
                more.reserve(first.len() + data.len());
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
        let piece = if more.is_empty() { first } else { more.freeze() };
        Poll::Ready(Some(Ok(piece)))
    }

    /// Whether all content was given out.
    pub(super) fn is_over(&self) -> bool {
        self.stream.is_none() && self.failure.is_none()
    }

    /// How much content is still to come, where the upstream said so.
    pub(super) fn left(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The next data frame that is not empty. `None` at the end, which is noted.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        if self.incoming.is_end_stream() {
                            self.stream = None;
                        }
                        return Poll::Ready(Some(data));
                    }
                    Err(_trailers) => {}
                },
                Some(Err(error)) => {
                    self.failure = Some(BodyError::Http2(error));
                    self.stream = None;
                    return Poll::Ready(None);
                }
                None => {
                    self.stream = None;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

fn assemble(request: &request::Parts, authority: &uri::Authority, body: RequestBody) -> Request<Outgoing> {
    let mut uri = uri::Parts::default();
    uri.scheme = Some(uri::Scheme::HTTPS);
    uri.authority = Some(authority.clone());
    uri.path_and_query = Some(
        request
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| uri::PathAndQuery::from_static("/")),
    );
    let body = Outgoing::from(body);
    let length = body.size_hint().exact();
    let mut assembled = Request::new(body);
    *assembled.method_mut() = request.method.clone();
    // All three parts are given, which is what a URI needs.
    *assembled.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    let headers = assembled.headers_mut();
    let kept = |name: &HeaderName| *name != HOST && !is_hop_by_hop(name);
    for (name, value) in request.headers.iter().filter(|(name, _)| kept(name)) {
        headers.append(name, value.clone());
    }
    if let Some(length) = length.filter(|length| *length > 0) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    assembled
}

/// A request body as HTTP/2 sends it.
#[derive(Debug)]
pub(super) enum Outgoing {
    Whole {
        pieces: <Segments as IntoIterator>::IntoIter,
        left: u64,
    },
    Streamed(super::StreamedBody),
}

impl From<RequestBody> for Outgoing {
    fn from(body: RequestBody) -> Self {
        let whole = |segments: Segments| Self::Whole {
            left: segments.len() as u64,
            pieces: segments.into_iter(),
        };
        match body {
            RequestBody::Whole(segments) => whole(Arc::unwrap_or_clone(segments)),
            RequestBody::Empty => whole(Segments::from(Bytes::new())),
            RequestBody::Streamed(body) => Self::Streamed(body),
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole { pieces, left } => Poll::Ready(pieces.next().map(|piece| {
                *left -= piece.len() as u64;
                Ok(Frame::data(piece))
            })),
            Self::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { left, .. } => *left == 0,
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { left, .. } => SizeHint::with_exact(*left),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}
