//! Finds the model's name at the beginning of a multipart form, without holding the form.

use std::ops::Range;

use memchr::memmem;

/// What the beginning of a form says about its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peek {
    /// The model's name, and where its bytes stand.
    Model {
        /// The name.
        value: String,
        /// The bytes of the value in what was given.
        range: Range<usize>,
    },
    /// There may be a model further on.
    NeedMore,
    /// The form ended without one.
    NoModel,
    /// This is not a form with that boundary.
    Malformed,
}

/// The longest boundary that RFC 2046 allows.
const MAX_BOUNDARY: usize = 70;

/// How much room the headers of one part may take.
const MAX_PART_HEADERS: usize = 16 * 1024;

/// The boundary parameter of a `content-type: multipart/form-data`; `None` for other types, and for boundaries
/// that cannot be.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    let is_sane = (1..=MAX_BOUNDARY).contains(&boundary.len())
        && boundary
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && !boundary.ends_with(' ');
    is_sane.then_some(boundary)
}

/// Looks for the field `model` in the first bytes of a form.
pub fn peek(boundary: &str, head: &[u8]) -> Peek {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let Some(mut at) = first_delimiter(head, &delimiter) else {
        // Some bytes before the first delimiter are allowed, a form without one is not.
        return if head.len() > delimiter.len() + MAX_PART_HEADERS {
            Peek::Malformed
        } else {
            Peek::NeedMore
        };
    };
    let separator = [b"\r\n", delimiter.as_slice()].concat();
    let separator = memmem::Finder::new(&separator);
    loop {
        at += delimiter.len();
        match head.get(at..at + 2) {
            None => return Peek::NeedMore,
            Some(b"--") => return Peek::NoModel,
            Some(b"\r\n") => at += 2,
            Some(_) => return Peek::Malformed,
        }
        let rest = &head[at..];
        let Some(headers) = memmem::find(rest, b"\r\n\r\n") else {
            return if rest.len() > MAX_PART_HEADERS {
                Peek::Malformed
            } else {
                Peek::NeedMore
            };
        };
        let is_model = is_model_field(&rest[..headers]);
        let start = at + headers + 4;
        let Some(length) = separator.find(&head[start..]) else {
            return Peek::NeedMore;
        };
        if is_model {
            let range = start..start + length;
            return match std::str::from_utf8(&head[range.clone()]) {
                Ok(value) => Peek::Model {
                    value: value.to_owned(),
                    range,
                },
                Err(_) => Peek::Malformed,
            };
        }
        at = start + length + 2;
    }
}

fn first_delimiter(head: &[u8], delimiter: &[u8]) -> Option<usize> {
    memmem::find_iter(head, delimiter).find(|&at| at == 0 || head[..at].ends_with(b"\r\n"))
}

fn is_model_field(headers: &[u8]) -> bool {
    String::from_utf8_lossy(headers).split("\r\n").any(|line| {
        let Some((name, value)) = line.split_once(':') else {
            return false;
        };
        if !name.trim().eq_ignore_ascii_case("content-disposition") {
            return false;
        }
        let Some((kind, parameters)) = value.split_once(';') else {
            return false;
        };
        kind.trim().eq_ignore_ascii_case("form-data")
            && parameter(parameters, "name").as_deref() == Some("model")
    })
}

/// The value of one `name=value` or `name="value"` among parameters separated by semicolons.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    while !rest.trim().is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => match after.split_once(';') {
                Some((value, next)) => (value.trim().to_owned(), next),
                None => (after.trim().to_owned(), ""),
            },
        };
        if name
            .trim()
            .trim_start_matches(';')
            .trim()
            .eq_ignore_ascii_case(wanted)
        {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// Reads up to the closing quote; what was said, and what follows.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted[at + 1..].trim_start().trim_start_matches(';'))),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: &str = concat!(
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a model; name=\\\"model\\\".wav\"\r\n",
        "Content-Type: audio/wav\r\n\r\nRIFF\r\n--xy\r\n--xyz\r\n",
        "content-disposition: form-data; name=model\r\n\r\nwhisper-1\r\n--xyz--\r\n",
    );

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        let cases = [
            ("multipart/form-data; boundary=xyz", Some("xyz")),
            (
                "Multipart/Form-Data; charset=utf-8; Boundary=\"x y;z\"",
                Some("x y;z"),
            ),
            ("multipart/form-data; boundary=\"\"", None),
            ("multipart/form-data", None),
            ("multipart/mixed; boundary=xyz", None),
            ("application/json; boundary=xyz", None),
            ("multipart/form-data; boundary=\"xyz", None),
        ];
        for (content_type, expected) in cases {
            assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
        }
        assert_eq!(
            boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))),
            None
        );
    }

    #[test]
    fn the_model_is_found_among_other_fields() {
        let Peek::Model { value, range } = peek("xyz", FORM.as_bytes()) else {
            panic!("no model")
        };
        assert_eq!(value, "whisper-1");
        assert_eq!(&FORM[range], "whisper-1");
        let with_preamble = format!("hello\r\n{FORM}");
        assert!(matches!(
            peek("xyz", with_preamble.as_bytes()),
            Peek::Model { .. }
        ));
    }

    #[test]
    fn every_beginning_of_a_form_asks_for_more_until_the_model_is_whole() {
        let end = FORM.find("whisper-1\r\n--xyz").unwrap() + "whisper-1\r\n--xyz".len();
        for length in 0..FORM.len() {
            let expected_more = length < end;
            let found = peek("xyz", &FORM.as_bytes()[..length]);
            assert_eq!(found == Peek::NeedMore, expected_more, "{length}: {found:?}");
        }
    }

    #[test]
    fn forms_without_a_model_and_other_bytes_are_told_apart() {
        let cases = [
            (
                "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xyz--\r\n",
                Peek::NoModel,
            ),
            ("--xyz--\r\n", Peek::NoModel),
            ("--xyzz\r\n", Peek::Malformed),
            ("{\"model\":\"a\"}", Peek::NeedMore),
        ];
        for (form, expected) in cases {
            assert_eq!(peek("xyz", form.as_bytes()), expected, "{form}");
        }
        assert_eq!(peek("xyz", &vec![b'a'; 20_000]), Peek::Malformed);
        assert_eq!(
            peek("xyz", format!("--xyz\r\n{}", "a".repeat(20_000)).as_bytes()),
            Peek::Malformed
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(boundary_text in "\\PC{0,20}", bytes in "[-xyz\r\n :;=\"a-m]{0,200}") {
            let _ = (boundary(&boundary_text), peek("xyz", bytes.as_bytes()));
        }
    }
}
