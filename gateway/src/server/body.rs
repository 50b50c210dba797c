//! The bodies at the border: what a handler reads, and what it gives.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Call;

/// The body of a request. Ends with [`BodyError::TooSlow`] when the client stops sending.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    /// Streams of one HTTP/2 connection wait apart. On HTTP/1 the socket watches.
    patience: Option<Patience>,
}

/// Why a request's body did not come whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client sent nothing for too long.
    #[error("the request body took too long to arrive")]
    TooSlow,
    /// The client's bytes are no body.
    #[error("the request body is malformed")]
    Malformed(#[source] hyper::Error),
    /// The client left.
    #[error("the client left before its request was complete")]
    Gone(#[source] hyper::Error),
}

/// The wait of one HTTP/2 stream. Its timer exists only once something was waited for.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    /// When the wait of this moment ends; `None` while nothing is waited for.
    until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, patience: Option<Duration>) -> Self {
        let patience = patience.map(|limit| Patience {
            limit,
            until: None,
            timer: None,
        });
        Self { incoming, patience }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match (Pin::new(&mut this.incoming).poll_frame(cx), &mut this.patience) {
            (Poll::Ready(frame), patience) => {
                if let Some(patience) = patience {
                    patience.until = None;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
            (Poll::Pending, Some(patience)) => {
                ready!(patience.poll_end(cx));
                Poll::Ready(Some(Err(BodyError::TooSlow)))
            }
            (Poll::Pending, None) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Patience {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + self.limit);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        // The timer is left running when something comes; it is moved only when it fires too early.
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> Self {
        let kind = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .map(io::Error::kind);
        match kind {
            Some(io::ErrorKind::TimedOut) => Self::TooSlow,
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Self::Malformed(error),
            _ => Self::Gone(error),
        }
    }
}

pin_project! {
    /// A response's body; the call is open until it is dropped.
    pub(super) struct ResponseBody<B> {
        #[pin]
        body: B,
        call: Call,
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn new(body: B, call: Call) -> Self {
        Self { body, call }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
