use std::time::Duration;

use bytes::Bytes;
use dialect::{
    Api, Dialect, Edits, Operation, Passthrough, PeekError, Retry, Segments, headroom, peek, read_answer,
    read_refusal, retry_after,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::taps::{AUDIO, CHAT, COMPLETIONS, MESSAGES, RESPONSES, STREAMS, run};

const OPERATIONS: [Operation; 7] = [
    CHAT,
    COMPLETIONS,
    RESPONSES,
    MESSAGES,
    AUDIO,
    Operation::StoredResponse,
    Operation::Passthrough(Passthrough::Files),
];

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_\"\\\\é]{0,6}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A request with every combination of the members that a splice touches, in any order.
fn request() -> impl Strategy<Value = String> {
    let model = prop_oneof![
        Just(None),
        "[a-z/\"\\\\é]{0,8}".prop_map(|name| Some(Value::from(name)))
    ];
    let options = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        Just(Some(serde_json::json!({}))),
        Just(Some(serde_json::json!({"include_obfuscation": false}))),
        Just(Some(serde_json::json!({"a": [1], "include_usage": false}))),
        Just(Some(serde_json::json!({"include_usage": true, "z": {}}))),
    ];
    let others = prop::collection::btree_map("x[a-z]{0,4}", json(), 0..4);
    (
        model,
        prop_oneof![Just(None), any::<bool>().prop_map(Some)],
        options,
        others,
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(|(model, stream, options, others, seed, pretty)| {
            let mut members: Vec<(String, Value)> = others.into_iter().collect();
            members.extend(model.map(|model| ("model".to_owned(), model)));
            members.extend(stream.map(|stream| ("stream".to_owned(), Value::from(stream))));
            members.extend(options.map(|options| ("stream_options".to_owned(), options)));
            let length = members.len().max(1);
            members.rotate_left(usize::try_from(seed % length as u64).unwrap() % length);
            let space = if pretty { "\n  " } else { "" };
            let members: Vec<String> = members
                .into_iter()
                .map(|(name, value)| format!("{space}{}:{space}{value}", Value::from(name)))
                .collect();
            format!("{{{}{space}}}", members.join(","))
        })
}

fn bytes_of(segments: &Segments) -> Vec<u8> {
    segments.iter().flatten().copied().collect()
}

/// Bytes that look like JSON more often than chance would have it.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        &b"{"[..],
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b" ",
        b"\n",
        b"\"model\"",
        b"\"stream\"",
        b"true",
        b"null",
        b"1",
        b"-",
        b"0",
        b".5",
        b"e+",
        b"\\u00e9",
        b"\\ud800",
        b"\x01",
        b"\xc3\xa9",
        b"\xff",
        b"\"a\":",
        b"{\"b\":[",
    ]);
    let jumble = prop::collection::vec(words, 0..24).prop_map(|words| words.concat());
    let damaged = (json(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(
        |(value, at, byte, cut)| {
            let mut text = value.to_string().into_bytes();
            let at = at.index(text.len());
            if cut {
                text.truncate(at);
            } else {
                text[at] = byte;
            }
            text
        },
    );
    prop_oneof![
        jumble,
        damaged,
        json().prop_map(|value| value.to_string().into_bytes())
    ]
}

/// Line noise that looks like a stream.
fn nearly_sse() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        &b"data: "[..],
        b"data:",
        b"event: error",
        b"event: message_stop",
        b": note",
        b"id: 1",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"[DONE]",
        b"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}",
        b"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}",
        b"{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}",
        b"{\"error\":1}",
        b"{",
        b"\xf0\x9f",
        b"\"",
        b"\xef\xbb\xbf",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.concat())
}

fn split(text: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut at = 0;
    for place in places {
        pieces.push(text[at..place].to_vec());
        at = place;
    }
    pieces.push(text[at..].to_vec());
    pieces
}

