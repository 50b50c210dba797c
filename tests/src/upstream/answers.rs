//! Sensible answers to everything that the gateway forwards.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Reply, Seen};

/// What a well-behaved vendor would say.
pub(super) fn usual(seen: &Seen) -> Reply {
    let path = seen.path.split('?').next().unwrap_or_default();
    let body = seen.json();
    let streamed = body["stream"] == true;
    let reply = match (seen.method.as_str(), path) {
        ("POST", path) if path.ends_with("/chat/completions") => {
            if streamed {
                sse(&chat_stream(&body))
            } else {
                Reply::json(200, chat(&body))
            }
        }
        ("POST", path) if path.ends_with("/completions") => {
            if streamed {
                sse(&completion_stream(&body))
            } else {
                Reply::json(200, completion(&body))
            }
        }
        ("POST", path) if path.ends_with("/embeddings") => Reply::json(200, embeddings(&body)),
        ("POST", path) if path.ends_with("/messages/count_tokens") => {
            Reply::json(200, json!({ "input_tokens": 11 }))
        }
        ("POST", path) if path.ends_with("/messages") => {
            if streamed {
                named(&message_stream(&body))
            } else {
                Reply::json(200, message(&body))
            }
        }
        ("POST", path) if path.ends_with("/responses/input_tokens") => Reply::json(
            200,
            json!({ "object": "response.input_tokens", "input_tokens": 11 }),
        ),
        ("POST", path) if path.ends_with("/responses/compact") => Reply::json(
            200,
            json!({ "id": "resp_compact", "object": "response.compaction", "created_at": 1, "output": [], "usage": response_usage() }),
        ),
        ("POST", path) if path.ends_with("/responses") => {
            if streamed {
                named(&response_stream(&body, seen))
            } else {
                Reply::json(200, response(&body, seen))
            }
        }
        (_, path) if path.contains("/responses/resp_") => stored_response(seen, path),
        ("POST", path) if path.ends_with("/audio/speech") => {
            Reply::status(200).body("audio/mpeg", vec![0xff, 0xfb, 0x00, 0x80, 0xc3, 0x28, 0x0a, 0x0d])
        }
        ("POST", path) if path.ends_with("/audio/transcriptions") => {
            Reply::json(200, json!({ "text": "Hello." }))
        }
        ("POST", path) if path.ends_with("/moderations") => Reply::json(
            200,
            json!({ "id": "modr-1", "model": body["model"], "results": [{ "flagged": false, "categories": {}, "category_scores": {} }] }),
        ),
        ("POST", path) if path.ends_with("/files") => Reply::json(200, file(seen)),
        ("GET", path) if path.ends_with("/content") => {
            Reply::status(200).body("application/octet-stream", vec![0, 159, 146, 150])
        }
        ("GET" | "DELETE", path) if path.contains("/files/file-") => Reply::json(200, file(seen)),
        _ => Reply::json(
            200,
            json!({ "object": "echo", "path": seen.path, "method": seen.method }),
        ),
    };
    reply
        .header("x-request-id", "upstream-request-id")
        .header("request-id", "upstream-request-id")
        .header("openai-organization", "org-upstream-secret")
        .header("x-ratelimit-remaining-requests", "4242")
        .header("set-cookie", "__cf_bm=upstream-cookie")
}

fn sse(frames: &[Value]) -> Reply {
    let mut text = String::new();
    for frame in frames {
        let _ = write!(text, "data: {frame}\n\n");
    }
    text.push_str("data: [DONE]\n\n");
    Reply::stream().chunk(text).end()
}

fn named(events: &[Value]) -> Reply {
    let mut text = String::new();
    for event in events {
        let name = event["type"].as_str().unwrap_or_default();
        let _ = write!(text, "event: {name}\ndata: {event}\n\n");
    }
    Reply::stream().chunk(text).end()
}

fn tool_name(body: &Value) -> Option<&str> {
    let tool = body["tools"].get(0)?;
    tool["function"]["name"]
        .as_str()
        .or_else(|| tool["name"].as_str())
}

fn chat_usage() -> Value {
    json!({
        "prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16,
        "prompt_tokens_details": { "cached_tokens": 3 },
        "completion_tokens_details": { "reasoning_tokens": 2 },
    })
}

fn chat(body: &Value) -> Value {
    let (message, reason) = match tool_name(body) {
        Some(name) => (
            json!({ "role": "assistant", "content": null, "tool_calls": [{
                "id": "call_1", "type": "function", "function": { "name": name, "arguments": "{\"city\":\"Ulm\"}" },
            }] }),
            "tool_calls",
        ),
        None => (
            json!({ "role": "assistant", "content": "Hello there.", "refusal": null }),
            "stop",
        ),
    };
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": body["model"],
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": reason }],
        "usage": chat_usage(),
    })
}

