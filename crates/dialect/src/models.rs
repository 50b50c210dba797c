//! Listings of models, in the shape of the client that asks.

use bytes::Bytes;
use serde::Serialize;

use crate::Dialect;
use crate::calendar::to_rfc3339;
use crate::failure::json;

/// A model that the caller may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelEntry<'a> {
    /// The name to ask for.
    pub id: &'a str,
    /// Who serves it.
    pub owned_by: &'a str,
    /// When it was created, in seconds since the Unix epoch.
    pub created: u64,
    /// The longest prompt, in tokens.
    pub max_input_tokens: Option<u64>,
    /// The longest answer, in tokens.
    pub max_output_tokens: Option<u64>,
}

/// Which part of Anthropic's listing is asked for. `OpenAI`'s has one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many entries, 1 to 1000.
    pub limit: usize,
    /// The entry before the first one wanted.
    pub after_id: Option<String>,
    /// The entry behind the last one wanted.
    pub before_id: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            limit: 20,
            after_id: None,
            before_id: None,
        }
    }
}

impl Page {
    /// Reads a query string. Numbers out of range are moved into it; what is not understood is ignored.
    pub fn parse(query: &str) -> Self {
        let mut page = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "limit" => {
                    if let Ok(limit) = value.parse::<usize>() {
                        page.limit = limit.clamp(1, 1000);
                    }
                }
                "after_id" => page.after_id = Some(unescape(value)),
                "before_id" => page.before_id = Some(unescape(value)),
                _ => {}
            }
        }
        page
    }
}

/// Model names contain slashes and colons, which clients escape.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| std::str::from_utf8(after.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (escaped, first) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (None, b'+') => bytes.push(b' '),
            (None, byte) => bytes.push(byte),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The body of a listing. The order of the entries is kept.
pub fn encode_models(shape: Dialect, entries: &[ModelEntry<'_>], page: &Page) -> Bytes {
    match shape {
        Dialect::OpenAi => json(&OpenAiList {
            object: "list",
            data: entries.iter().map(OpenAiModel::from).collect(),
        }),
        Dialect::Anthropic => {
            let (shown, has_more) = cut(entries, page);
            json(&AnthropicList {
                data: shown.iter().map(AnthropicModel::from).collect(),
                has_more,
                first_id: shown.first().map(|entry| entry.id),
                last_id: shown.last().map(|entry| entry.id),
            })
        }
    }
}

/// The body that describes one model.
pub fn encode_model(shape: Dialect, entry: &ModelEntry<'_>) -> Bytes {
    match shape {
        Dialect::OpenAi => json(&OpenAiModel::from(entry)),
        Dialect::Anthropic => json(&AnthropicModel::from(entry)),
    }
}

/// The entries of the page, and whether there are more in the direction of travel. An unknown id is as good as
/// none: the model may have gone while the client was reading.
fn cut<'a, 'b>(entries: &'a [ModelEntry<'b>], page: &Page) -> (&'a [ModelEntry<'b>], bool) {
    let find = |id: &Option<String>| entries.iter().position(|entry| Some(entry.id) == id.as_deref());
    let start = find(&page.after_id).map_or(0, |at| at + 1);
    let end = find(&page.before_id).unwrap_or(entries.len()).max(start);
    let span = &entries[start..end];
    let limit = page.limit.clamp(1, 1000);
    if span.len() <= limit {
        (span, false)
    } else if page.before_id.is_some() && page.after_id.is_none() {
        (&span[span.len() - limit..], true)
    } else {
        (&span[..limit], true)
    }
}

#[derive(Serialize)]
struct OpenAiList<'a> {
    object: &'static str,
    data: Vec<OpenAiModel<'a>>,
}

#[derive(Serialize)]
struct OpenAiModel<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

impl<'a> From<&ModelEntry<'a>> for OpenAiModel<'a> {
    fn from(entry: &ModelEntry<'a>) -> Self {
        Self {
            id: entry.id,
            object: "model",
            created: entry.created,
            owned_by: entry.owned_by,
        }
    }
}

#[derive(Serialize)]
struct AnthropicList<'a> {
    data: Vec<AnthropicModel<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AnthropicModel<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
}

impl<'a> From<&ModelEntry<'a>> for AnthropicModel<'a> {
    fn from(entry: &ModelEntry<'a>) -> Self {
        Self {
            kind: "model",
            id: entry.id,
            display_name: entry.id,
            created_at: to_rfc3339(entry.created),
            max_input_tokens: entry.max_input_tokens,
            max_tokens: entry.max_output_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> ModelEntry<'_> {
        ModelEntry {
            id,
            owned_by: "main",
            created: 1_790_000_000,
            max_input_tokens: Some(200_000),
            max_output_tokens: None,
        }
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn openai_clients_get_a_list_of_models() {
        assert_eq!(
            text(&encode_models(
                Dialect::OpenAi,
                &[entry("a/b:1")],
                &Page::default()
            )),
            r#"{"object":"list","data":[{"id":"a/b:1","object":"model","created":1790000000,"owned_by":"main"}]}"#
        );
        assert_eq!(
            text(&encode_model(Dialect::OpenAi, &entry("a"))),
            r#"{"id":"a","object":"model","created":1790000000,"owned_by":"main"}"#
        );
    }

    #[test]
    fn anthropic_clients_get_pages() {
        assert_eq!(
            text(&encode_models(
                Dialect::Anthropic,
                &[entry("a")],
                &Page::default()
            )),
            concat!(
                r#"{"data":[{"type":"model","id":"a","display_name":"a","created_at":"2026-09-21T14:13:20Z","#,
                r#""max_input_tokens":200000}],"has_more":false,"first_id":"a","last_id":"a"}"#
            )
        );
        assert_eq!(
            text(&encode_models(Dialect::Anthropic, &[], &Page::default())),
            r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#
        );
    }

    #[test]
    fn a_page_is_cut_after_or_before_an_entry() {
        let entries: Vec<_> = ["a", "b", "c", "d"].into_iter().map(entry).collect();
        let cases = [
            ("", "abcd", false),
            ("limit=2", "ab", true),
            ("limit=2&after_id=b", "cd", false),
            ("limit=1&after_id=b", "c", true),
            ("limit=2&before_id=d", "bc", true),
            ("before_id=c", "ab", false),
            ("limit=0", "a", true),
            ("limit=9999&after_id=gone", "abcd", false),
            ("limit=x&after_id=d", "", false),
            ("after_id=c&before_id=b", "", false),
        ];
        for (query, expected, more) in cases {
            let (shown, has_more) = cut(&entries, &Page::parse(query));
            let ids: String = shown.iter().map(|entry| entry.id).collect();
            assert_eq!((ids.as_str(), has_more), (expected, more), "{query}");
        }
    }

    #[test]
    fn escaped_ids_are_read() {
        assert_eq!(
            Page::parse("after_id=a%2Fb%3A1+x%").after_id.as_deref(),
            Some("a/b:1 x%")
        );
    }
}
