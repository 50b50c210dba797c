//! The formats a stream can have, and what is known of one after some of its frames.

use memchr::memmem;

use super::{chat, messages, responses};
use crate::failure::Position;
use crate::json::raw::Raw;
use crate::refusal::{is_error, read_event};
use crate::usage::Counts;
use crate::{Api, Dialect, Operation, Refusal, Usage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Chat completions, and the legacy completions that share their frame.
    Chat,
    Responses,
    Messages,
    /// Images, audio and whatever else is only passed on.
    Opaque,
}

/// What a frame means for the stream.
pub(super) enum Reading {
    Plain,
    /// A chunk with usage and without choices.
    UsageOnly,
    /// The frame that ends the stream.
    End,
    /// Of no use to a client of this format.
    Ignored,
    Failure(Box<Refusal>),
}

/// What the frames have said so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) content: bool,
    /// Whether an event was forwarded, which a comment is not.
    pub(super) said: bool,
    pub(super) output_frames: u64,
    pub(super) counts: Option<Counts>,
    pub(super) object_ids: Vec<String>,
    pub(super) choices: Choices,
    /// Which member held the content last, to look for it there first.
    pub(super) hint: usize,
    pub(super) position: Position,
}

/// Which choices of a chat have begun and ended. Choices beyond the 64th share a place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choices {
    seen: u64,
    finished: u64,
}

impl Choices {
    fn bit(index: u64) -> u64 {
        1 << index.min(63)
    }

    pub(super) fn saw(&mut self, index: u64) {
        self.seen |= Self::bit(index);
    }

    pub(super) fn has_seen(self, index: u64) -> bool {
        self.seen & Self::bit(index) != 0
    }

    pub(super) fn finish(&mut self, index: u64) {
        self.finished |= Self::bit(index);
    }

    /// Whether there is a choice, and none that has not ended.
    pub(super) fn all_finished(self) -> bool {
        self.seen != 0 && self.seen & !self.finished == 0
    }
}

impl Progress {
    /// Notes a frame with content.
    pub(super) fn saw_content(&mut self) {
        self.content = true;
        self.output_frames += 1;
    }

    /// Notes a usage report; numbers commit the answer, zeros that announce them do not.
    pub(super) fn saw_usage(&mut self, usage: Raw<'_>) -> bool {
        let counts = Counts::read(usage);
        if counts.is_some_and(|counts| counts.usage(Dialect::Anthropic) != Usage::default()) {
            self.content = true;
        }
        self.count(counts);
        counts.is_some()
    }
}

impl Format {
    pub(super) const fn of(operation: Operation) -> Self {
        match operation {
            Operation::Generate(Api::ChatCompletions | Api::Completions) => Self::Chat,
            Operation::Generate(Api::Responses) | Operation::StoredResponse => Self::Responses,
            Operation::Generate(Api::Messages) => Self::Messages,
            Operation::Generate(Api::Embeddings)
            | Operation::ResponseInputTokens
            | Operation::ResponseCompact
            | Operation::CountTokens
            | Operation::Passthrough(_) => Self::Opaque,
        }
    }

    /// Reads the data of one event.
    #[inline]
    pub(super) fn read(self, name: &[u8], data: &[u8], progress: &mut Progress) -> Reading {
        if name == b"error" {
            return self.failed(data);
        }
        match self {
            Self::Chat => chat::read(data, progress),
            Self::Responses => responses::read(name, data, progress),
            Self::Messages => messages::read(name, data, progress),
            Self::Opaque => opaque(data, progress),
        }
    }

    /// The failure that this event is.
    pub(super) fn failed(self, data: &[u8]) -> Reading {
        let dialect = match self {
            Self::Messages => Dialect::Anthropic,
            Self::Chat | Self::Responses | Self::Opaque => Dialect::OpenAi,
        };
        Reading::Failure(Box::new(read_event(dialect, data)))
    }

    /// Notes a frame that was forwarded unread, of which only the ends were kept. Whether it ends the stream.
    pub(super) fn oversize(self, head: &[u8], tail: &[u8], progress: &mut Progress) -> bool {
        progress.saw_content();
        if let Some(at) = memmem::rfind(tail, b"\"usage\"")
            && let Some(usage) = value_at(tail, at + 7)
        {
            progress.saw_usage(usage);
        }
        self == Self::Responses && responses::is_last(event_name(head))
    }
}

/// The name of the event that begins with these bytes: its `event:` line, else its first `type`.
fn event_name(head: &[u8]) -> &[u8] {
    if let Some(rest) = head.strip_prefix(b"event:") {
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        return rest[..end].trim_ascii();
    }
    memmem::find(head, b"\"type\"")
        .and_then(|at| value_at(head, at + 6))
        .and_then(|value| value.as_bytes().get(1..value.as_bytes().len() - 1))
        .unwrap_or_default()
}

/// The value behind the colon that comes next.
pub(super) fn value_at(bytes: &[u8], at: usize) -> Option<Raw<'_>> {
    let rest = bytes.get(at..)?.trim_ascii_start().strip_prefix(b":")?;
    Raw::leading(rest)
}

/// The inside of a string that needs no decoding, such as a type's name.
pub(super) fn plain_word(value: Raw<'_>) -> &[u8] {
    match value.as_bytes() {
        [b'"', inner @ .., b'"'] => inner,
        _ => b"",
    }
}

/// A data event of a stream that is only passed on.
fn opaque(data: &[u8], progress: &mut Progress) -> Reading {
    if data.trim_ascii() == b"[DONE]" {
        return Reading::End;
    }
    if let Some(object) = Raw::object(data) {
        for (name, value) in object.members() {
            match name {
                b"error" if is_error(value) => return Format::Opaque.failed(data),
                b"usage" => {
                    progress.saw_usage(value);
                }
                _ => {}
            }
        }
    }
    progress.saw_content();
    Reading::Plain
}
