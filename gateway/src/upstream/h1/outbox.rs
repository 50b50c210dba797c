//! What of a request is still to be sent.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body as _;
use smallvec::SmallVec;

use super::super::{BoxError, StreamedBody, io::Io};

/// The most pieces handed to one write.
const VECTORS: usize = 16;

/// The unsent rest of a request, in pieces that are let go as soon as they are sent.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Outbox {
    pieces: SmallVec<[Bytes; 6]>,
    streamed: Option<Streamed>,
    /// Whether a byte was taken.
    begun: bool,
    flushed: bool,
}

#[derive(Debug)]
struct Streamed {
    body: StreamedBody,
    /// Bytes still to come under the announced length; `None` when sent in chunks.
    left: Option<u64>,
}

/// Why a request could not be sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The upstream does not take it.
    Io(io::Error),
    /// Its body failed.
    Body(BoxError),
}

impl Outbox {
    pub(in crate::upstream) fn new(head: Bytes, body: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces = std::iter::once(head).chain(body.into_iter().filter(|piece| !piece.is_empty()));
        Self {
            pieces: pieces.collect(),
            ..Self::default()
        }
    }

    /// `length` is the announced length; `None` sends chunks.
    pub(in crate::upstream) fn streamed(head: Bytes, body: StreamedBody, length: Option<u64>) -> Self {
        Self {
            streamed: Some(Streamed { body, left: length }),
            ..Self::new(head, [])
        }
    }

    /// Whether all is sent.
    pub(super) fn is_done(&self) -> bool {
        self.pieces.is_empty() && self.streamed.is_none() && self.flushed
    }

    /// Whether any of it was sent.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// The body of a request of which nothing was sent, if it can be sent only once.
    pub(super) fn into_streamed(self) -> Option<StreamedBody> {
        self.streamed.map(|streamed| streamed.body)
    }

    /// Sends as much as the upstream takes; ready when all is sent.
    pub(super) fn poll_send(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        loop {
            while !self.pieces.is_empty() {
                self.flushed = false;
                let vectors: SmallVec<[IoSlice<'_>; VECTORS]> = self
                    .pieces
                    .iter()
                    .take(VECTORS)
                    .map(|piece| IoSlice::new(piece))
                    .collect();
                let written = ready!(io.poll_write_vectored(cx, &vectors)).map_err(Unsent::Io)?;
                drop(vectors);
                match written {
                    0 => return Poll::Ready(Err(Unsent::Io(io::ErrorKind::WriteZero.into()))),
                    sent => {
                        self.begun = true;
                        self.advance(sent);
                    }
                }
            }
            let Some(streamed) = &mut self.streamed else {
                break;
            };
            match streamed.poll_pieces(cx, &mut self.pieces) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => self.streamed = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Unsent::Body(error))),
                Poll::Pending => {
                    if let Poll::Ready(Err(error)) = io.poll_flush(cx) {
                        return Poll::Ready(Err(Unsent::Io(error)));
                    }
                    return Poll::Pending;
                }
            }
        }
        ready!(io.poll_flush(cx)).map_err(Unsent::Io)?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut sent: usize) {
        let whole = self
            .pieces
            .iter()
            .take_while(|piece| {
                let fits = piece.len() <= sent;
                sent -= if fits { piece.len() } else { 0 };
                fits
            })
            .count();
        self.pieces.drain(..whole);
        if let Some(first) = self.pieces.first_mut() {
            bytes::Buf::advance(first, sent);
        }
    }
}

impl Streamed {
    /// Takes the next piece of the body. `false` when it was the last.
    fn poll_pieces(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &mut SmallVec<[Bytes; 6]>,
    ) -> Poll<Result<bool, BoxError>> {
        let Some(frame) = ready!(std::pin::Pin::new(&mut self.body).poll_frame(cx)) else {
            return Poll::Ready(match self.left {
                Some(0) => Ok(false),
                Some(_) => Err("request body is shorter than announced".into()),
                None => {
                    pieces.push(Bytes::from_static(b"0\r\n\r\n"));
                    Ok(false)
                }
            });
        };
        let Ok(data) = frame?.into_data() else {
            return Poll::Ready(Ok(true));
        };
        if data.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(data.len() as u64) else {
                return Poll::Ready(Err("request body is longer than announced".into()));
            };
            *left = rest;
            pieces.push(data);
        } else {
            pieces.push(format!("{:x}\r\n", data.len()).into());
            pieces.push(data);
            pieces.push(Bytes::from_static(b"\r\n"));
        }
        Poll::Ready(Ok(true))
    }
}
