//! A socket that refuses ambiguous framing, ends waits that took too long, and closes without losing the answer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Deadlines,
    activity::Activity,
    framing::{Framing, Malformed, Place},
};

/// What the parser gets in place of a refused head: it answers 400 in its turn and closes.
const REFUSED: &[u8] = b"\0\r\n\r\n";

/// The answer to a head that was begun and not finished. The parser has none.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What every HTTP/2 connection begins with, and no HTTP/1 connection.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of an unread request is thrown away per read while the answer is on its way.
const DISCARDED: usize = 16 * 1024;

/// The server's end of one connection.
pub(super) struct Socket<S> {
    inner: S,
    activity: Arc<Activity>,
    deadlines: Deadlines,
    framing: Framing,
    /// The first bytes, read to know the protocol, until the parser reads them.
    ahead: [u8; PREFACE.len()],
    known: usize,
    /// What the parser reads next instead of the peer's bytes.
    instead: &'static [u8],
    /// Nothing that follows is read as a request.
    refused: Option<Refused>,
    /// What we wait for, and after how many messages; its deadline runs.
    wait: Option<(Wait, u64)>,
    write_blocked: bool,
    peer_ended: bool,
    shut: bool,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Which part of a request could be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Head,
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    FirstByte,
    NextHead,
    Head,
    Body,
    /// A call is being answered, or the protocol has timers of its own.
    Nothing,
}

impl<S> Socket<S> {
    /// Wraps a fresh connection; the wait for its first byte begins.
    pub(super) fn new(inner: S, activity: Arc<Activity>, deadlines: Deadlines) -> Self {
        activity.set(&activity.reading, deadlines.first_byte);
        Self {
            inner,
            activity,
            deadlines,
            framing: Framing::new(),
            ahead: [0; PREFACE.len()],
            known: 0,
            instead: &[],
            refused: None,
            wait: Some((Wait::FirstByte, 0)),
            write_blocked: false,
            peer_ended: false,
            shut: false,
        }
    }

    /// Looks at what was just read into `buffer` after `before`, and takes it out again where it is refused.
    fn inspect(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        if buffer.filled().len() == before {
            self.peer_ended = true;
            return Ok(());
        }
        let (place, messages) = (self.framing.place(), self.framing.messages());
        if place == Place::Http2 {
            return Ok(());
        }
        if let Err(Malformed { at, in_body }) = self.framing.feed(&buffer.filled()[before..]) {
            // What came before may hold a whole head; the refusal follows it.
            buffer.set_filled(before + at);
            if in_body {
                self.refused = Some(Refused::Body);
                return if at == 0 { Err(malformed()) } else { Ok(()) };
            }
            self.refused = Some(Refused::Head);
            self.instead = REFUSED;
            self.put_instead(buffer);
        }
        match self.framing.place() {
            Place::Http2 => self.activity.speaks_http2(),
            // Progress: the next wait begins anew. A head has one deadline for all its bytes.
            now if now == Place::Body || self.framing.messages() > messages => self.stop_waiting(),
            Place::Between | Place::Head | Place::Body => (),
        }
        Ok(())
    }

    fn stop_waiting(&mut self) {
        self.wait = None;
        self.activity.reading.clear();
    }

