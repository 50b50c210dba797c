//! Recognises, without parsing, the chat chunk that nearly every frame is: some more content, nothing else.
//!
//! A quote inside a JSON string is always escaped, so `"usage"` with both quotes never occurs within what a model
//! says; it is a name or, rarely, a whole value. Anything but the plain chunk is left to the parser.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::format::Progress;

/// The members that hold content, one of which a plain chunk has.
pub(super) const CONTENT: [&[u8]; 5] = [
    b"content",
    b"reasoning_content",
    b"reasoning",
    b"arguments",
    b"text",
];

/// The place in [`CONTENT`] of what tool calls hold.
const ARGUMENTS: usize = 3;

static MARKERS: LazyLock<Markers> = LazyLock::new(|| Markers {
    content: [
        Finder::new(b"\"content\""),
        Finder::new(b"\"reasoning_content\""),
        Finder::new(b"\"reasoning\""),
        Finder::new(b"\"arguments\""),
        Finder::new(b"\"text\""),
    ],
    error: Finder::new(b"\"error\""),
    finish: Finder::new(b"\"finish_reason\""),
    index: Finder::new(b"\"index\""),
    usage: Finder::new(b"\"usage\""),
});

struct Markers {
    content: [Finder<'static>; CONTENT.len()],
    error: Finder<'static>,
    finish: Finder<'static>,
    index: Finder<'static>,
    usage: Finder<'static>,
}

/// Whether this is a chunk of one choice that has begun before and goes on, with content where the last chunk
/// had it, and without usage or error.
#[inline]
pub(super) fn is_plain(data: &[u8], progress: &Progress) -> bool {
    let markers = &*MARKERS;
    has_content(&markers.content[progress.hint], data)
        && is_null_at_most(&markers.finish, data)
        && is_known_choice(&markers.index, data, progress)
        && is_null_at_most(&markers.usage, data)
        && markers.error.find(data).is_none()
}

fn has_content(marker: &Finder<'_>, data: &[u8]) -> bool {
    matches!(value_after(marker, data), Some([b'"', next, ..]) if *next != b'"')
}

/// Whether the name is not there, or once and with null. A second one would be a second choice's.
fn is_null_at_most(marker: &Finder<'_>, data: &[u8]) -> bool {
    let Some(at) = marker.find(data) else { return true };
    value_after(marker, &data[at..])
        .is_some_and(|value| value.first() == Some(&b'n') && marker.find(value).is_none())
}

/// Whether the chunk is about one choice that has begun: its index comes first, and is the only one but for the
/// tool call's.
fn is_known_choice(marker: &Finder<'_>, data: &[u8], progress: &Progress) -> bool {
    let Some(value) = value_after(marker, data) else {
        return false;
    };
    let is_known = match value {
        [digit @ b'0'..=b'9', next, ..] => {
            !next.is_ascii_digit() && progress.choices.has_seen(u64::from(digit - b'0'))
        }
        _ => false,
    };
    let others = usize::from(progress.hint == ARGUMENTS);
    is_known && marker.find_iter(value).take(2).count() == others
}

/// What follows the first such name and its colon.
#[inline]
fn value_after<'a>(marker: &Finder<'_>, data: &'a [u8]) -> Option<&'a [u8]> {
    let end = marker.find(data)? + marker.needle().len();
    let rest = data.get(end..)?.trim_ascii_start().strip_prefix(b":")?;
    Some(rest.trim_ascii_start())
}
