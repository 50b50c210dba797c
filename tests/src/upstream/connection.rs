//! One connection of the upstream: reads requests, plays replies, notices when the other side leaves.

use std::{io, sync::Arc, time::Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::{Seen, Shared, reply::Step};

/// How a reply ended.
enum Played {
    ToItsEnd,
    Closed,
    Reset,
    Gone,
}

/// Serves a plain connection, which can also be reset.
pub(super) async fn serve_plain(mut stream: TcpStream, number: usize, shared: Arc<Shared>) {
    if let Played::Reset = requests(&mut stream, number, &shared).await {
        // With a linger time of zero, closing sends RST.
        let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
    }
}

/// Serves any connection.
pub(super) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, number: usize, shared: &Shared) {
    requests(&mut stream, number, shared).await;
    let _ = stream.shutdown().await;
}

async fn requests(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    number: usize,
    shared: &Shared,
) -> Played {
    let mut buffer = BytesMut::new();
    let mut reused = false;
    loop {
        let Ok(Some(mut seen)) = read_request(stream, &mut buffer).await else {
            return Played::Gone;
        };
        (seen.connection, seen.reused) = (number, reused);
        let (id, reply) = shared.take(seen);
        let finishing = || shared.note(id, |seen| seen.finished = Some(Instant::now()));
        let played = play(stream, &mut buffer, reply.into_steps(), finishing).await;
        match played {
            Played::ToItsEnd => shared.note(id, |seen| seen.answered = true),
            Played::Gone => shared.note(id, |seen| seen.gone = true),
            Played::Closed | Played::Reset => {}
        }
        if !matches!(played, Played::ToItsEnd) {
            return played;
        }
        reused = true;
    }
}

async fn play(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut BytesMut,
    steps: Vec<Step>,
    finishing: impl Fn(),
) -> Played {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let last = Step::last(&steps);
    let playing = async {
        for (number, step) in steps.into_iter().enumerate() {
            if Some(number) == last {
                finishing();
            }
            match step {
                Step::Raw(bytes) => writer.write_all(&bytes).await?,
                Step::Chunk(bytes) => writer.write_all(&chunk(&bytes)).await?,
                Step::LastChunk => writer.write_all(b"0\r\n\r\n").await?,
                Step::Wait(wait) => {
                    writer.flush().await?;
                    sleep(wait).await;
                }
                Step::Until(gate) => {
                    writer.flush().await?;
                    gate.wait().await;
                }
                Step::Forever(bytes, every) => loop {
                    writer.write_all(&chunk(&bytes)).await?;
                    writer.flush().await?;
                    sleep(every).await;
                },
                Step::Hang => {
                    writer.flush().await?;
                    std::future::pending::<()>().await;
                }
                Step::Close => {
                    writer.flush().await?;
                    return Ok(Played::Closed);
                }
                Step::Reset => {
                    writer.flush().await?;
                    return Ok(Played::Reset);
                }
            }
        }
        writer.flush().await?;
        Ok::<_, io::Error>(Played::ToItsEnd)
    };
    let leaving = async {
        // What comes while a reply plays is the next request, or the end.
        while reader.read_buf(buffer).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        biased;
        played = playing => played.unwrap_or(Played::Gone),
        () = leaving => Played::Gone,
    }
}

fn chunk(bytes: &Bytes) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}

/// Reads a whole request; `None` when the other side is done.
async fn read_request(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Option<Seen>> {
    let mut seen = loop {
        if let Some((length, seen)) = parse_head(buffer)? {
            buffer.advance(length);
            break seen;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    if seen.header("expect").eq_ignore_ascii_case("100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    seen.body = if seen.header("transfer-encoding").contains("chunked") {
        read_chunks(stream, buffer).await?
    } else {
        let length = seen.header("content-length").parse().unwrap_or(0);
        fill(stream, buffer, length).await?;
        buffer.split_to(length).freeze()
    };
    Ok(Some(seen))
}

fn parse_head(buffer: &[u8]) -> io::Result<Option<(usize, Seen)>> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(buffer).map_err(io::Error::other)?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let headers = request
        .headers
        .iter()
        .map(|header| {
            (
                header.name.to_ascii_lowercase(),
                String::from_utf8_lossy(header.value).into_owned(),
            )
        })
        .collect();
    Ok(Some((
        length,
        Seen {
            method: request.method.unwrap_or_default().to_owned(),
            path: request.path.unwrap_or_default().to_owned(),
            headers,
            body: Bytes::new(),
            connection: 0,
            reused: false,
            gone: false,
            answered: false,
            at: Instant::now(),
            finished: None,
        },
    )))
}

async fn read_chunks(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let (head, length) = loop {
            match httparse::parse_chunk_size(buffer) {
                Ok(httparse::Status::Complete((head, length))) => {
                    break (head, usize::try_from(length).unwrap_or(usize::MAX));
                }
                Ok(httparse::Status::Partial) => {
                    let wanted = buffer.len() + 1;
                    fill(stream, buffer, wanted).await?;
                }
                Err(_) => return Err(io::Error::other("the request's chunks are malformed")),
            }
        };
        buffer.advance(head);
        fill(stream, buffer, length + 2).await?;
        body.extend_from_slice(&buffer[..length]);
        buffer.advance(length + 2);
        if length == 0 {
            return Ok(body.freeze());
        }
    }
}

/// Reads until `buffer` holds `length` bytes.
async fn fill(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut, length: usize) -> io::Result<()> {
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