    /// The peer sent nothing: begins a wait, goes on with it, or ends it.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        let messages = self.framing.messages();
        let wait = match self.framing.place() {
            Place::Http2 => return Poll::Pending,
            Place::Body => Wait::Body,
            Place::Between | Place::Head if self.activity.is_busy() || self.write_blocked => Wait::Nothing,
            Place::Head => Wait::Head,
            Place::Between if messages == 0 => Wait::FirstByte,
            Place::Between => Wait::NextHead,
        };
        // The end of the answer has already set the deadline of the next head.
        let goes_on = wait == Wait::NextHead && self.wait == Some((Wait::Nothing, messages));
        if self.wait.replace((wait, messages)) != Some((wait, messages)) && !goes_on {
            let limit = match wait {
                Wait::FirstByte => self.deadlines.first_byte,
                Wait::NextHead => self.deadlines.keep_alive,
                Wait::Head => self.deadlines.head,
                Wait::Body => self.deadlines.body_idle,
                Wait::Nothing => {
                    self.activity.reading.clear();
                    return Poll::Pending;
                }
            };
            self.activity.set(&self.activity.reading, limit);
            return Poll::Pending;
        }
        if wait == Wait::Nothing || !self.activity.has_passed(&self.activity.reading) {
            return Poll::Pending;
        }
        match wait {
            Wait::FirstByte | Wait::NextHead | Wait::Nothing => Poll::Ready(Ok(())),
            Wait::Head | Wait::Body => {
                if wait == Wait::Head && !self.write_blocked {
                    // Whether it leaves is not worth waiting for: the connection ends either way.
                    let _ = Pin::new(&mut self.inner).poll_write(cx, TOO_SLOW);
                    let _ = Pin::new(&mut self.inner).poll_flush(cx);
                }
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the request took too long to arrive",
                )))
            }
        }
    }

    /// Bounds how long the peer may refuse to take what we write.
    fn written<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match (&result, self.write_blocked) {
            (Poll::Ready(_), true) => {
                self.write_blocked = false;
                self.activity.writing.clear();
                if matches!(self.wait, Some((Wait::Nothing, _))) && !self.activity.is_busy() {
                    // The answer has left only now: the wait for the next head begins.
                    self.wait = None;
                }
            }
            (Poll::Pending, false) => {
                self.write_blocked = true;
                self.activity
                    .set(&self.activity.writing, self.deadlines.write_stall);
            }
            (Poll::Pending, true) if self.activity.has_passed(&self.activity.writing) => {
                let late = io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing");
                return Poll::Ready(Err(late));
            }
            (Poll::Ready(_), false) | (Poll::Pending, true) => (),
        }
        result
    }

    /// Whether the peer may still be sending a request that was answered or refused early. Closing now would
    /// reset the connection, and the reset may overtake the answer.
    fn is_unread(&self) -> bool {
        let unfinished = matches!(self.framing.place(), Place::Head | Place::Body);
        !self.peer_ended && (unfinished || self.refused.is_some())
    }

    fn put_instead(&mut self, buffer: &mut ReadBuf<'_>) {
        let (now, later) = self.instead.split_at(self.instead.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.instead = later;
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the chunks of the body are malformed")
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Reads until it is known what the peer speaks, and keeps what was read for the parser. `None` when it
    /// spoke neither in time. Until then a connection costs no buffers.
    pub(super) fn poll_version(&mut self, cx: &mut Context<'_>) -> Poll<Option<Version>> {
        loop {
            let known = self.known;
            if self.ahead[..known] != PREFACE[..known] {
                return Poll::Ready(Some(Version::Http1));
            }
            if known == PREFACE.len() {
                return Poll::Ready(Some(Version::Http2));
            }
            let mut ahead = self.ahead;
            let mut buffer = ReadBuf::new(&mut ahead[known..]);
            let read = ready!(self.poll_next(cx, &mut buffer));
            let count = buffer.filled().len();
            if read.is_err() || count == 0 {
                return Poll::Ready(None);
            }
            self.ahead = ahead;
            self.known += count;
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.instead.is_empty() {
            self.put_instead(buffer);
            return Poll::Ready(Ok(()));
        }
        match self.refused {
            Some(Refused::Head) => return Poll::Ready(Ok(())),
            Some(Refused::Body) => return Poll::Ready(Err(malformed())),
            None => (),
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(self.inspect(buffer, before)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(cx),
        }
    }

    /// Gives the parser the first bytes, together with what came after them: two reads would cost it a
    /// second buffer.
    fn poll_replay(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.known.min(buffer.remaining());
        buffer.put_slice(&self.ahead[..count]);
        self.ahead.copy_within(count..self.known, 0);
        self.known -= count;
        if self.known > 0 || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match self.poll_next(cx, buffer) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.known > 0 {
            self.poll_replay(cx, buffer)
        } else {
            self.poll_next(cx, buffer)
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.written(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.shut {
            let result = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.written(result))?;
            this.shut = true;
            this.activity.set(&this.activity.reading, this.deadlines.linger);
        }
        let mut discarded = [0; DISCARDED];
        while this.is_unread() {
            let mut buffer = ReadBuf::new(&mut discarded);
            match Pin::new(&mut this.inner).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => this.peer_ended = true,
                Poll::Ready(Ok(())) if !this.activity.has_passed(&this.activity.reading) => (),
                Poll::Pending if !this.activity.has_passed(&this.activity.reading) => return Poll::Pending,
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
