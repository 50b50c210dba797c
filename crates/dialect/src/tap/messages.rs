//! Events of Anthropic's Messages API.

use super::format::{Format, Progress, Reading, plain_word};
use crate::json::raw::Raw;
use crate::refusal::is_error;

#[inline]
pub(super) fn read(name: &[u8], data: &[u8], progress: &mut Progress) -> Reading {
    match name {
        b"content_block_delta" => {
            progress.saw_content();
            Reading::Plain
        }
        // Without an event line the SDKs skip the event, but the facts in it are as good.
        b"" => unnamed(data, progress),
        name => event(name, data, progress),
    }
}

fn unnamed(data: &[u8], progress: &mut Progress) -> Reading {
    // Compatible servers add OpenAI's last line, which no client of this format reads.
    if data.trim_ascii() == b"[DONE]" {
        return Reading::Ignored;
    }
    let Some(object) = Raw::object(data) else {
        return Format::Messages.failed(data);
    };
    match object.get(b"type") {
        Some(kind) => event(plain_word(kind), data, progress),
        None if object.get(b"error").is_some_and(is_error) => Format::Messages.failed(data),
        None => Reading::Plain,
    }
}

fn event(name: &[u8], data: &[u8], progress: &mut Progress) -> Reading {
    match name {
        b"content_block_start" if is_announcement(data) => {}
        b"content_block_start" | b"content_block_delta" => progress.saw_content(),
        b"message_start" => {
            let usage = member(data, b"message").and_then(|message| message.get(b"usage"));
            progress.count(usage.and_then(crate::usage::Counts::read));
        }
        b"message_delta" => {
            progress.content = true;
            if let Some(usage) = member(data, b"usage") {
                progress.saw_usage(usage);
            }
        }
        b"message_stop" => return Reading::End,
        b"error" => return Format::Messages.failed(data),
        _ => {}
    }
    Reading::Plain
}

/// Blocks of text and thinking begin empty; all others begin with something to act on.
fn is_announcement(data: &[u8]) -> bool {
    member(data, b"content_block")
        .and_then(|block| block.get(b"type"))
        .is_some_and(|kind| matches!(plain_word(kind), b"text" | b"thinking"))
}

fn member<'a>(data: &'a [u8], name: &[u8]) -> Option<Raw<'a>> {
    Raw::object(data)?.get(name)
}
