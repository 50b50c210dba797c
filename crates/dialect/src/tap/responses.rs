//! Events of the Responses API.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::format::{Format, Progress, Reading, plain_word, value_at};
use crate::failure::ResponseHead;
use crate::json::raw::Raw;
use crate::refusal::is_error;

static SEQUENCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"sequence_number\""));

pub(super) fn read(name: &[u8], data: &[u8], progress: &mut Progress) -> Reading {
    if let Some(at) = SEQUENCE.find(data)
        && let Some(number) = value_at(data, at + SEQUENCE.needle().len()).and_then(Raw::count)
    {
        progress.position.sequence = Some(number);
    }
    if !name.is_empty() {
        return event(name, data, progress);
    }
    // Some servers end with OpenAI's last line; this format has its own.
    if data.trim_ascii() == b"[DONE]" {
        return Reading::Ignored;
    }
    let Some(object) = Raw::object(data) else {
        return Format::Responses.failed(data);
    };
    match object.get(b"type") {
        Some(kind) => event(plain_word(kind), data, progress),
        None if object.get(b"error").is_some_and(is_error) => Format::Responses.failed(data),
        None => Reading::Plain,
    }
}

/// Whether this event ends the stream with an answer.
pub(super) fn is_last(name: &[u8]) -> bool {
    matches!(
        name,
        b"response.completed" | b"response.incomplete" | b"response.cancelled"
    )
}

fn event(name: &[u8], data: &[u8], progress: &mut Progress) -> Reading {
    match name {
        b"response.created" | b"response.queued" | b"response.in_progress" => {
            if progress.position.response.is_none()
                && let Some(response) = response(data)
            {
                head(response, progress);
            }
        }
        b"response.output_item.added" if is_announcement(data) => {}
        b"response.output_item.added" => progress.saw_content(),
        b"response.content_part.added" | b"response.reasoning_summary_part.added" => {}
        b"response.failed" | b"error" => return Format::Responses.failed(data),
        name if is_last(name) => {
            progress.content = true;
            if let Some(response) = response(data) {
                if progress.position.response.is_none() {
                    head(response, progress);
                }
                if let Some(usage) = response.get(b"usage") {
                    progress.saw_usage(usage);
                }
            }
            return Reading::End;
        }
        name if name.ends_with(b".delta") => progress.saw_content(),
        name if name.starts_with(b"response.") => progress.content = true,
        _ => {}
    }
    Reading::Plain
}

fn response(data: &[u8]) -> Option<Raw<'_>> {
    Raw::object(data)?.get(b"response")
}

/// Takes note of which response this is.
fn head(response: Raw<'_>, progress: &mut Progress) {
    let mut head = ResponseHead::default();
    for (name, value) in response.members() {
        match name {
            b"id" => {
                if let Some(id) = value.text() {
                    progress.object_ids.push(id.clone().into_owned());
                    head.id = id.into_owned();
                }
            }
            b"conversation" => {
                let id = value.get(b"id").unwrap_or(value).text();
                progress.object_ids.extend(id.map(std::borrow::Cow::into_owned));
            }
            b"created_at" => head.created_at = value.count().unwrap_or(0),
            b"model" => head.model = value.text().unwrap_or_default().into_owned(),
            _ => {}
        }
    }
    progress.position.response = Some(head);
}

/// Messages and reasoning begin empty; calls begin with what they call.
fn is_announcement(data: &[u8]) -> bool {
    Raw::object(data)
        .and_then(|event| event.get(b"item")?.get(b"type"))
        .is_some_and(|kind| matches!(plain_word(kind), b"message" | b"reasoning"))
}
