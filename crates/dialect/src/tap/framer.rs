//! Finds where frames end, whatever line ends the upstream uses and wherever its bytes are split.

use memchr::memchr2;

/// Follows the lines of a stream. A frame ends with an empty line; LF, CR and CRLF end lines, and may be mixed.
#[derive(Debug)]
pub(super) struct Framer {
    /// Whether the current line has no bytes yet.
    at_line_start: bool,
    /// Whether the last byte was a CR, so that an LF would belong to the same line end.
    after_return: bool,
    /// Whether the last frame is over and no byte of the next one has come.
    between: bool,
    /// How many lines with bytes the current frame has so far, or the last one had.
    lines: u32,
}

impl Default for Framer {
    fn default() -> Self {
        Self {
            at_line_start: true,
            after_return: false,
            between: true,
            lines: 0,
        }
    }
}

impl Framer {
    /// Whether these bytes begin with the second half of the line end that ended the last frame. Only the very
    /// next bytes can.
    pub(super) fn ends_line(&mut self, bytes: &[u8]) -> bool {
        let Some(first) = bytes.first() else {
            return false;
        };
        self.between && std::mem::take(&mut self.after_return) && *first == b'\n'
    }

    /// The number of bytes up to the end of the current frame; `None` when it is not in these bytes, which
    /// are then taken note of.
    #[inline]
    pub(super) fn frame_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        if self.between && !bytes.is_empty() {
            self.between = false;
            self.lines = 0;
        }
        if std::mem::take(&mut self.after_return) {
            match bytes.first() {
                None => self.after_return = true,
                Some(b'\n') => at = 1,
                Some(_) => {}
            }
        }
        while let Some(offset) = memchr2(b'\n', b'\r', &bytes[at..]) {
            let is_empty_line = offset == 0 && self.at_line_start;
            let is_return = bytes[at + offset] == b'\r';
            self.lines += u32::from(!is_empty_line);
            self.at_line_start = true;
            at += offset + 1;
            if is_return {
                match bytes.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_return = true,
                }
            }
            if is_empty_line {
                self.between = true;
                return Some(at);
            }
        }
        if at < bytes.len() {
            self.at_line_start = false;
        }
        None
    }

    /// How many lines with bytes the frame had that ended last.
    pub(super) fn lines(&self) -> u32 {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_at_the_first_empty_line_of_any_kind() {
        let cases: [(&[u8], Option<usize>); 10] = [
            (b"data: a\n\nrest", Some(9)),
            (b"data: a\r\n\r\nrest", Some(11)),
            (b"data: a\r\rrest", Some(9)),
            (b"data: a\n\r\nrest", Some(10)),
            (b"data: a\r\n\nrest", Some(10)),
            (b"data: a\n\rrest", Some(9)),
            (b"data: a\r\n\r", Some(10)),
            (b"\n", Some(1)),
            (b"data: a\r\ndata: b\r\n", None),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                Framer::default().frame_end(bytes),
                expected,
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn a_line_end_split_between_two_pieces_is_one_line_end() {
        let mut framer = Framer::default();
        assert_eq!(framer.frame_end(b"data: a\r"), None);
        assert_eq!(framer.frame_end(b"\n\r"), Some(2));
        assert!(framer.ends_line(b"\ndata"));
        assert!(!framer.ends_line(b"\ndata"), "it is used up");
        assert_eq!(framer.frame_end(b"data: b\n\n"), Some(9));
        assert_eq!(framer.lines(), 1);
    }

    #[test]
    fn a_line_feed_later_on_belongs_to_no_frame_that_is_over() {
        let mut framer = Framer::default();
        assert_eq!(framer.frame_end(b"data: a\r\r"), Some(9));
        assert!(!framer.ends_line(b""));
        assert!(!framer.ends_line(b"x"));
        assert!(!framer.ends_line(b"\n"));
    }
}
