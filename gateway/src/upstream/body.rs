//! Response bodies.

use std::{
    future::poll_fn,
    io, mem,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};

use super::{h1, h1::FramingError, h2};

/// How long, and how much, a released body may take to end.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: usize = 64 * 1024;

/// The body of an upstream's response.
///
/// Dropping it before its end closes the connection (HTTP/1.1) or resets the stream (HTTP/2) at once.
#[derive(Debug)]
pub struct UpstreamBody(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Bytes),
    Http1(Box<h1::Exchange>),
    Http2(Box<h2::Answer>),
}

/// A response body that did not come whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream closed before the end.
    #[error("the upstream closed the connection in the middle of its response")]
    Cut,
    /// The connection failed.
    #[error("the connection failed in the middle of the upstream's response")]
    Io(#[source] io::Error),
    /// The body does not follow its framing.
    #[error("the framing of the upstream's response is broken")]
    Framing(#[source] FramingError),
    /// The HTTP/2 stream failed.
    #[error("the HTTP/2 stream failed in the middle of the upstream's response")]
    Http2(#[source] hyper::Error),
}

/// A response body that could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// It is longer than the reader wants.
    #[error("the upstream's response is longer than {limit} bytes")]
    TooLarge {
        /// What the reader wants.
        limit: usize,
    },
    /// It did not come whole.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl UpstreamBody {
    /// A body of these bytes.
    pub fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }

    pub(super) fn http1(rest: h1::Rest) -> Self {
        match rest {
            h1::Rest::Whole(bytes) => Self::whole(bytes),
            h1::Rest::Coming(exchange) => Self(Kind::Http1(exchange)),
        }
    }

    pub(super) fn http2(answer: h2::Answer) -> Self {
        Self(Kind::Http2(Box::new(answer)))
    }

    /// The next piece of content, never empty: everything that has arrived, up to a bound. `None` after the
    /// last.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.0 {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(mem::take(bytes)))),
            Kind::Http1(exchange) => exchange.poll_piece(cx),
            Kind::Http2(answer) => answer.poll_piece(cx),
        }
    }

    /// Waits for the next piece of content. Cancel safe.
    pub async fn piece(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// Whether all content was given out and the body ended well.
    pub fn is_over(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Http1(exchange) => exchange.is_over(),
            Kind::Http2(answer) => answer.is_over(),
        }
    }

    /// How many bytes are still to come; `None` when the upstream did not say.
    pub fn left(&self) -> Option<u64> {
        match &self.0 {
            Kind::Whole(bytes) => Some(bytes.len() as u64),
            Kind::Http1(exchange) => exchange.left(),
            Kind::Http2(answer) => answer.left(),
        }
    }

    /// Waits for the whole body, at most `limit` bytes of it.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, CollectError> {
        let too_large = CollectError::TooLarge { limit };
        let announced = self.left().map(usize::try_from);
        if announced.is_some_and(|announced| announced.is_ok_and(|length| length > limit)) {
            return Err(too_large);
        }
        let Some(first) = self.piece().await.transpose()? else {
            return Ok(Bytes::new());
        };
        if first.len() > limit {
            return Err(too_large);
        }
        let mut collected = BytesMut::new();
        while let Some(piece) = self.piece().await.transpose()? {
            if collected.is_empty() {
                let rest = self
                    .left()
                    .and_then(|left| usize::try_from(left).ok())
                    .unwrap_or(0);
                collected.reserve(first.len() + piece.len() + rest);
                collected.extend_from_slice(&first);
            }
            if collected.len() + piece.len() > limit {
                return Err(too_large);
            }
            collected.extend_from_slice(&piece);
        }
        Ok(if collected.is_empty() {
            first
        } else {
            collected.freeze()
        })
    }

    /// Lets go of a body of which nothing more is wanted although it ended well, as a stream after its last
    /// event: what little may be missing is read in the background, so that the connection can be used again.
    pub fn release(mut self) {
        if self.is_over() || matches!(self.0, Kind::Whole(_)) {
            return;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends by itself within the farewell, and nothing depends on it"
        )]
        tokio::spawn(tokio::time::timeout(FAREWELL, async move {
            let mut read = 0;
            while let Some(Ok(piece)) = self.piece().await {
                read += piece.len();
                if read > FAREWELL_BYTES {
                    return;
                }
            }
        }));
    }
}