fn chat_stream(body: &Value) -> Vec<Value> {
    let usage = body["stream_options"]["include_usage"] == true;
    let chunk = |choices: Value, last: bool| {
        let mut chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": body["model"],
            "choices": choices,
        });
        if usage {
            chunk["usage"] = if last { chat_usage() } else { Value::Null };
        }
        chunk
    };
    let delta = |delta: Value, reason: Value| {
        chunk(
            json!([{ "index": 0, "delta": delta, "finish_reason": reason }]),
            false,
        )
    };
    let mut chunks = match tool_name(body) {
        Some(name) => vec![
            delta(
                json!({ "role": "assistant", "content": null, "tool_calls": [{ "index": 0, "id": "call_1", "type": "function", "function": { "name": name, "arguments": "" } }] }),
                Value::Null,
            ),
            delta(
                json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"city\":" } }] }),
                Value::Null,
            ),
            delta(
                json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "\"Ulm\"}" } }] }),
                Value::Null,
            ),
            delta(json!({}), json!("tool_calls")),
        ],
        None => vec![
            delta(json!({ "role": "assistant", "content": "" }), Value::Null),
            delta(json!({ "content": "Hello " }), Value::Null),
            delta(json!({ "content": "there." }), Value::Null),
            delta(json!({}), json!("stop")),
        ],
    };
    if usage {
        chunks.push(chunk(json!([]), true));
    }
    chunks
}

fn completion(body: &Value) -> Value {
    json!({
        "id": "cmpl-1", "object": "text_completion", "created": 1_790_000_000, "model": body["model"],
        "choices": [{ "index": 0, "text": "Hello there.", "logprobs": null, "finish_reason": "stop" }],
        "usage": chat_usage(),
    })
}

fn completion_stream(body: &Value) -> Vec<Value> {
    let chunk = |text: &str, reason: Value| {
        json!({
            "id": "cmpl-1", "object": "text_completion", "created": 1_790_000_000, "model": body["model"],
            "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": reason }],
        })
    };
    let mut chunks = vec![chunk("Hello ", Value::Null), chunk("there.", json!("stop"))];
    if body["stream_options"]["include_usage"] == true {
        let mut last = chunk("", Value::Null);
        last["choices"] = json!([]);
        last["usage"] = chat_usage();
        chunks.push(last);
    }
    chunks
}

fn embeddings(body: &Value) -> Value {
    let count = match &body["input"] {
        Value::Array(items) if !items.iter().all(Value::is_number) => items.len(),
        _ => 1,
    };
    // 0.5 and -1.0 as little-endian f32.
    let vector = if body["encoding_format"] == "base64" {
        json!("AAAAPwAAgL8=")
    } else {
        json!([0.5, -1.0])
    };
    let data: Vec<Value> = (0..count)
        .map(|index| json!({ "object": "embedding", "index": index, "embedding": vector }))
        .collect();
    json!({ "object": "list", "data": data, "model": body["model"], "usage": { "prompt_tokens": 7, "total_tokens": 7 } })
}

fn message(body: &Value) -> Value {
    let (content, reason) = match tool_name(body) {
        Some(name) => (
            json!([{ "type": "tool_use", "id": "toolu_1", "name": name, "input": { "city": "Ulm" } }]),
            "tool_use",
        ),
        None => (json!([{ "type": "text", "text": "Hello there." }]), "end_turn"),
    };
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": content,
        "stop_reason": reason, "stop_sequence": null, "usage": message_usage(),
    })
}

fn message_usage() -> Value {
    json!({ "input_tokens": 8, "output_tokens": 5, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 2 })
}

fn message_stream(body: &Value) -> Vec<Value> {
    let mut start = message(body);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let (block, deltas, reason) = match tool_name(body) {
        Some(name) => (
            json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": {} }),
            vec![
                json!({ "type": "input_json_delta", "partial_json": "{\"city\":" }),
                json!({ "type": "input_json_delta", "partial_json": "\"Ulm\"}" }),
            ],
            "tool_use",
        ),
        None => (
            json!({ "type": "text", "text": "" }),
            vec![
                json!({ "type": "text_delta", "text": "Hello " }),
                json!({ "type": "text_delta", "text": "there." }),
            ],
            "end_turn",
        ),
    };
    let mut events = vec![
        json!({ "type": "message_start", "message": start }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "ping" }),
    ];
    for delta in deltas {
        events.push(json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    }
    events.push(json!({ "type": "content_block_stop", "index": 0 }));
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 5 } }));
    events.push(json!({ "type": "message_stop" }));
    events
}

