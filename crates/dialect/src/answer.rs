//! Reads a whole, unstreamed answer that came with a 200.

use std::borrow::Cow;

use thiserror::Error;

use crate::json::raw::Raw;
use crate::refusal::{Refusal, is_error, read_event};
use crate::usage::Counts;
use crate::{Api, Operation, Passthrough, Usage};

/// What an answer says that the gateway must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the call consumed, if the answer says so.
    pub usage: Option<Usage>,
    /// Ids of the stored objects that the answer made or lists.
    pub object_ids: Vec<String>,
    /// The error that the upstream sent with a 200 instead of an answer.
    pub failure: Option<Refusal>,
}

/// The body is not what an API answers: a page of HTML, or an object that was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the upstream's answer is not a JSON object")]
pub struct NotAnAnswer;

/// How many ids are taken from a listing.
const MAX_LISTED: usize = 1000;

/// Reads the body of an answer to `operation`.
///
/// Only brackets and strings are followed, at the speed of memory; whether every number is well formed is left
/// to the client.
pub fn read_answer(operation: Operation, body: &[u8]) -> Result<Answer, NotAnAnswer> {
    let object = Raw::object(body).ok_or(NotAnAnswer)?;
    let mut answer = Answer::default();
    let mut failed = false;
    for (name, value) in object.members() {
        match name {
            b"usage" => {
                answer.usage = Counts::read(value).map(|counts| counts.usage(operation.dialect()));
            }
            // A stored object may hold the error of long ago; that is its content, not a refusal.
            b"error" if is_error(value) && !holds_objects(operation) => failed = true,
            b"id" if makes_objects(operation) => add(&mut answer, value),
            b"conversation" if makes_objects(operation) => {
                add(&mut answer, value.get(b"id").unwrap_or(value));
            }
            // The results of a batch, and the file that an upload became.
            b"output_file_id" | b"error_file_id" if holds_objects(operation) => add(&mut answer, value),
            b"file" if holds_objects(operation) => {
                if let Some(id) = value.get(b"id") {
                    add(&mut answer, id);
                }
            }
            b"data" if holds_objects(operation) && operation != Operation::StoredResponse => {
                for id in value
                    .elements()
                    .take(MAX_LISTED)
                    .filter_map(|entry| entry.get(b"id"))
                {
                    add(&mut answer, id);
                }
            }
            _ => {}
        }
    }
    if failed {
        answer.failure = Some(read_event(operation.dialect(), body));
    }
    Ok(answer)
}

/// Whether the answer's own id names something that later requests may refer to.
fn makes_objects(operation: Operation) -> bool {
    holds_objects(operation) || operation == Operation::Generate(Api::Responses)
}

/// Whether answers are stored objects themselves.
fn holds_objects(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::StoredResponse
            | Operation::Passthrough(
                Passthrough::Files | Passthrough::Uploads | Passthrough::Batches | Passthrough::VectorStores
            )
    )
}

fn add(answer: &mut Answer, id: Raw<'_>) {
    if let Some(id) = id.text().map(Cow::into_owned).filter(|id| !id.is_empty())
        && !answer.object_ids.contains(&id)
    {
        answer.object_ids.push(id);
    }
}
