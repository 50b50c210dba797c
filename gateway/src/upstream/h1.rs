//! HTTP/1.1 with the connection driven by whoever waits for it.
//!
//! There is no connection task: the caller's own poll writes the request, reads the head and decodes the
//! body, so nothing is handed between tasks, and what one read brought leaves as one piece. See
//! `docs/decisions/0001-upstream-client.md`.

mod framing;
mod head;
mod outbox;

use std::{
    future::poll_fn,
    io, mem,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::response;

pub use framing::FramingError;
pub use head::HeadError;
pub(super) use head::{Outgoing, encode, is_hop_by_hop};
pub(super) use outbox::Outbox;

use self::{framing::Framing, head::Head, outbox::Unsent};
use super::{
    BodyError, BoxError, Permit, StreamedBody,
    connections::Connections,
    io::{Io, READ},
};

/// The most content given out at once.
const PIECE: usize = 64 * 1024;

/// Why there is no response head.
#[derive(Debug)]
pub(super) enum Failed {
    /// The connection ended. `answered` when a byte of a response had come.
    Closed { source: io::Error, answered: bool },
    /// What came is no response.
    Head(HeadError),
    /// The request's own body failed.
    Body(BoxError),
    /// The permit was taken back before anything was sent. A body that can be sent only once is given back.
    Revoked(Option<StreamedBody>),
}

/// What follows a response head.
#[derive(Debug)]
pub(super) enum Rest {
    /// All of the body came with the head; the connection is free again.
    Whole(Bytes),
    /// The body is still coming.
    Coming(Box<Exchange>),
}

/// A response body that is still coming. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Exchange {
    /// `None` once the body is over.
    io: Option<Io>,
    /// `None` once all of the request is sent, or will not be.
    outbox: Option<Box<Outbox>>,
    framing: Framing,
    keep_alive: bool,
    /// Content that came with the head.
    early: Bytes,
    /// What is reported after the content before it was given out.
    failure: Option<BodyError>,
    home: Arc<Connections>,
}

/// A request that waits for its response head.
struct Call<'a> {
    io: Io,
    /// `None` once the upstream does not take it.
    outbox: Option<Box<Outbox>>,
    to_head: bool,
    /// Whether the request may begin; `None` once it has.
    permit: Option<&'a Permit>,
    /// An incomplete head.
    partial: BytesMut,
    answered: bool,
    /// Why the upstream does not take the request; it may still answer.
    refused: Option<io::Error>,
}

/// Sends a request and waits for the head of the response. `to_head` says that it was a HEAD request.
///
/// Cancel safe: dropping the future closes the connection.
pub(super) async fn exchange(
    io: Io,
    outbox: Box<Outbox>,
    to_head: bool,
    permit: &Permit,
    home: &Arc<Connections>,
) -> Result<(response::Parts, Rest), Failed> {
    let mut call = Call {
        io,
        outbox: Some(outbox),
        to_head,
        permit: Some(permit),
        partial: BytesMut::new(),
        answered: false,
        refused: None,
    };
    let (head, early, read) = match poll_fn(|cx| call.poll_head(cx)).await {
        Ok(found) => found,
        Err(failed) => {
            if let Failed::Revoked(_) = failed {
                // Nothing was sent on it.
                home.put_h1(call.io);
            }
            return Err(failed);
        }
    };
    let mut exchange = Exchange {
        io: Some(call.io),
        outbox: call.outbox.filter(|outbox| !outbox.is_done()),
        framing: head.framing,
        keep_alive: head.keep_alive && call.refused.is_none(),
        early,
        failure: None,
        home: Arc::clone(home),
    };
    exchange.take_note(&read);
    let rest = if exchange.framing.is_done() && exchange.failure.is_none() {
        exchange.settle();
        Rest::Whole(exchange.early)
    } else {
        Rest::Coming(Box::new(exchange))
    };
    Ok((head.parts, rest))
}

