//! Where one HTTP/1 message ends and the next begins, read strictly.
//!
//! The parser behind the server is lenient where leniency lets two parties disagree about that question:
//! it accepts bare line feeds, and lets `Transfer-Encoding` win over `Content-Length`. [`Framing`] reads the
//! same bytes on their way in and refuses such shapes. It also knows at any moment what the connection is
//! waiting for, which is what the deadlines need.
//!
//! Pure: no socket, no clock. Any split of the bytes gives the same answer.

use memchr::memchr;

/// How much of a line is kept when it arrives in pieces. Lines that matter are shorter.
const KEPT: usize = 64;

/// What the connection is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// No byte of the next request has come.
    Between,
    /// Part of a request's head has come.
    Head,
    /// The head is complete, part of the body is missing.
    Body,
    /// The peer speaks HTTP/2; nothing is looked at any more.
    Http2,
}

/// How an HTTP/2 connection begins, line by line after the first.
const PREFACE: [&[u8]; 4] = [b"PRI * HTTP/2.0", b"", b"SM", b""];

/// The bytes do not frame a message in the one way everybody agrees on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Where in the fed bytes the refused line ends. What lies before cannot complete a head.
    pub(super) at: usize,
    /// Whether a request's body was being read, and not its head.
    pub(super) in_body: bool,
}

/// Follows the framing of one connection's incoming bytes.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    line: Line,
    messages: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Between,
    Preface(usize),
    Head(Head),
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Http2,
}

/// What the lines of a head have said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
}

/// The start of a line that has not ended yet.
#[derive(Debug)]
struct Line {
    kept: [u8; KEPT],
    length: usize,
    last: u8,
}

impl Framing {
    pub(super) fn new() -> Self {
        let line = Line {
            kept: [0; KEPT],
            length: 0,
            last: 0,
        };
        Self {
            state: State::Between,
            line,
            messages: 0,
        }
    }

    /// What the connection waits for next.
    pub(super) fn place(&self) -> Place {
        match self.state {
            State::Between if self.line.length == 0 => Place::Between,
            State::Between | State::Preface(_) | State::Head(_) => Place::Head,
            State::Sized(_) | State::ChunkSize | State::Chunk(_) | State::ChunkEnd | State::Trailers => {
                Place::Body
            }
            State::Http2 => Place::Http2,
        }
    }

    /// How many heads were complete so far.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Reads the next bytes of the connection. After a refusal the connection must end.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.state {
                State::Http2 => return Ok(()),
                State::Sized(missing) => at += self.take(missing, rest.len(), State::Sized, State::Between),
                State::Chunk(missing) => at += self.take(missing, rest.len(), State::Chunk, State::ChunkEnd),
                State::Between
                | State::Preface(_)
                | State::Head(_)
                | State::ChunkSize
                | State::ChunkEnd
                | State::Trailers => {
                    let Some(end) = memchr(b'\n', rest) else {
                        self.line.keep(rest);
                        return Ok(());
                    };
                    let in_body = self.place() == Place::Body;
                    let next = self.line.finish(&rest[..end], |line, whole| {
                        next(self.state, self.messages, line, whole)
                    });
                    let refused = Malformed {
                        at: at + end,
                        in_body,
                    };
                    let entered = next.ok_or(refused)?;
                    if matches!(self.state, State::Head(_)) && !matches!(entered, State::Head(_)) {
                        self.messages += 1;
                    }
                    self.state = entered;
                    at += end + 1;
                }
            }
        }
        Ok(())
    }

    /// Takes up to `missing` of the `available` bytes and says how many.
    fn take(&mut self, missing: u64, available: usize, more: fn(u64) -> State, done: State) -> usize {
        let taken = usize::try_from(missing).unwrap_or(usize::MAX).min(available);
        let left = missing - taken as u64;
        self.state = if left == 0 { done } else { more(left) };
        taken
    }
}

impl Line {
    fn keep(&mut self, piece: &[u8]) {
        let from = self.length.min(KEPT);
        let count = piece.len().min(KEPT - from);
        self.kept[from..from + count].copy_from_slice(&piece[..count]);
        self.length += piece.len();
        self.last = piece.last().copied().unwrap_or(self.last);
    }

    /// Gives the line, which ends with `piece`, to `read`: its first bytes without the CRLF, and whether they
    /// are all of it. `None` when it did not end in CRLF.
    fn finish(&mut self, piece: &[u8], read: impl FnOnce(&[u8], bool) -> Option<State>) -> Option<State> {
        if self.length == 0 {
            let line = piece.strip_suffix(b"\r")?;
            return read(&line[..line.len().min(KEPT)], line.len() <= KEPT);
        }
        self.keep(piece);
        let length = self.length.checked_sub(1)?;
        self.length = 0;
        if self.last != b'\r' {
            return None;
        }
        read(&self.kept[..length.min(KEPT)], length <= KEPT)
    }
}

/// The state after one more line; `None` refuses it.
fn next(state: State, messages: u64, line: &[u8], whole: bool) -> Option<State> {
    match state {
        State::Between | State::Trailers if line.is_empty() => Some(State::Between),
        State::Between if messages == 0 && line == PREFACE[0] => Some(State::Preface(1)),
        State::Between => Some(State::Head(Head::default())),
        State::Preface(at) if PREFACE.get(at).is_none_or(|expected| line != *expected) => None,
        State::Preface(at) if at + 1 == PREFACE.len() => Some(State::Http2),
        State::Preface(at) => Some(State::Preface(at + 1)),
        State::Head(head) if line.is_empty() => Some(head.body()),
        State::Head(head) => head.field(line, whole).map(State::Head),
        State::ChunkSize => chunk_size(line).map(|size| match size {
            0 => State::Trailers,
            size => State::Chunk(size),
        }),
        State::ChunkEnd => line.is_empty().then_some(State::ChunkSize),
        State::Trailers => Some(State::Trailers),
        State::Sized(_) | State::Chunk(_) | State::Http2 => None,
    }
}

impl Head {
    /// Reads one field line; `None` when it contradicts the framing or makes it ambiguous.
    fn field(mut self, line: &[u8], whole: bool) -> Option<Self> {
        if let Some(value) = value_of(line, b"content-length:") {
            let repeated = self.length.is_some() || self.chunked;
            self.length = Some(decimal(value).filter(|_| whole && !repeated)?);
        } else if let Some(value) = value_of(line, b"transfer-encoding:") {
            let repeated = self.length.is_some() || self.chunked;
            let chunked = value.eq_ignore_ascii_case(b"chunked");
            self.chunked = (whole && chunked && !repeated).then_some(true)?;
        }
        Some(self)
    }

    fn body(self) -> State {
        match self.length {
            _ if self.chunked => State::ChunkSize,
            None | Some(0) => State::Between,
            Some(length) => State::Sized(length),
        }
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// Digits only: no sign, no list, no space inside.
fn decimal(digits: &[u8]) -> Option<u64> {
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| valid)?.parse().ok()
}

/// Hexadecimal digits, then nothing, blanks, or an extension.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    if digits.len() > 16 || !matches!(rest.trim_ascii_start().first(), None | Some(b';')) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
