//! What one frame of a server-sent event stream says.

use std::borrow::Cow;

use memchr::memchr2;

use crate::json::raw::Raw;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// Comments and empty lines only.
    Nothing,
    /// Fields, but no data: clients that dispatch it anyway read an empty text as JSON and fail.
    Empty,
    Event {
        /// The value of `event:`, or empty.
        name: &'a [u8],
        data: Cow<'a, [u8]>,
    },
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<'a> Frame<'a> {
    /// Reads a frame of which it is known how many lines it has.
    #[inline]
    pub(super) fn parse(bytes: &'a [u8], lines: u32) -> Self {
        // Nearly every frame of a chat: one line of data.
        if lines == 1
            && let Some(value) = bytes.strip_prefix(b"data:")
        {
            let data = value.strip_prefix(b" ").unwrap_or(value).trim_ascii_end();
            return if data.is_empty() {
                Self::Empty
            } else {
                Self::Event {
                    name: b"",
                    data: Cow::Borrowed(data),
                }
            };
        }
        Self::parse_lines(bytes)
    }

    fn parse_lines(bytes: &'a [u8]) -> Self {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        // A server that fails half-way may write a bare JSON error where a frame should be.
        if bytes.first() == Some(&b'{') {
            return Self::Event {
                name: b"",
                data: Cow::Borrowed(bytes.trim_ascii_end()),
            };
        }
        let mut name: &[u8] = b"";
        let mut data: Option<Cow<'a, [u8]>> = None;
        let mut has_fields = false;
        for line in Lines(bytes) {
            if line.is_empty() || line.first() == Some(&b':') {
                continue;
            }
            has_fields = true;
            if let Some(value) = field(line, b"data") {
                match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(data) => {
                        let data = data.to_mut();
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                }
            } else if let Some(value) = field(line, b"event") {
                name = value;
            }
        }
        match data {
            Some(data) if !data.trim_ascii().is_empty() => Self::Event { name, data },
            _ if has_fields => Self::Empty,
            _ => Self::Nothing,
        }
    }

    /// Whether a frame that lacks its last line end has all of its data.
    pub(super) fn is_whole(bytes: &[u8]) -> bool {
        match Frame::parse_lines(bytes) {
            Frame::Event { data, .. } => data.trim_ascii() == b"[DONE]" || Raw::object(&data).is_some(),
            Frame::Nothing | Frame::Empty => false,
        }
    }
}

/// The value of the line if it is that field.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(b""),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr2(b'\n', b'\r', self.0).unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = match &self.0[end..] {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => &[],
        };
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Frame<'_> {
        let lines = Lines(text.as_bytes()).filter(|line| !line.is_empty()).count();
        Frame::parse(text.as_bytes(), u32::try_from(lines).unwrap())
    }

    fn event<'a>(name: &'a str, data: &'a str) -> Frame<'a> {
        Frame::Event {
            name: name.as_bytes(),
            data: Cow::Borrowed(data.as_bytes()),
        }
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let cases = [
            ("data: a\n\n", event("", "a")),
            ("data:a\r\n\r\n", event("", "a")),
            ("data:  a\n\n", event("", " a")),
            ("event: x\ndata: a\n\n", event("x", "a")),
            ("event:x\rdata:a\rdata: b\r\r", event("x", "a\nb")),
            (": note\ndata: a\nid: 7\n\n", event("", "a")),
            ("\u{feff}data: a\n\n", event("", "a")),
            ("{\"error\":\n1}\n\n", event("", "{\"error\":\n1}")),
            (": note\n\n", Frame::Nothing),
            ("\n", Frame::Nothing),
            ("data:\n\n", Frame::Empty),
            ("data\n\n", Frame::Empty),
            ("data: \n\n", Frame::Empty),
            ("event: x\n\n", Frame::Empty),
            ("id: 7\n: note\n\n", Frame::Empty),
            ("retry: 3000\n\n", Frame::Empty),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_frame_without_its_last_line_end_is_whole_when_its_data_is() {
        for text in [
            "data: [DONE]",
            "data: {\"a\":1}\n",
            "event: x\r\ndata: {}\r",
            "{\"error\":{}}",
        ] {
            assert!(Frame::is_whole(text.as_bytes()), "{text:?}");
        }
        for text in [
            "data: [DON",
            "data: {\"a\":",
            "event: x\n",
            "data: text",
            ": note",
        ] {
            assert!(!Frame::is_whole(text.as_bytes()), "{text:?}");
        }
    }
}
