//! Where a response body ends and what of the bytes is its content (RFC 9112 §6 and §7).

use bytes::BytesMut;

/// The longest extension of one chunk.
const EXTENSION: u32 = 4 * 1024;
/// The longest trailer section; trailers are dropped.
const TRAILERS: u32 = 16 * 1024;

/// Decodes one response body; where it stands between two reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The body is over.
    Done,
    /// This many bytes follow.
    Length(u64),
    /// Chunks follow.
    Chunked(Chunked),
    /// All that follows until the upstream closes.
    UntilClose,
}

/// A body that does not follow its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A chunk's size is missing, too large or not a number.
    #[error("expected a chunk size in hexadecimal")]
    Size,
    /// A line of the framing does not end where it must.
    #[error("expected a line end in the chunk framing")]
    LineEnd,
    /// A chunk extension or the trailers are too long.
    #[error("chunk extension or trailers too long")]
    TooLong,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    step: Step,
    /// Content bytes of the current chunk that are still to come.
    left: u64,
    /// Bytes of the current extension or of the trailers so far.
    extra: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Before the first digit of a size.
    FirstDigit,
    /// After a digit of a size.
    Digit,
    /// Blanks after a size.
    Blank,
    Extension,
    SizeLf,
    Content,
    ContentCr,
    ContentLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked {
            step: Step::FirstDigit,
            left: 0,
            extra: 0,
        })
    }

    pub(super) fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Appends the content in `input` to `out`. Returns how many bytes belonged to this body: all of them
    /// unless the body ended before.
    pub(super) fn decode(&mut self, input: &[u8], out: &mut BytesMut) -> Result<usize, FramingError> {
        match self {
            Self::Done => Ok(0),
            Self::Length(left) => {
                let taken = at_most(*left, input.len());
                out.extend_from_slice(&input[..taken]);
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(taken)
            }
            Self::Chunked(chunked) => {
                let (taken, done) = chunked.decode(input, out)?;
                if done {
                    *self = Self::Done;
                }
                Ok(taken)
            }
            Self::UntilClose => {
                out.extend_from_slice(input);
                Ok(input.len())
            }
        }
    }

    /// Takes note that the upstream closed; whether the body was whole.
    pub(super) fn close(&mut self) -> bool {
        let whole = matches!(self, Self::Done | Self::UntilClose);
        *self = Self::Done;
        whole
    }
}

impl Chunked {
    fn decode(&mut self, input: &[u8], out: &mut BytesMut) -> Result<(usize, bool), FramingError> {
        let mut at = 0;
        while at < input.len() {
            if self.step == Step::Content {
                let taken = at_most(self.left, input.len() - at);
                if out.capacity() == 0 {
                    out.reserve(input.len() - at);
                }
                out.extend_from_slice(&input[at..at + taken]);
                at += taken;
                self.left -= taken as u64;
                if self.left == 0 {
                    self.step = Step::ContentCr;
                }
                continue;
            }
            let byte = input[at];
            at += 1;
            self.step = match self.step {
                Step::FirstDigit => {
                    self.left = 0;
                    self.extra = 0;
                    self.digit(byte)?
                }
                Step::Digit => match byte {
                    b'\r' => Step::SizeLf,
                    b';' => Step::Extension,
                    b' ' | b'\t' => Step::Blank,
                    _ => self.digit(byte)?,
                },
                Step::Blank => match byte {
                    b'\r' => Step::SizeLf,
                    b';' => Step::Extension,
                    b' ' | b'\t' => self.extra(EXTENSION, Step::Blank)?,
                    _ => return Err(FramingError::Size),
                },
                Step::Extension => match byte {
                    b'\r' => Step::SizeLf,
                    b'\n' => return Err(FramingError::LineEnd),
                    _ => self.extra(EXTENSION, Step::Extension)?,
                },
                Step::SizeLf if byte == b'\n' && self.left > 0 => Step::Content,
                Step::SizeLf if byte == b'\n' => {
                    self.extra = 0;
                    Step::TrailerStart
                }
                Step::ContentCr if byte == b'\r' => Step::ContentLf,
                Step::ContentLf if byte == b'\n' => Step::FirstDigit,
                Step::TrailerStart if byte == b'\r' => Step::LastLf,
                Step::TrailerStart | Step::Trailer => match byte {
                    b'\r' => Step::TrailerLf,
                    b'\n' => return Err(FramingError::LineEnd),
                    _ => self.extra(TRAILERS, Step::Trailer)?,
                },
                Step::TrailerLf if byte == b'\n' => Step::TrailerStart,
                Step::LastLf if byte == b'\n' => return Ok((at, true)),
                Step::SizeLf
                | Step::Content
                | Step::ContentCr
                | Step::ContentLf
                | Step::TrailerLf
                | Step::LastLf => return Err(FramingError::LineEnd),
            };
        }
        Ok((at, false))
    }

