//! What a peek takes is JSON to a parser too, and a splice changes the members that it is asked to change, no other byte.
#![no_main]

use std::fmt;

use bytes::Bytes;
use dialect::{Api, Edits, Operation, PeekError, Peeked, peek};
use libfuzzer_sys::fuzz_target;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

const OPERATIONS: [Operation; 5] = [
    Operation::Generate(Api::ChatCompletions),
    Operation::Generate(Api::Completions),
    Operation::Generate(Api::Responses),
    Operation::Generate(Api::Embeddings),
    Operation::Generate(Api::Messages),
];
const MODEL: &str = "g\"p\\t-é/5";

/// The members of an object as they are written, in their order.
#[derive(Debug, PartialEq, Eq)]
struct Members<'a>(Vec<(&'a str, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    members.push((name.get(), value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'a> Members<'a> {
    fn of(text: &'a [u8]) -> Self {
        serde_json::from_slice(text).expect("what a peek takes is an object")
    }

    /// Those whose decoded name is not `name`, and the value of the one whose name it is.
    fn without(self, name: &str) -> (Self, Option<&'a str>) {
        let is_named = |raw: &str| serde_json::from_str::<String>(raw).is_ok_and(|decoded| decoded == name);
        let (named, others): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(raw, _)| is_named(raw));
        assert!(named.len() <= 1, "{name} is there {} times", named.len());
        (Self(others), named.first().map(|(_, value)| *value))
    }
}

/// Whether a member is a text that says nothing, as one with half a surrogate pair does.
fn has_undecodable(body: &[u8]) -> bool {
    serde_json::from_slice::<Members<'_>>(body).is_ok_and(|members| {
        members
            .0
            .iter()
            .any(|(_, value)| value.starts_with('"') && serde_json::from_str::<String>(value).is_err())
    })
}

fn spliced(peeked: &Peeked, body: &Bytes, edits: &Edits<'_>) -> Vec<u8> {
    peeked.splice(body, edits).iter().flatten().copied().collect()
}

fn check(operation: Operation, body: &Bytes) {
    let is_json = std::str::from_utf8(body).is_ok() && serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let peeked = match peek(operation, body) {
        Ok(peeked) => peeked,
        Err(PeekError::Malformed { .. } | PeekError::NotUtf8 { .. } | PeekError::Empty) => {
            assert!(!is_json || has_undecodable(body), "refused what a parser takes");
            return;
        }
        Err(_) => return,
    };
    assert!(is_json, "took what a parser refuses");
    assert_eq!(
        spliced(&peeked, body, &Edits::default()),
        body.as_ref(),
        "no edit, no change"
    );

    let (others, model) = Members::of(body).without("model");
    let model = model.map(|raw| serde_json::from_str::<Option<String>>(raw).expect("a text or null"));
    assert_eq!(
        peeked.model.as_ref().map(|model| &model.value),
        model.flatten().as_ref()
    );

    let text = spliced(
        &peeked,
        body,
        &Edits {
            model: Some(MODEL),
            ask_usage: false,
        },
    );
    let (kept, model) = Members::of(&text).without("model");
    assert_eq!(kept, others, "a new model changed another member");
    let model = serde_json::from_str::<String>(model.expect("the model is there")).expect("a text");
    assert_eq!(model, MODEL);

    let text = spliced(
        &peeked,
        body,
        &Edits {
            model: Some(MODEL),
            ask_usage: true,
        },
    );
    let again = peek(operation, &text).expect("a spliced body can be peeked into");
    assert_eq!(
        (again.stream, again.model.map(|model| model.value).as_deref()),
        (peeked.stream, Some(MODEL))
    );
    assert_eq!(
        (&again.user, &again.session, &again.object_ids),
        (&peeked.user, &peeked.session, &peeked.object_ids)
    );
    let (kept, _) = Members::of(&text).without("model").0.without("stream_options");
    let (others, options) = others.without("stream_options");
    assert_eq!(kept, others, "the wish for usage changed another member");
    let asks = matches!(
        operation,
        Operation::Generate(Api::ChatCompletions | Api::Completions)
    ) && peeked.stream;
    assert_eq!(again.wants_usage, peeked.wants_usage || asks, "{options:?}");
}

fuzz_target!(|body: &[u8]| {
    let body = Bytes::copy_from_slice(body);
    for operation in OPERATIONS {
        check(operation, &body);
    }
});
