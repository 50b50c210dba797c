//! A form on its way: what was read of it, then the rest as it comes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{flow::peek::MULTIPART_MAX, server::RequestBody, upstream::BoxError};

/// A form on its way to the upstream.
pub(super) struct FormBody {
    head: Bytes,
    rest: RequestBody,
    /// The length of the whole, where the client said.
    length: Option<u64>,
    sent: u64,
}

/// A form without a declared length grew too long.
#[derive(Debug, thiserror::Error)]
#[error("the form is longer than {} MiB", MULTIPART_MAX >> 20)]
pub(in crate::flow) struct TooLong;

impl FormBody {
    pub(super) fn new(head: Bytes, rest: RequestBody, length: Option<u64>) -> Self {
        Self {
            head,
            rest,
            length,
            sent: 0,
        }
    }
}

impl Body for FormBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.head.is_empty() {
            let head = std::mem::take(&mut self.head);
            self.sent += head.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        let frame = match ready!(Pin::new(&mut self.rest).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        self.sent += frame.data_ref().map_or(0, |piece| piece.len() as u64);
        if self.sent > MULTIPART_MAX {
            return Poll::Ready(Some(Err(TooLong.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, |length| {
            SizeHint::with_exact(length.saturating_sub(self.sent))
        })
    }
}