    fn digit(&mut self, byte: u8) -> Result<Step, FramingError> {
        let digit = char::from(byte).to_digit(16).ok_or(FramingError::Size)?;
        if self.left >> 60 != 0 {
            return Err(FramingError::Size);
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(Step::Digit)
    }

    fn extra(&mut self, limit: u32, next: Step) -> Result<Step, FramingError> {
        self.extra += 1;
        if self.extra > limit {
            return Err(FramingError::TooLong);
        }
        Ok(next)
    }
}

fn at_most(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The content, and how many bytes were taken, when `wire` arrives in pieces cut at `cuts`.
    fn decode(wire: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, usize, bool), FramingError> {
        let mut framing = Framing::chunked();
        let mut out = BytesMut::new();
        let mut taken = 0;
        let mut at = 0;
        for end in cuts.iter().copied().chain([wire.len()]) {
            taken += framing.decode(&wire[at..end], &mut out)?;
            at = end;
        }
        Ok((out.to_vec(), taken, framing.is_done()))
    }

    #[test]
    fn chunks_are_decoded() {
        let table: [(&str, &str, bool); 8] = [
            ("0\r\n\r\n", "", true),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", true),
            ("5\r\nhello\r\n1; a=\"b\"\r\n!\r\n0\r\n\r\n", "hello!", true),
            (
                "00005 \t\r\nhello\r\n000\r\nx-trailer: 1\r\ny: 2\r\n\r\n",
                "hello",
                true,
            ),
            (
                "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                "01234567890123456789",
                true,
            ),
            ("5\r\nhel", "hel", false),
            ("5\r\nhello\r\n", "hello", false),
            ("5\r\nhello\r\n0\r\n", "hello", false),
        ];
        for (wire, content, done) in table {
            let decoded = decode(wire.as_bytes(), &[]).unwrap();
            assert_eq!(
                decoded,
                (content.as_bytes().to_vec(), wire.len(), done),
                "{wire:?}"
            );
        }
    }

    #[test]
    fn what_follows_the_last_chunk_is_not_taken() {
        let (content, taken, done) = decode(b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK", &[]).unwrap();
        assert_eq!((content.as_slice(), taken, done), (&b"a"[..], 11, true));
    }

    #[test]
    fn bad_chunks_are_refused() {
        let long = format!("1;{}\r\n", "x".repeat(5000));
        let trailers = format!("0\r\na: {}\r\n", "x".repeat(17_000));
        let table = [
            ("\r\n", FramingError::Size),
            ("x\r\n", FramingError::Size),
            ("-1\r\n", FramingError::Size),
            ("+1\r\n", FramingError::Size),
            ("1 2\r\n", FramingError::Size),
            ("11111111111111111\r\n", FramingError::Size),
            ("1\na", FramingError::Size),
            ("1\r\r", FramingError::LineEnd),
            ("1;a\nb", FramingError::LineEnd),
            ("1\r\naa", FramingError::LineEnd),
            ("1\r\na\ra", FramingError::LineEnd),
            ("0\r\na: b\n", FramingError::LineEnd),
            ("0\r\n\rx", FramingError::LineEnd),
            (long.as_str(), FramingError::TooLong),
            (trailers.as_str(), FramingError::TooLong),
        ];
        for (wire, error) in table {
            assert_eq!(decode(wire.as_bytes(), &[]), Err(error), "{wire:?}");
        }
    }

    #[test]
    fn a_length_ends_the_body() {
        let (mut framing, mut out) = (Framing::Length(5), BytesMut::new());
        assert_eq!(framing.decode(b"hel", &mut out), Ok(3));
        assert_eq!(framing.decode(b"lo and more", &mut out), Ok(2));
        assert!(framing.is_done());
        assert_eq!(out, "hello");
    }

    #[test]
    fn only_a_body_without_framing_is_whole_when_the_upstream_closes() {
        assert!(Framing::Done.close());
        assert!(Framing::UntilClose.close());
        assert!(!Framing::Length(1).close());
        assert!(!Framing::chunked().close());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_content(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x};e=1\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nt: x\r\n\r\n");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len())).collect();
            cuts.sort_unstable();
            let expected = (chunks.concat(), wire.len(), true);
            prop_assert_eq!(decode(&wire, &cuts), Ok(expected));
        }

        #[test]
        fn any_split_of_any_bytes_gives_the_same_verdict(
            wire in "[0-9a-f;\r\n x]{0,40}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            cuts.sort_unstable();
            prop_assert_eq!(decode(wire.as_bytes(), &cuts), decode(wire.as_bytes(), &[]));
        }
    }
}
