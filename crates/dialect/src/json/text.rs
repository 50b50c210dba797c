//! JSON strings: where they end, what they say, how they are written.

use std::borrow::Cow;

use memchr::memchr3;

/// How many bytes are looked at together once a string has proved to be long.
const BLOCK: usize = 64;

/// Eight copies of one byte.
const fn spread(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The position of the first quote, backslash or control character at or after `from`, or the length.
///
/// Short strings (most keys and values) are covered by a few words, long ones (prompts, images) by blocks
/// that the compiler turns into vector instructions.
#[inline]
pub(crate) fn plain_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    let mut words = 0u32;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        words += 1;
        if words.is_multiple_of(8) {
            at = skip_blocks(bytes, at);
        }
    }
    while let Some(&byte) = bytes.get(at) {
        if is_special(byte) {
            return at;
        }
        at += 1;
    }
    at
}

fn skip_blocks(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let plain = rest
        .chunks_exact(BLOCK)
        .take_while(|block| !block.iter().fold(false, |found, &byte| found | is_special(byte)))
        .count();
    from + plain * BLOCK
}

/// How many words are looked at before a search of its own pays.
const NEAR: usize = 4;

/// The position of the first of three bytes at or after `from`.
///
/// What structures a text is near as a rule: a few words find it sooner than a search can be begun.
#[inline]
pub(crate) fn find_any(bytes: &[u8], from: usize, any: [u8; 3]) -> Option<usize> {
    let mut at = from;
    for _ in 0..NEAR {
        let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
            break;
        };
        let word = u64::from_le_bytes(*word);
        let found = any
            .iter()
            .fold(0, |found, byte| found | zeros(word ^ spread(*byte)));
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let [a, b, c] = any;
    memchr3(a, b, c, bytes.get(at..)?).map(|further| at + further)
}

/// Marks the high bit of bytes that are zero. Only the lowest mark is exact.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(spread(0x01)) & !word & spread(0x80)
}

const fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Marks the high bit of special bytes. Only the lowest mark is exact, which is all that is asked for.
const fn specials(word: u64) -> u64 {
    const ONES: u64 = spread(0x01);
    const HIGH: u64 = spread(0x80);
    let quote = word ^ spread(b'"');
    let backslash = word ^ spread(b'\\');
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = word.wrapping_sub(spread(0x20)) & !word;
    (quotes | backslashes | controls) & HIGH
}

/// What the text between two quotes says; `None` when an escape is broken (a lone surrogate, say) or the
/// text is not UTF-8.
pub(crate) fn decode(inner: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let mut quoted = Vec::with_capacity(inner.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(inner);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted).ok().map(Cow::Owned)
}

/// The text as a JSON string with its quotes.
pub(crate) fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    // Writing a string into memory cannot fail; an empty string is the harmless reading if it ever did.
    if serde_json::to_writer(&mut out, text).is_err() {
        return b"\"\"".to_vec();
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slow_plain_end(bytes: &[u8], from: usize) -> usize {
        (from..bytes.len())
            .find(|&at| is_special(bytes[at]))
            .unwrap_or(bytes.len())
    }

    proptest! {
        #[test]
        fn the_first_of_three_is_found_wherever_it_is(
            bytes in proptest::collection::vec(prop_oneof![9 => any::<u8>(), 1 => proptest::sample::select(b"\"[]".to_vec())], 0..100),
            from in 0usize..110,
        ) {
            let slow = (from..bytes.len()).find(|&at| b"\"[]".contains(&bytes[at]));
            prop_assert_eq!(find_any(&bytes, from, *b"\"[]"), slow);
        }
    }

    #[test]
    fn every_special_byte_is_found_at_every_place_of_a_long_string() {
        for special in [b'"', b'\\', 0x00, 0x1f, b'\n'] {
            for place in 0..300 {
                let mut bytes = vec![0xc3; 300];
                bytes[place] = special;
                assert_eq!(plain_end(&bytes, 0), place, "byte {special:#x} at {place}");
                assert_eq!(
                    plain_end(&bytes, place / 2),
                    place,
                    "byte {special:#x} at {place}"
                );
            }
        }
    }

    #[test]
    fn bytes_next_to_the_special_ones_are_plain() {
        let neighbours = [
            b'!', b'#', b'[', b']', 0x20, 0x7f, 0x80, 0xa2, 0xdc, 0xff, 0x9f, 0xa0,
        ];
        let bytes: Vec<u8> = neighbours.iter().copied().cycle().take(500).collect();
        assert_eq!(plain_end(&bytes, 0), 500);
    }

    #[test]
    fn decoding_understands_escapes_and_refuses_lone_surrogates() {
        assert_eq!(decode(b"plain").as_deref(), Some("plain"));
        assert_eq!(decode(br"mod\u0065l\n").as_deref(), Some("model\n"));
        assert_eq!(decode(br"\ud83d\ude00").as_deref(), Some("😀"));
        assert_eq!(decode(br"\ud83d"), None);
        assert_eq!(decode(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn the_fast_search_agrees_with_the_obvious_one(bytes in proptest::collection::vec(any::<u8>(), 0..200), from in 0usize..200) {
            let from = from.min(bytes.len());
            prop_assert_eq!(plain_end(&bytes, from), slow_plain_end(&bytes, from));
        }
    }
}
