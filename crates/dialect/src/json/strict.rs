//! A validating reader: JSON text in, tokens out, one pass, no recursion.

use std::ops::Range;

use super::text::plain_end;

/// How deep arrays and objects may nest, the outermost one included.
///
/// Real requests stay below thirty; `serde_json` and many servers stop at 128 as well, so what is refused here
/// would be refused upstream. One bit per level is all the memory that nesting costs.
pub(crate) const MAX_DEPTH: u32 = 128;

/// The inside of a string token, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) range: Range<usize>,
    /// Whether it contains a backslash.
    pub(crate) escaped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A member's name; the value's tokens follow.
    Key(Text),
    String(Text),
    Number(Range<usize>),
    True,
    False,
    Null,
    OpenObject,
    OpenArray,
    /// The end of the innermost array or object.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Something else than `expected` stands at `at`.
    Unexpected {
        at: usize,
        expected: &'static str,
    },
    TooDeep,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    FirstElement,
    FirstKey,
    Key,
    Continuation,
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    expect: Expect,
    depth: u32,
    /// One bit per open level: set for an object. The lowest bit is the innermost level.
    objects: u128,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            expect: Expect::Value,
            depth: 0,
            objects: 0,
        }
    }

    /// The position just after the token that was returned last.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// How many arrays and objects are open.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// The next token; `None` after the one value and the white space behind it.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Token>, Fault> {
        let mut byte = self.visible();
        if self.expect == Expect::Continuation {
            if self.depth == 0 {
                return match byte {
                    None => Ok(None),
                    Some(_) => Err(self.unexpected("the end of the text")),
                };
            }
            let in_object = self.in_object();
            match byte {
                Some(b',') => {
                    self.at += 1;
                    self.expect = if in_object { Expect::Key } else { Expect::Value };
                    byte = self.visible();
                }
                Some(b'}') if in_object => return Ok(Some(self.close())),
                Some(b']') if !in_object => return Ok(Some(self.close())),
                _ => return Err(self.unexpected(if in_object { "',' or '}'" } else { "',' or ']'" })),
            }
        }
        match (self.expect, byte) {
            (Expect::FirstKey, Some(b'}')) | (Expect::FirstElement, Some(b']')) => Ok(Some(self.close())),
            (Expect::FirstKey | Expect::Key, Some(b'"')) => self.key().map(Some),
            (Expect::FirstKey, _) => Err(self.unexpected("a member name or '}'")),
            (Expect::Key, _) => Err(self.unexpected("a member name")),
            (Expect::FirstElement, None) => Err(self.unexpected("a value or ']'")),
            (Expect::FirstElement | Expect::Value | Expect::Continuation, byte) => self.value(byte).map(Some),
        }
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    #[inline]
    fn value(&mut self, byte: Option<u8>) -> Result<Token, Fault> {
        self.expect = Expect::Continuation;
        match byte {
            Some(b'"') => self.string().map(Token::String),
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b't') => self.literal(b"true", Token::True),
            Some(b'f') => self.literal(b"false", Token::False),
            Some(b'n') => self.literal(b"null", Token::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn open(&mut self, object: bool) -> Result<Token, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.at += 1;
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        self.expect = if object {
            Expect::FirstKey
        } else {
            Expect::FirstElement
        };
        Ok(if object {
            Token::OpenObject
        } else {
            Token::OpenArray
        })
    }

    fn close(&mut self) -> Token {
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
        self.expect = Expect::Continuation;
        Token::Close
    }

    #[inline]
    fn key(&mut self) -> Result<Token, Fault> {
        let text = self.string()?;
        if self.visible() != Some(b':') {
            return Err(self.unexpected("':'"));
        }
        self.at += 1;
        self.expect = Expect::Value;
        Ok(Token::Key(text))
    }

    /// Reads from the opening quote to behind the closing one.
    #[inline]
    fn string(&mut self) -> Result<Text, Fault> {
        let start = self.at + 1;
        self.at = start;
        let mut escaped = false;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let range = start..self.at;
                    self.at += 1;
                    return Ok(Text { range, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.unexpected("an escape instead of a control character")),
                None => return Err(self.unexpected("the end of a string")),
            }
        }
    }

    /// Any four hex digits will do here: whether surrogates pair up matters only to who decodes the string.
    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.bytes.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.unexpected("four hexadecimal digits"));
                    }
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(self.unexpected("an escape sequence")),
        }
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("a digit")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(Token::Number(start..self.at))
    }

    fn some_digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.digits();
        if self.at == start {
            Err(self.unexpected("a digit"))
        } else {
            Ok(())
        }
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &'static [u8], token: Token) -> Result<Token, Fault> {
        if self
            .bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            self.at += word.len();
            Ok(token)
        } else {
            Err(self.unexpected("a value"))
        }
    }

    /// Skips white space; the byte that follows it.
    #[inline]
    fn visible(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn unexpected(&self, expected: &'static str) -> Fault {
        Fault::Unexpected {
            at: self.at,
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<usize, Fault> {
        let mut reader = Reader::new(text.as_bytes());
        let mut tokens = 0;
        while reader.next()?.is_some() {
            tokens += 1;
        }
        Ok(tokens)
    }

    #[test]
    fn whatever_is_json_is_read_to_its_end() {
        let cases = [
            ("null", 1),
            (" true ", 1),
            ("-0.5e+10", 1),
            ("\"\"", 1),
            ("[]", 2),
            ("{}", 2),
            ("[1,[2,{\"a\":[]}],\"\\u00e9\\n\"]", 12),
            ("{\"a\":1,\r\n\t\"b\" : {\"c\":false}}", 9),
        ];
        for (text, tokens) in cases {
            assert_eq!(read(text), Ok(tokens), "{text}");
        }
    }

    #[test]
    fn whatever_is_not_json_is_refused_where_it_goes_wrong() {
        let cases = [
            ("", 0, "a value"),
            ("tru", 0, "a value"),
            ("01", 1, "the end of the text"),
            ("-", 1, "a digit"),
            ("1.", 2, "a digit"),
            ("1e", 2, "a digit"),
            ("+1", 0, "a value"),
            ("[1 2]", 3, "',' or ']'"),
            ("[1,]", 3, "a value"),
            ("[", 1, "a value or ']'"),
            ("{", 1, "a member name or '}'"),
            ("{\"a\" 1}", 5, "':'"),
            ("{\"a\":1,}", 7, "a member name"),
            ("{\"a\":1]", 6, "',' or '}'"),
            ("\"a\nb\"", 2, "an escape instead of a control character"),
            ("\"a", 2, "the end of a string"),
            ("\"\\x\"", 2, "an escape sequence"),
            ("\"\\u12g4\"", 5, "four hexadecimal digits"),
            ("{} {}", 3, "the end of the text"),
            ("\u{feff}{}", 0, "a value"),
        ];
        for (text, at, expected) in cases {
            assert_eq!(read(text), Err(Fault::Unexpected { at, expected }), "{text}");
        }
    }

    #[test]
    fn nesting_is_counted_and_never_recursed_into() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(&nested(128)), Ok(257));
        assert_eq!(read(&nested(129)), Err(Fault::TooDeep));
        assert_eq!(read(&"{\"a\":".repeat(1_000_000)), Err(Fault::TooDeep));
    }
}
