//! A lenient walker: finds the members of an object and leaves their values as bytes.
//!
//! It follows strings and brackets only, which is what it takes to tell a whole text from a cut one; the
//! inside of a value is not validated until somebody asks what it says.

use std::borrow::Cow;

use super::text::{decode, find_any, plain_end};

/// One JSON value as it stands in the text, without white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// Takes the text as one object; `None` when it is something else, cut short, or followed by anything.
    pub(crate) fn object(text: &'a [u8]) -> Option<Self> {
        let raw = Self::value(text)?;
        raw.is_object().then_some(raw)
    }

    /// Takes the text as one value.
    pub(crate) fn value(text: &'a [u8]) -> Option<Self> {
        let start = skip_space(text, 0);
        let end = skip_value(text, start)?;
        (skip_space(text, end) == text.len()).then(|| Self(&text[start..end]))
    }

    /// The value that the text starts with, whatever follows.
    pub(crate) fn leading(text: &'a [u8]) -> Option<Self> {
        let start = skip_space(text, 0);
        let end = skip_value(text, start)?;
        Some(Self(&text[start..end]))
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.first() == Some(&b'{')
    }

    pub(crate) fn is_array(self) -> bool {
        self.0.first() == Some(&b'[')
    }

    /// Whether the value says nothing: null, `""`, `[]` or `{}`.
    pub(crate) fn is_empty(self) -> bool {
        match self.0 {
            b"null" | b"\"\"" => true,
            [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => skip_space(inner, 0) == inner.len(),
            _ => false,
        }
    }

    /// The members in order; none when this is not an object.
    pub(crate) fn members(self) -> Members<'a> {
        Members {
            bytes: if self.is_object() { self.0 } else { b"{}" },
            at: 1,
        }
    }

    /// The elements in order; none when this is not an array.
    pub(crate) fn elements(self) -> Elements<'a> {
        Elements {
            bytes: if self.is_array() { self.0 } else { b"[]" },
            at: 1,
        }
    }

    /// The first member of that name. Names are compared as they are written: no vendor escapes them.
    pub(crate) fn get(self, name: &[u8]) -> Option<Raw<'a>> {
        self.members()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// What a string says; `None` when this is not a string.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        match self.0 {
            [b'"', inner @ .., b'"'] => decode(inner),
            _ => None,
        }
    }

    /// A count: the whole part of a number that is not negative.
    pub(crate) fn count(self) -> Option<u64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (whole, rest) = self.0.split_at(digits);
        let number = std::str::from_utf8(whole).ok()?.parse().ok()?;
        match rest {
            [] | [b'.', ..] => Some(number),
            _ => None,
        }
    }
}

/// Iterates over the members of one object.
pub(crate) struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], Raw<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let key = next_item(self.bytes, self.at)?;
        let key_end = skip_value(self.bytes, key)?;
        let name = self.bytes.get(key + 1..key_end.checked_sub(1)?)?;
        let colon = skip_space(self.bytes, key_end);
        if self.bytes.get(key) != Some(&b'"') || self.bytes.get(colon) != Some(&b':') {
            return None;
        }
        let start = skip_space(self.bytes, colon + 1);
        self.at = skip_value(self.bytes, start)?;
        Some((name, Raw(&self.bytes[start..self.at])))
    }
}

/// Iterates over the elements of one array.
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = next_item(self.bytes, self.at)?;
        self.at = skip_value(self.bytes, start)?;
        Some(Raw(&self.bytes[start..self.at]))
    }
}

/// Skips the comma and the white space before an item; `None` at the end of the array or object.
fn next_item(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = skip_space(bytes, at);
    if bytes.get(at) == Some(&b',') {
        at = skip_space(bytes, at + 1);
    }
    match bytes.get(at) {
        None | Some(b'}' | b']') => None,
        Some(_) => Some(at),
    }
}

#[inline]
fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The position behind the value that starts at `at`; `None` when it is cut short or missing.
#[inline]
fn skip_value(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => skip_string(bytes, at),
        b'{' => skip_nested(bytes, at, b'{', b'}'),
        b'[' => skip_nested(bytes, at, b'[', b']'),
        _ => {
            let length = bytes[at..]
                .iter()
                .take_while(|byte| {
                    !matches!(
                        byte,
                        b',' | b'}' | b']' | b':' | b'"' | b' ' | b'\n' | b'\t' | b'\r'
                    )
                })
                .count();
            (length > 0).then_some(at + length)
        }
    }
}

#[inline]
fn skip_string(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Counting one kind of bracket is enough: in a whole text the other kind is balanced in between.
fn skip_nested(bytes: &[u8], at: usize, open: u8, close: u8) -> Option<usize> {
    let mut at = at;
    let mut depth = 0usize;
    loop {
        at = find_any(bytes, at, [b'"', open, close])?;
        let found = bytes[at];
        if found == b'"' {
            at = skip_string(bytes, at)?;
            continue;
        }
        at += 1;
        if found == open {
            depth += 1;
        } else {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        Raw::object(text.as_bytes())
            .into_iter()
            .flat_map(Raw::members)
            .map(|(name, value)| {
                (
                    String::from_utf8_lossy(name).into(),
                    String::from_utf8_lossy(value.as_bytes()).into(),
                )
            })
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn members_are_found_and_left_as_they_stand() {
        assert_eq!(
            names(r#" {"a": 1.50 ,"b":{"c":"}]\""},"d" :[1,{"e":[]}], "f":null} "#),
            [
                pair("a", "1.50"),
                pair("b", r#"{"c":"}]\""}"#),
                pair("d", r#"[1,{"e":[]}]"#),
                pair("f", "null")
            ]
        );
        assert_eq!(names("{}"), []);
    }

    #[test]
    fn a_text_that_is_cut_short_or_continues_is_no_object() {
        for text in [
            "",
            "{",
            "{\"a\":",
            "{\"a\":\"}",
            "{\"a\":{}",
            "[]",
            "\"{}\"",
            "{} x",
            "<html>",
            "{\"a\":1}}",
        ] {
            assert_eq!(Raw::object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn counts_are_whole_and_never_negative() {
        let count = |text: &'static str| Raw::value(text.as_bytes()).and_then(Raw::count);
        assert_eq!(count("12"), Some(12));
        assert_eq!(count("12.9"), Some(12));
        for text in ["-1", "null", "\"12\"", "1e3", "99999999999999999999", "[]"] {
            assert_eq!(count(text), None, "{text}");
        }
    }

    #[test]
    fn emptiness_is_null_or_nothing_between_the_brackets() {
        let empty = |text: &'static str| Raw::value(text.as_bytes()).map(Raw::is_empty);
        for text in ["null", "\"\"", "[]", "{}", "[ ]", "{\n}"] {
            assert_eq!(empty(text), Some(true), "{text}");
        }
        for text in ["0", "false", "\" \"", "[0]", "{\"a\":null}"] {
            assert_eq!(empty(text), Some(false), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_walker_fail_or_hang(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(b"{}[]\",:\\ 1n".to_vec())], 0..200)) {
            if let Some(raw) = Raw::value(&bytes) {
                prop_assert!(raw.members().count() <= bytes.len());
                prop_assert!(raw.elements().count() <= bytes.len());
                let _ = (raw.text(), raw.count(), raw.is_empty());
            }
        }
    }
}
