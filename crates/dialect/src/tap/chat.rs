//! Chunks of chat completions and of the legacy completions.

use super::format::{Format, Progress, Reading, plain_word};
use super::markers::{self, CONTENT};
use crate::json::raw::Raw;
use crate::refusal::is_error;

#[inline]
pub(super) fn read(data: &[u8], progress: &mut Progress) -> Reading {
    if markers::is_plain(data, progress) {
        progress.saw_content();
        return Reading::Plain;
    }
    parse(data, progress)
}

fn parse(data: &[u8], progress: &mut Progress) -> Reading {
    if data.trim_ascii() == b"[DONE]" {
        return Reading::End;
    }
    let Some(chunk) = Raw::object(data) else {
        // What is not a chunk breaks clients; after the last choice nobody misses it.
        return if progress.choices.all_finished() {
            Reading::Ignored
        } else {
            Format::Chat.failed(data)
        };
    };
    let mut has_choices = false;
    let mut has_content = false;
    let mut has_usage = false;
    let mut names_choices = false;
    let mut is_message = false;
    for (name, value) in chunk.members() {
        match name {
            b"choices" => {
                names_choices = true;
                for choice in value.elements() {
                    has_choices = true;
                    has_content |= read_choice(choice, progress);
                }
            }
            b"usage" => has_usage |= progress.saw_usage(value),
            b"error" if is_error(value) => return Format::Chat.failed(data),
            // Older vLLM: `{"object":"error","message":…}`.
            b"object" if plain_word(value) == b"error" => return Format::Chat.failed(data),
            b"message" | b"detail" => is_message = true,
            _ => {}
        }
    }
    if is_message && !names_choices && !has_usage {
        return Format::Chat.failed(data);
    }
    if has_content {
        progress.saw_content();
    }
    if has_usage && !has_choices {
        Reading::UsageOnly
    } else {
        Reading::Plain
    }
}

/// Whether the choice brings content.
fn read_choice(choice: Raw<'_>, progress: &mut Progress) -> bool {
    let mut index = 0;
    let mut has_content = false;
    let mut is_finished = false;
    for (name, value) in choice.members() {
        match name {
            b"index" => index = value.count().unwrap_or(0),
            // Azure leaves the delta out of chunks that only report on filters.
            b"delta" | b"message" => has_content |= read_delta(value, progress),
            b"text" if !value.is_empty() => {
                progress.hint = hint(name);
                has_content = true;
            }
            b"finish_reason" => is_finished = !value.is_empty(),
            _ => {}
        }
    }
    progress.choices.saw(index);
    if is_finished {
        progress.choices.finish(index);
    }
    has_content
}

/// Whatever a delta holds besides the role is content, if it holds anything: vendors add members of their own
/// for reasoning, images and signatures, and none for decoration.
fn read_delta(delta: Raw<'_>, progress: &mut Progress) -> bool {
    let mut has_content = false;
    for (name, value) in delta.members() {
        if name == b"role" || value.is_empty() {
            continue;
        }
        has_content = true;
        progress.hint = match name {
            b"tool_calls" | b"function_call" => hint(b"arguments"),
            _ => hint(name),
        };
    }
    has_content
}

fn hint(name: &[u8]) -> usize {
    CONTENT.iter().position(|known| *known == name).unwrap_or(0)
}
