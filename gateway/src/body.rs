//! The body of an answer to a client.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::flow::relay::{Raw, Relay, Waiting};

/// The body of an answer to a client.
pub struct ReplyBody(Kind);

enum Kind {
    /// Known whole: leaves in one write with its length.
    Whole(Bytes),
    /// A stream of events.
    Stream(Pin<Box<Relay>>),
    /// Bytes that are only passed on.
    Raw(Pin<Box<Raw>>),
    /// A stream that has begun with comments, while its upstream is still being sought.
    Waiting(Pin<Box<Waiting>>),
}

/// An upstream broke off in the middle of an answer that cannot carry an error.
#[derive(Debug, thiserror::Error)]
#[error("the upstream broke off in the middle of its answer")]
pub struct BrokenOff;

impl ReplyBody {
    /// A body that is known whole.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(bytes.into()))
    }

    pub(crate) fn stream(relay: Relay) -> Self {
        Self(Kind::Stream(Box::pin(relay)))
    }

    pub(crate) fn raw(raw: Raw) -> Self {
        Self(Kind::Raw(Box::pin(raw)))
    }

    pub(crate) fn waiting(waiting: Waiting) -> Self {
        Self(Kind::Waiting(Box::pin(waiting)))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        let piece = match &mut this.0 {
            Kind::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Kind::Whole(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Raw(raw) => {
                return raw
                    .as_mut()
                    .poll_piece(cx)
                    .map(|piece| piece.map(|piece| piece.map(Frame::data)));
            }
            Kind::Stream(relay) => relay.as_mut().poll_piece(cx),
            Kind::Waiting(waiting) => waiting.as_mut().poll_piece(cx),
        };
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Kind::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(_) | Kind::Raw(_) | Kind::Waiting(_) => SizeHint::default(),
        }
    }
}
