//! Changes a request in a few byte ranges and leaves everything else as the caller wrote it.

use std::ops::Range;

use bytes::Bytes;

use super::{Peeked, StreamOptions};
use crate::json::encode;

/// What to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edits<'a> {
    /// The model's name at the upstream; added when the body has none.
    pub model: Option<&'a str>,
    /// Sets `stream_options.include_usage`. Without effect when the answer is not streamed, and for formats
    /// that report usage unasked.
    pub ask_usage: bool,
}

/// A body in pieces; the untouched ones share the memory of the original.
#[derive(Clone, Debug)]
pub struct Segments {
    pieces: [Bytes; MAX_PIECES],
    count: usize,
}

/// Two edits in the middle of the original make five.
const MAX_PIECES: usize = 5;

/// One change: these bytes go, those come.
struct Edit {
    range: Range<usize>,
    replacement: Bytes,
}

impl Peeked {
    /// The body with the edits made; `body` must be what was peeked into.
    pub fn splice(&self, body: &Bytes, edits: &Edits<'_>) -> Segments {
        let mut changes = [self.model_edit(edits.model), self.usage_edit(edits.ask_usage)];
        if let [Some(model), Some(usage)] = &changes
            && usage.range.start < model.range.start
        {
            changes.swap(0, 1);
        }
        let mut segments = Segments {
            pieces: Default::default(),
            count: 0,
        };
        let mut at = 0;
        for change in changes.into_iter().flatten() {
            segments.push(part(body, at..change.range.start));
            segments.push(change.replacement);
            at = change.range.end;
        }
        segments.push(part(body, at..body.len()));
        segments
    }

    fn model_edit(&self, model: Option<&str>) -> Option<Edit> {
        let model = model?;
        match &self.model {
            Some(present) if present.value == model => None,
            Some(present) => Some(Edit {
                range: present.range.clone(),
                replacement: Bytes::from(encode(model)),
            }),
            None => {
                let mut member = b"\"model\":".to_vec();
                member.extend_from_slice(&encode(model));
                if !self.layout.is_empty {
                    member.push(b',');
                }
                let at = self.layout.first_member;
                Some(Edit {
                    range: at..at,
                    replacement: Bytes::from(member),
                })
            }
        }
    }

    fn usage_edit(&self, ask: bool) -> Option<Edit> {
        let stream_end = self
            .layout
            .usage_can_be_asked
            .filter(|_| ask && !self.wants_usage)?;
        let (range, replacement): (_, &'static [u8]) = match &self.layout.stream_options {
            StreamOptions::Absent => (
                stream_end..stream_end,
                b",\"stream_options\":{\"include_usage\":true}",
            ),
            StreamOptions::Null(range) => (range.clone(), b"{\"include_usage\":true}"),
            StreamOptions::Object {
                include_usage: Some(range),
                ..
            } => (range.clone(), b"true"),
            StreamOptions::Object {
                first_member,
                is_empty: true,
                ..
            } => (*first_member..*first_member, b"\"include_usage\":true"),
            StreamOptions::Object {
                first_member,
                is_empty: false,
                ..
            } => (*first_member..*first_member, b"\"include_usage\":true,"),
        };
        Some(Edit {
            range,
            replacement: Bytes::from_static(replacement),
        })
    }
}

/// Never panics, even for a body that is not the one that was peeked into.
fn part(body: &Bytes, range: Range<usize>) -> Bytes {
    let end = range.end.min(body.len());
    body.slice(range.start.min(end)..end)
}

impl Segments {
    /// The number of bytes in all pieces together.
    pub fn len(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The pieces in order, none of them empty.
    pub fn iter(&self) -> std::slice::Iter<'_, Bytes> {
        self.pieces[..self.count].iter()
    }

    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty()
            && let Some(place) = self.pieces.get_mut(self.count)
        {
            *place = piece;
            self.count += 1;
        }
    }
}

impl From<Bytes> for Segments {
    fn from(body: Bytes) -> Self {
        let mut segments = Self {
            pieces: Default::default(),
            count: 0,
        };
        segments.push(body);
        segments
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::iter::Take<std::array::IntoIter<Bytes, MAX_PIECES>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter().take(self.count)
    }
}

impl<'a> IntoIterator for &'a Segments {
    type Item = &'a Bytes;
    type IntoIter = std::slice::Iter<'a, Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