fn response_usage() -> Value {
    json!({
        "input_tokens": 11, "input_tokens_details": { "cached_tokens": 3 },
        "output_tokens": 5, "output_tokens_details": { "reasoning_tokens": 2 }, "total_tokens": 16,
    })
}

/// An id that tells which credential made it, so that a test sees where a follow-up went.
fn response_id(seen: &Seen) -> String {
    format!(
        "resp_{}_{}_{}",
        seen.credential(),
        seen.connection,
        seen.body.len()
    )
}

fn response(body: &Value, seen: &Seen) -> Value {
    let item = match tool_name(body) {
        Some(name) => {
            json!({ "id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": name, "arguments": "{\"city\":\"Ulm\"}" })
        }
        None => {
            json!({ "id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [{ "type": "output_text", "text": "Hello there.", "annotations": [] }] })
        }
    };
    json!({
        "id": response_id(seen), "object": "response", "created_at": 1_790_000_000, "status": "completed", "model": body["model"],
        "output": [item], "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "error": null,
        "incomplete_details": null, "usage": response_usage(),
    })
}

fn response_stream(body: &Value, seen: &Seen) -> Vec<Value> {
    let done = response(body, seen);
    let mut open = done.clone();
    open["status"] = json!("in_progress");
    open["output"] = json!([]);
    open["usage"] = Value::Null;
    let item = done["output"][0].clone();
    let mut added = item.clone();
    added["status"] = json!("in_progress");
    let mut events = vec![
        json!({ "type": "response.created", "response": open }),
        json!({ "type": "response.in_progress", "response": open }),
    ];
    if item["type"] == "message" {
        added["content"] = json!([]);
        let at = |kind: &str, more: Value| {
            let mut event =
                json!({ "type": kind, "item_id": "msg_1", "output_index": 0, "content_index": 0 });
            for (name, value) in more.as_object().into_iter().flatten() {
                event[name] = value.clone();
            }
            event
        };
        let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [] });
        events.push(json!({ "type": "response.output_item.added", "output_index": 0, "item": added }));
        events.push(at("response.content_part.added", json!({ "part": part("") })));
        events.push(at(
            "response.output_text.delta",
            json!({ "delta": "Hello ", "logprobs": [] }),
        ));
        events.push(at(
            "response.output_text.delta",
            json!({ "delta": "there.", "logprobs": [] }),
        ));
        events.push(at(
            "response.output_text.done",
            json!({ "text": "Hello there.", "logprobs": [] }),
        ));
        events.push(at(
            "response.content_part.done",
            json!({ "part": part("Hello there.") }),
        ));
    } else {
        added["arguments"] = json!("");
        events.push(json!({ "type": "response.output_item.added", "output_index": 0, "item": added }));
        events.push(json!({ "type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0, "delta": "{\"city\":\"Ulm\"}" }));
        events.push(json!({ "type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 0, "arguments": "{\"city\":\"Ulm\"}", "name": item["name"] }));
    }
    events.push(json!({ "type": "response.output_item.done", "output_index": 0, "item": item }));
    events.push(json!({ "type": "response.completed", "response": done }));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events
}

fn stored_response(seen: &Seen, path: &str) -> Reply {
    let id = path
        .split('/')
        .find(|part| part.starts_with("resp_"))
        .unwrap_or_default();
    // Like the vendor, this knows only what its own account made.
    if !id.starts_with(&format!("resp_{}_", seen.credential())) {
        return Reply::error(404, "invalid_request_error", "not_found", "No such response.");
    }
    match seen.method.as_str() {
        "DELETE" => Reply::json(200, json!({ "id": id, "object": "response", "deleted": true })),
        _ if path.ends_with("/input_items") => Reply::json(
            200,
            json!({ "object": "list", "data": [], "first_id": "", "last_id": "", "has_more": false }),
        ),
        _ => {
            let mut answer = response(&json!({ "model": "m" }), seen);
            answer["id"] = json!(id);
            Reply::json(200, answer)
        }
    }
}

fn file(seen: &Seen) -> Value {
    let deleted = seen.method == "DELETE";
    json!({
        "id": format!("file-{}", seen.credential()), "object": "file", "bytes": seen.body.len(), "created_at": 1,
        "filename": "f.txt", "purpose": "assistants", "status": "processed", "deleted": deleted,
    })
}