impl Call<'_> {
    /// The response head, and the content that came with it.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Head, Bytes, Read), Failed>> {
        if self.outbox.as_ref().is_some_and(|outbox| !outbox.is_done()) {
            self.poll_send(cx)?;
        }
        loop {
            let (partial, answered, to_head) = (&mut self.partial, &mut self.answered, self.to_head);
            let read = ready!(self.io.poll_read_with(cx, |bytes| {
                if bytes.is_empty() {
                    return Ok(Found::End);
                }
                *answered = true;
                find(partial, bytes, to_head)
            }));
            return Poll::Ready(match read {
                Ok(Ok(Found::Nothing)) => continue,
                Ok(Ok(Found::Head(head, early, read))) => Ok((*head, early, read)),
                Ok(Err(error)) => Err(Failed::Head(error)),
                Ok(Ok(Found::End)) => Err(self.closed(io::ErrorKind::UnexpectedEof.into())),
                Err(error) => Err(self.closed(error)),
            });
        }
    }

    /// Sends what the upstream takes. The permit is held until the first byte is handed over.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Failed> {
        let Some(outbox) = &mut self.outbox else {
            return Ok(());
        };
        let held = match self.permit.map(Permit::hold) {
            None => None,
            Some(Some(held)) => Some(held),
            Some(None) => {
                let unsent = self.outbox.take();
                return Err(Failed::Revoked(unsent.and_then(|outbox| outbox.into_streamed())));
            }
        };
        let sent = outbox.poll_send(&mut self.io, cx);
        drop(held);
        if outbox.has_begun() {
            self.permit = None;
        }
        match sent {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(Unsent::Body(error))) => return Err(Failed::Body(error)),
            Poll::Ready(Err(Unsent::Io(error))) => {
                self.outbox = None;
                self.refused = Some(error);
            }
        }
        Ok(())
    }

    fn closed(&mut self, source: io::Error) -> Failed {
        Failed::Closed {
            source: self.refused.take().unwrap_or(source),
            answered: self.answered,
        }
    }
}

enum Found {
    /// No complete head yet.
    Nothing,
    /// A head and the content that follows it.
    Head(Box<Head>, Bytes, Read),
    /// The upstream closed.
    End,
}

/// Looks for a final head in `partial` and then `bytes`; keeps an incomplete one in `partial`.
fn find(partial: &mut BytesMut, bytes: &[u8], to_head: bool) -> Result<Found, HeadError> {
    let joined = !partial.is_empty();
    let mut from = partial.len().saturating_sub(3);
    if joined {
        partial.extend_from_slice(bytes);
    }
    let all = if joined { &partial[..] } else { bytes };
    let mut start = 0;
    while let Some(end) = head::end(all, from) {
        if end - start > head::HEAD {
            return Err(HeadError::TooLong);
        }
        if let Some(mut head) = head::parse(&Bytes::copy_from_slice(&all[start..end]), to_head)? {
            let mut early = BytesMut::new();
            let read = match &all[end..] {
                [] => Read::Some {
                    surplus: false,
                    full: false,
                },
                rest => Read::decode(&mut head.framing, rest, &mut early),
            };
            return Ok(Found::Head(Box::new(head), early.freeze(), read));
        }
        (start, from) = (end, end);
    }
    if all.len() - start > head::HEAD {
        return Err(HeadError::TooLong);
    }
    if joined {
        partial.advance(start);
    } else {
        partial.extend_from_slice(&bytes[start..]);
    }
    Ok(Found::Nothing)
}

