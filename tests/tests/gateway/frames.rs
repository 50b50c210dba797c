//! Frames that scripted streams are made of.

use serde_json::{Value, json};

/// A chat chunk with this delta.
pub(crate) fn delta(delta: &Value) -> String {
    chunk(&json!([{ "index": 0, "delta": delta, "finish_reason": null }]))
}

/// A chat chunk with content.
pub(crate) fn content(text: &str) -> String {
    delta(&json!({ "content": text }))
}

/// The chunk that opens a chat answer; it carries no content.
pub(crate) fn role() -> String {
    delta(&json!({ "role": "assistant", "content": "" }))
}

/// The chunk that says why a chat answer ends.
pub(crate) fn finish() -> String {
    chunk(&json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]))
}

/// The usage chunk.
pub(crate) fn usage(input: u64, output: u64) -> String {
    let mut frame: Value =
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [] });
    frame["usage"] =
        json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output });
    format!("data: {frame}\n\n")
}

/// The last line of `OpenAI`'s streams.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

fn chunk(choices: &Value) -> String {
    format!(
        "data: {}\n\n",
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices })
    )
}
