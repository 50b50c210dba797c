//! Finds the facts in an error body, whichever of the many shapes it has.

use std::borrow::Cow;
use std::time::Duration;

use super::retry_after::{self, in_words};
use super::{MAX_MESSAGE, Refusal, RefusalKind, Retry};
use crate::json::raw::Raw;

/// What an error body says.
#[derive(Default)]
pub(super) struct ErrorBody<'a> {
    pub(super) message: Option<Cow<'a, str>>,
    error_type: Option<Cow<'a, str>>,
    code: Option<Cow<'a, str>>,
    /// Codes that stand beside or below the main one: Azure's `innererror`, Anthropic's `details`, Google's
    /// `status` and `reason`.
    finer: [Option<Cow<'a, str>>; 4],
    param: Option<Cow<'a, str>>,
    /// When the quota resets, in Unix seconds and in seconds from now (Codex sends both).
    resets_at: Option<u64>,
    resets_in: Option<u64>,
    /// Google's `retryDelay`, such as `34s`.
    delay: Option<Cow<'a, str>>,
    /// The message in lower case, for the rules.
    words: String,
    /// Everything that was sent.
    pub(super) bytes: &'a [u8],
    pub(super) is_html: bool,
}

impl<'a> ErrorBody<'a> {
    /// Reads `{"error":{…}}`, `{"error":"…"}`, `[{"error":…}]`, `{"detail":…}`, `{"message":…}`,
    /// `{"errors":[…]}`, a Responses event with its error in `response`, plain text, HTML and nothing at all.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let mut error = Self {
            bytes,
            ..Self::default()
        };
        match Raw::value(bytes) {
            Some(value) if value.is_object() => error.object(value),
            // Google's OpenAI endpoint wraps its errors in an array.
            Some(value) if value.is_array() => {
                if let Some(first) = value.elements().next() {
                    error.object(first);
                }
            }
            Some(value) if value.text().is_some() => error.message = value.text(),
            _ => error.prose(),
        }
        error.message = error.message.take().map(|message| cut(message, MAX_MESSAGE));
        error.words = error.message.as_deref().unwrap_or_default().to_ascii_lowercase();
        error
    }

    /// Text that is not JSON is kept when a person may have written it, as proxies do.
    fn prose(&mut self) {
        let text = String::from_utf8_lossy(self.bytes);
        let text = text.trim();
        self.is_html = text.starts_with('<');
        let looks_like_json = text.starts_with(['{', '[', '"']);
        if !text.is_empty() && !self.is_html && !looks_like_json && text.len() <= 1024 {
            self.message = Some(Cow::Owned(text.to_owned()));
        }
    }

    /// The outer object: what it wraps comes first, what stands beside it fills the gaps.
    fn object(&mut self, outer: Raw<'a>) {
        for (name, value) in outer.members() {
            match name {
                b"error" | b"detail" | b"response" if value.is_object() => {
                    let inner = if name == b"response" {
                        value.get(b"error")
                    } else {
                        Some(value)
                    };
                    if let Some(inner) = inner {
                        self.fields(inner);
                    }
                }
                b"errors" | b"detail" if value.is_array() => {
                    if let Some(first) = value.elements().next() {
                        self.fields(first);
                        self.message = self.message.take().or_else(|| first.text());
                    }
                }
                b"error" | b"detail" if value.text().is_some() => {
                    self.message = value.text().or(self.message.take());
                }
                _ => {}
            }
        }
        self.fields(outer);
    }

    fn fields(&mut self, object: Raw<'a>) {
        fn keep<'a>(place: &mut Option<Cow<'a, str>>, value: Raw<'a>) {
            if place.is_none() {
                *place = word(value).filter(|text| !text.is_empty());
            }
        }
        for (name, value) in object.members() {
            match name {
                b"message" | b"msg" | b"error_msg" if value.text().is_some() => {
                    keep(&mut self.message, value);
                }
                b"type" if !is_event_type(value) => keep(&mut self.error_type, value),
                b"code" | b"error_code" | b"statusCode" => keep(&mut self.code, value),
                b"param" => keep(&mut self.param, value),
                b"status" => keep(&mut self.finer[0], value),
                b"innererror" => self.finer[1] = value.get(b"code").and_then(word),
                b"reason" => keep(&mut self.finer[2], value),
                b"details" if value.is_object() => self.finer[3] = value.get(b"error_code").and_then(word),
                b"details" => self.google_details(value),
                b"resets_at" => self.resets_at = value.count(),
                b"resets_in_seconds" => self.resets_in = value.count(),
                _ => {}
            }
        }
    }

    /// `google.rpc.ErrorInfo` and `RetryInfo`.
    fn google_details(&mut self, details: Raw<'a>) {
        for detail in details.elements() {
            if let Some(reason) = detail.get(b"reason").and_then(Raw::text) {
                self.finer[2] = Some(reason);
            }
            if let Some(delay) = detail.get(b"retryDelay").and_then(Raw::text) {
                self.delay = Some(delay);
            }
        }
    }

    /// Whether one of the codes, types and reasons is this one.
    pub(super) fn is_marked(&self, mark: &str) -> bool {
        [&self.code, &self.error_type]
            .into_iter()
            .chain(&self.finer)
            .flatten()
            .any(|found| found.eq_ignore_ascii_case(mark))
    }

    /// Whether the message contains these words, which are in lower case.
    pub(super) fn says(&self, words: &str) -> bool {
        self.words.contains(words)
    }

    /// The HTTP status that the body itself names.
    pub(super) fn status(&self) -> Option<u16> {
        [&self.code, &self.finer[0]]
            .into_iter()
            .flatten()
            .filter_map(|code| code.parse().ok())
            .find(|status| (400..=599).contains(status))
    }

    /// When to come back, from the body. Without a clock, moments are left out.
    pub(super) fn retry(&self, now: Option<Duration>) -> Option<Retry> {
        self.stated(now).map(retry_after::bounded)
    }

    fn stated(&self, now: Option<Duration>) -> Option<Retry> {
        if let (Some(at), Some(now)) = (self.resets_at, now) {
            return Some(Retry::Reset(Duration::from_secs(at).saturating_sub(now)));
        }
        if let Some(seconds) = self.resets_in {
            return Some(Retry::Reset(Duration::from_secs(seconds)));
        }
        if let Some(delay) = self.delay.as_deref().and_then(retry_after::go_duration) {
            return Some(Retry::After(delay));
        }
        in_words(&self.words, now)
    }

    pub(super) fn refusal(self, status: u16, kind: RefusalKind, retry: Option<Retry>) -> Refusal {
        let code = self.code.or_else(|| self.finer.into_iter().flatten().next());
        Refusal {
            status,
            kind,
            code: code.map(Cow::into_owned),
            error_type: self.error_type.map(Cow::into_owned),
            message: self.message.map(Cow::into_owned),
            param: self.param.map(Cow::into_owned),
            retry,
        }
    }
}

/// `error`, `response.failed`: the type of the event around the error, which says nothing about it.
fn is_event_type(value: Raw<'_>) -> bool {
    value.as_bytes() == b"\"error\"" || value.as_bytes().starts_with(b"\"response.")
}

/// A string or a number, as a short word.
fn word(value: Raw<'_>) -> Option<Cow<'_, str>> {
    let word = value.text().or_else(|| {
        value.count()?;
        std::str::from_utf8(value.as_bytes()).ok().map(Cow::Borrowed)
    })?;
    (word.len() <= MAX_MESSAGE).then_some(word)
}

fn cut(text: Cow<'_, str>, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text;
    }
    Cow::Owned(text[..text.floor_char_boundary(limit)].to_owned())
}