#[test]
fn byte_by_byte_is_as_good_as_all_at_once() {
    for (operation, text) in STREAMS {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', line_end);
            for hide in [false, true] {
                let whole = run(operation, hide, [text.as_bytes()]);
                assert_eq!(run(operation, hide, text.as_bytes().chunks(1)), whole);
                assert_eq!(run(operation, hide, text.as_bytes().chunks(7)), whole);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_a_stream_gives_the_same_bytes_and_facts(
        (operation, text) in prop::sample::select(STREAMS.to_vec()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        end in any::<prop::sample::Index>(),
        hide in any::<bool>(),
        line_ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 1..5),
    ) {
        let mut kinds = line_ends.iter().cycle();
        let mixed: String = text.split_inclusive('\n').map(|line| line.replace('\n', kinds.next().unwrap())).collect();
        let text = &mixed.as_bytes()[..end.index(mixed.len() + 1)];
        let pieces = split(text, &cuts);
        prop_assert_eq!(run(operation, hide, pieces.iter().map(Vec::as_slice)), run(operation, hide, [text]));
    }

    #[test]
    fn any_split_of_line_noise_gives_the_same_bytes_and_facts(
        operation in prop::sample::select(OPERATIONS.to_vec()),
        text in nearly_sse(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let text = String::from_utf8_lossy(&text).into_owned();
        let pieces = split(text.as_bytes(), &cuts);
        let outcome = run(operation, true, pieces.iter().map(Vec::as_slice));
        prop_assert_eq!(&outcome, &run(operation, true, [text.as_bytes()]));
        prop_assert!(outcome.text.len() <= text.len() + 16);
    }

    #[test]
    fn whether_a_body_is_json_is_judged_as_serde_judges_it(bytes in nearly_json()) {
        let body = [b"{\"a\":", bytes.as_slice(), b"}"].concat();
        let serde = serde_json::from_slice::<IgnoredAny>(&body).is_ok() && std::str::from_utf8(&body).is_ok();
        match peek(CHAT, &body) {
            Ok(_) => prop_assert!(serde, "taken: {}", body.escape_ascii()),
            Err(PeekError::Malformed { .. } | PeekError::NotUtf8 { .. }) => {
                prop_assert!(!serde, "refused: {}", body.escape_ascii());
            }
            Err(_) => {}
        }
    }

    #[test]
    fn a_splice_changes_the_model_and_the_wish_for_usage_only(
        body in request(), model in prop::option::of("[a-z\"é]{0,8}"), ask_usage in any::<bool>(),
    ) {
        let bytes = Bytes::from(body.clone());
        let peeked = peek(CHAT, &bytes).expect(&body);
        let spliced = bytes_of(&peeked.splice(&bytes, &Edits { model: model.as_deref(), ask_usage }));
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        if let Some(model) = model {
            expected["model"] = model.into();
        }
        if ask_usage && peeked.stream {
            if !expected["stream_options"].is_object() {
                expected["stream_options"] = serde_json::json!({});
            }
            expected["stream_options"]["include_usage"] = true.into();
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&spliced).unwrap(), expected);
        let untouched = bytes_of(&peeked.splice(&bytes, &Edits::default()));
        prop_assert_eq!(untouched, body.into_bytes());
        prop_assert!(peek(CHAT, &spliced).is_ok());
    }

    #[test]
    fn a_peek_finds_what_a_parser_finds(body in request()) {
        let value: Value = serde_json::from_str(&body).unwrap();
        let found = peek(CHAT, body.as_bytes()).expect(&body);
        prop_assert_eq!(found.model.map(|model| model.value), value["model"].as_str().map(str::to_owned));
        prop_assert_eq!(found.stream, value["stream"] == true);
        prop_assert_eq!(found.wants_usage, value["stream_options"]["include_usage"] == true);
    }

    #[test]
    fn no_bytes_make_a_reader_fail(
        operation in prop::sample::select(OPERATIONS.to_vec()),
        bytes in prop_oneof![nearly_json(), nearly_sse(), prop::collection::vec(any::<u8>(), 0..100)],
        status in 0u16..1000,
        retry in "[0-9]{1,24}|[0-9a-z.:, \\-]{0,20}",
    ) {
        let mut headers = HeaderMap::new();
        for name in ["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens", "anthropic-ratelimit-requests-reset"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&retry).unwrap());
        }
        headers.insert("x-ratelimit-limit-tokens", HeaderValue::from_str(&retry).unwrap());
        headers.insert("x-ratelimit-remaining-tokens", HeaderValue::from_static("0"));
        headers.insert("anthropic-ratelimit-requests-remaining", HeaderValue::from_static("0"));
        let now = Duration::from_secs(1_790_000_000);
        let _ = (peek(operation, &bytes), read_answer(operation, &bytes), retry_after::parse(&headers, now));
        if let Some(found) = headroom(&headers, now) {
            prop_assert!(found.used <= 1_000_000 && !found.resets_in.is_zero());
        }
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let refusal = read_refusal(dialect, status, &headers, &bytes, now);
            prop_assert_eq!(refusal.status, status);
            if let Some(Retry::After(wait) | Retry::Reset(wait)) = refusal.retry {
                prop_assert!(wait <= Duration::from_secs(366 * 86_400));
            }
        }
        let _ = (Operation::Generate(Api::Embeddings), operation);
    }
}
