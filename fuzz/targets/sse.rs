//! However a stream is split into pieces, the tap lets the same bytes out and learns the same facts.
#![no_main]

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    iter,
};

use bytes::Bytes;
use dialect::{Api, Ending, Failure, FailureKind, Operation, Passthrough, Refusal, Tap, Usage};
use libfuzzer_sys::fuzz_target;

/// One for each format, with and without hiding usage where that can matter.
const OPERATIONS: [(Operation, &[bool]); 4] = [
    (Operation::Generate(Api::ChatCompletions), &[false, true]),
    (Operation::Generate(Api::Responses), &[false]),
    (Operation::Generate(Api::Messages), &[false]),
    (Operation::Passthrough(Passthrough::Audio), &[false]),
];

const FAILURE: Failure<'static> = Failure {
    status: 502,
    kind: FailureKind::Upstream,
    code: None,
    message: "the upstream ended the stream",
    param: None,
    request_id: "req_1",
};

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    bytes: Vec<u8>,
    usage: Option<Usage>,
    output_frames: u64,
    has_content: bool,
    is_finished: bool,
    failure: Option<Refusal>,
    object_ids: Vec<String>,
    ending: Ending,
    last_words: Bytes,
}

fn run<'a>(operation: Operation, hide_usage: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut tap = Tap::new(operation, hide_usage);
    let mut out = Vec::new();
    for piece in pieces {
        tap.feed(Bytes::copy_from_slice(piece), &mut out);
    }
    let is_finished = tap.is_finished();
    let ending = tap.end(&mut out);
    Outcome {
        bytes: out.concat(),
        usage: tap.usage(),
        output_frames: tap.output_frames(),
        has_content: tap.has_content(),
        is_finished,
        failure: tap.failure(),
        object_ids: tap.object_ids(),
        ending,
        last_words: tap.encode_failure(&FAILURE, true),
    }
}

/// Pieces whose lengths follow from the bytes, so that the input is nothing but the stream itself.
fn pieces(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut hasher = DefaultHasher::new();
    rest.hash(&mut hasher);
    iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        1u8.hash(&mut hasher);
        let length = usize::try_from(hasher.finish() % 24).expect("small");
        let (piece, others) = rest.split_at(length.min(rest.len()));
        rest = others;
        Some(piece)
    })
}

fuzz_target!(|stream: &[u8]| {
    for (operation, hiding) in OPERATIONS {
        for &hide_usage in hiding {
            let whole = run(operation, hide_usage, [stream]);
            assert!(
                whole.bytes.len() <= stream.len() + 16,
                "more came out than went in"
            );
            for (split, outcome) in [
                ("at will", run(operation, hide_usage, pieces(stream))),
                ("byte by byte", run(operation, hide_usage, stream.chunks(1))),
            ] {
                assert_eq!(outcome, whole, "{operation:?}, hide_usage {hide_usage}, {split}");
            }
        }
    }
});