impl Exchange {
    /// The next piece of content: all that is there, up to a bound. `None` after the last.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if !self.early.is_empty() {
            return Poll::Ready(Some(Ok(mem::take(&mut self.early))));
        }
        self.keep_sending(cx);
        let mut out = BytesMut::new();
        while self.failure.is_none() && !self.framing.is_done() && out.len() < PIECE {
            let Some(io) = &mut self.io else { break };
            let read = match &mut self.framing {
                Framing::Length(left) if *left > READ as u64 => read_large(io, cx, left, &mut out),
                framing => io.poll_read_with(cx, |bytes| Read::decode(framing, bytes, &mut out)),
            };
            let more_may_wait = match read {
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => false,
                Poll::Ready(Ok(read)) => self.take_note(&read) || out.is_empty(),
                Poll::Ready(Err(error)) => {
                    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
                    self.failure = Some(if cut { BodyError::Cut } else { BodyError::Io(error) });
                    false
                }
            };
            if !more_may_wait {
                break;
            }
        }
        if self.framing.is_done() || self.failure.is_some() {
            self.settle();
        }
        Poll::Ready(if out.is_empty() {
            self.failure.take().map(Err)
        } else {
            Some(Ok(out.freeze()))
        })
    }

    /// Whether all content was given out.
    pub(super) fn is_over(&self) -> bool {
        self.io.is_none() && self.early.is_empty() && self.failure.is_none()
    }

    /// How much content is still to come, where the upstream said so.
    pub(super) fn left(&self) -> Option<u64> {
        match self.framing {
            Framing::Done => Some(self.early.len() as u64),
            Framing::Length(left) => Some(left + self.early.len() as u64),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }

    /// Draws the consequences of a read. Returns whether more may be there already.
    fn take_note(&mut self, read: &Read) -> bool {
        match read {
            Read::Some { surplus, full } => {
                if self.framing == Framing::Length(0) {
                    self.framing = Framing::Done;
                }
                self.keep_alive &= !surplus;
                *full || self.io.as_ref().is_some_and(|io| !io.short_read_is_all())
            }
            Read::End => {
                self.keep_alive = false;
                if !self.framing.close() {
                    self.failure = Some(BodyError::Cut);
                }
                false
            }
            Read::Bad(error) => {
                self.failure = Some(BodyError::Framing(*error));
                false
            }
        }
    }

    /// Sends what is left of the request while the response already comes.
    fn keep_sending(&mut self, cx: &mut Context<'_>) {
        if let Some(io) = &mut self.io
            && let Some(outbox) = &mut self.outbox
            && let Poll::Ready(sent) = outbox.poll_send(io, cx)
        {
            self.outbox = None;
            self.keep_alive &= sent.is_ok();
        }
    }

    /// Gives the connection back, or closes it when it cannot be used again.
    fn settle(&mut self) {
        let reusable = self.keep_alive && self.failure.is_none() && self.outbox.is_none();
        if let Some(io) = self.io.take()
            && reusable
        {
            self.home.put_h1(io);
        }
    }
}

/// What one read brought.
enum Read {
    /// Some bytes. `surplus` when there were more than belong to the body; `full` when there was no space
    /// for more.
    Some { surplus: bool, full: bool },
    /// The upstream closed.
    End,
    /// The framing is broken.
    Bad(FramingError),
}

impl Read {
    fn decode(framing: &mut Framing, bytes: &[u8], out: &mut BytesMut) -> Self {
        if bytes.is_empty() {
            return Self::End;
        }
        match framing.decode(bytes, out) {
            Ok(taken) => Self::Some {
                surplus: taken < bytes.len(),
                full: bytes.len() == READ,
            },
            Err(error) => Self::Bad(error),
        }
    }
}

/// Reads a large body without a copy.
fn read_large(
    io: &mut Io,
    cx: &mut Context<'_>,
    left: &mut u64,
    out: &mut BytesMut,
) -> Poll<io::Result<Read>> {
    let wanted = usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE));
    if out.capacity() == out.len() {
        out.reserve(wanted);
    }
    let before = out.len();
    let read = ready!(io.poll_read_into(cx, out))?;
    if read == 0 {
        return Poll::Ready(Ok(Read::End));
    }
    let full = out.capacity() == out.len();
    let taken = read.min(wanted);
    out.truncate(before + taken);
    *left -= taken as u64;
    Poll::Ready(Ok(Read::Some {
        surplus: taken < read,
        full,
    }))
}
