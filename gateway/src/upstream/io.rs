//! A connection's socket, in the clear or under TLS.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// How much is read at once. A read lands on the stack and is copied out in its exact size, so that a
/// connection which waits holds no buffer.
pub(super) const READ: usize = 16 * 1024;

/// A connection's socket.
#[derive(Debug)]
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    /// Reads once and gives what came to `take`; an empty slice is the end.
    pub(super) fn poll_read_with<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<io::Result<R>> {
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        self.poll_read(cx, &mut buffer).map_ok(|()| take(buffer.filled()))
    }

    /// Reads once into the spare capacity of `buffer`; zero is the end.
    pub(super) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => tokio_util::io::poll_read_buf(Pin::new(tcp), cx, buffer),
            Self::Tls(tls) => tokio_util::io::poll_read_buf(Pin::new(&mut **tls), cx, buffer),
        }
    }

    /// Whether a read that did not fill its space says that nothing more has come. TLS hands out record by
    /// record, so more may wait behind a short read.
    pub(super) fn short_read_is_all(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Whether an idle connection has ended, or said something unasked, which is as bad. Makes the socket
    /// forget the task that used it last.
    pub(super) fn is_spent(&mut self) -> bool {
        let mut space = [const { MaybeUninit::uninit() }; 1];
        let mut buffer = ReadBuf::uninit(&mut space);
        self.poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer)
            .is_ready()
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, pieces),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buffer),
        }
    }
}
