//! Takes out of a text what must not reach a client.

use std::borrow::Cow;
use std::ops::Range;

/// Pieces of a secret shorter than this say nothing worth hiding.
const PIECE: usize = 8;

/// Secrets shorter than this are placeholders such as `x` for servers that take any key.
const SHORTEST: usize = 4;

/// Shorter than [`PIECE`], so that it cannot itself be a piece of a secret.
const MASK: &str = "***";

/// Prefixes of account ids and keys, followed by at least [`ID`] characters of which one is no lower-case letter.
const PREFIXES: [&str; 10] = [
    "org-", "org_", "proj_", "proj-", "user-", "user_", "acct_", "acct-", "sk-", "sk_",
];

const ID: usize = 4;

/// Replaces the secret, every piece of eight or more bytes of it, ids of accounts (`org-…`, `proj_…`, `user-…`),
/// other keys (`sk-…`) and e-mail addresses by `***`.
///
/// Whatever the text and the secret are, no eight bytes in a row of the secret are left in the result.
pub fn scrub(text: &str, secret: &[u8]) -> String {
    let text = without_addresses(&without_ids(text));
    without_secret(text, secret)
}

fn without_secret(mut text: String, secret: &[u8]) -> String {
    // What stands around a mask could, with a contrived secret, form a piece again.
    for _ in 0..4 {
        let found = secret_ranges(&text, secret);
        if found.is_empty() {
            return text;
        }
        text = mask(&text, &found);
    }
    String::new()
}

fn secret_ranges(text: &str, secret: &[u8]) -> Vec<Range<usize>> {
    let length = secret.len().min(PIECE);
    if length < SHORTEST || text.len() < length {
        return Vec::new();
    }
    let mut pieces: Vec<&[u8]> = secret.windows(length).collect();
    pieces.sort_unstable();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (at, window) in text.as_bytes().windows(length).enumerate() {
        if pieces.binary_search(&window).is_err() {
            continue;
        }
        let range = text.floor_char_boundary(at)..text.ceil_char_boundary(at + length);
        match ranges.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => ranges.push(range),
        }
    }
    ranges
}

fn mask(text: &str, ranges: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        out.push_str(&text[at..range.start]);
        out.push_str(MASK);
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

fn without_ids(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let begins_word = at == 0 || !is_id_byte(bytes[at - 1]);
        let prefix = PREFIXES
            .iter()
            .find(|prefix| begins_word && bytes[at..].starts_with(prefix.as_bytes()));
        let Some(prefix) = prefix else {
            at += 1;
            continue;
        };
        let start = at + prefix.len();
        let length = bytes[start..]
            .iter()
            .take_while(|byte| is_id_byte(**byte))
            .count();
        let id = &bytes[start..start + length];
        // "user-friendly" is a word; ids have digits, capitals, or a vendor's own mask.
        if length >= ID
            && id
                .iter()
                .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || *byte == b'*')
        {
            ranges.push(at..start + length);
        }
        at = start + length;
    }
    if ranges.is_empty() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(mask(text, &ranges))
    }
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*')
}

fn without_addresses(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for at in memchr::memchr_iter(b'@', bytes) {
        let local = bytes[..at]
            .iter()
            .rev()
            .take_while(|byte| is_local_byte(**byte))
            .count();
        let domain = bytes[at + 1..]
            .iter()
            .take_while(|byte| is_domain_byte(**byte))
            .count();
        let name = text[at + 1..at + 1 + domain].trim_end_matches(['.', '-']);
        let start = at - local;
        let is_address = local > 0 && name.contains('.') && !name.starts_with('.');
        if is_address && ranges.last().is_none_or(|last| last.end <= start) {
            ranges.push(start..at + 1 + name.len());
        }
    }
    mask(text, &ranges)
}

fn is_local_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

fn is_domain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"sk-live-0123456789abcdef";

    #[test]
    fn what_must_not_leave_is_masked_and_the_rest_stays() {
        let cases = [
            (
                "Incorrect API key provided: sk-live-0123456789abcdef.",
                "Incorrect API key provided: ***.",
            ),
            ("key ends in 89abcdef!", "key ends in ***!"),
            ("key ends in cdef", "key ends in cdef"),
            (
                "in organization org-VDAWofJASuLH0vVz on tokens",
                "in organization *** on tokens",
            ),
            (
                "Project `proj_abc123XYZ` lacks access",
                "Project `***` lacks access",
            ),
            ("user-Ab12Cd34Ef is banned", "*** is banned"),
            (
                "a user-friendly, org-wide message",
                "a user-friendly, org-wide message",
            ),
            ("provided: sk-proj-****WXYZ.", "provided: ***."),
            ("write to jane.doe+x@mail.example.com.", "write to ***."),
            ("a @mention and a@b stay", "a @mention and a@b stay"),
            ("naïve 日本 0123456789", "naïve 日本 ***"),
        ];
        for (text, expected) in cases {
            assert_eq!(scrub(text, SECRET), expected);
        }
    }

    #[test]
    fn a_short_secret_is_removed_as_a_whole() {
        assert_eq!(scrub("the key abc12 is wrong", b"abc12"), "the key *** is wrong");
        assert_eq!(scrub("nothing", b""), "nothing");
    }

    #[test]
    fn a_secret_made_of_masks_cannot_come_back() {
        let secret = b"ab***cd12345678";
        assert!(!scrub("abc12345678***cd1234567", secret).contains("***cd123"));
    }

    proptest! {
        #[test]
        fn no_piece_of_the_secret_is_left(
            secret in "[a-c*@.\\-]{1,40}",
            parts in proptest::collection::vec(("\\PC{0,12}", 0usize..40, 0usize..40), 0..8),
        ) {
            let mut text = String::new();
            for (filler, from, to) in parts {
                text.push_str(&filler);
                let (from, to) = (from.min(secret.len()), to.min(secret.len()));
                text.push_str(&secret[from.min(to)..to]);
            }
            let clean = scrub(&text, secret.as_bytes());
            for piece in secret.as_bytes().windows(PIECE) {
                prop_assert!(!clean.as_bytes().windows(PIECE).any(|window| window == piece), "{clean}");
            }
            prop_assert!(secret.len() >= PIECE || secret.len() < 4 || !clean.contains(&secret));
        }
    }
}
