//! Prints what a peek and a tapped frame cost: `cargo run --release -p roundhouse-dialect --example timing`.
#![expect(clippy::print_stdout, reason = "printing is all it is for")]
#![expect(clippy::cast_precision_loss, reason = "the numbers are rounded anyway")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dialect::{Api, Operation, Tap, peek, read_answer};

const CHAT: Operation = Operation::Generate(Api::ChatCompletions);

fn main() {
    let long = format!(
        r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "lorem ipsum dolor ".repeat(58_000)
    );
    report("peek, 1 MB, one long message", long.len(), || {
        black_box(peek(CHAT, black_box(long.as_bytes())).is_ok());
    });

    let mut turns = String::from(r#"{"model": "m", "stream": true, "messages": ["#);
    for turn in 0..3_500 {
        let text = "some words that were said before\\n".repeat(8);
        let _ = write!(turns, r#"{{"role": "user", "content": "{turn} {text}"}}, "#);
    }
    turns.push_str(r#"{"role": "user", "content": "é"}]}"#);
    report("peek, 1 MB, many short messages", turns.len(), || {
        black_box(peek(CHAT, black_box(turns.as_bytes())).is_ok());
    });

    let small =
        r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"stream":true,"temperature":0.5}"#;
    report("peek, a small request", small.len(), || {
        black_box(peek(CHAT, black_box(small.as_bytes())).is_ok());
    });

    let vector = "0.012345678,".repeat(80_000);
    let embeddings = format!(
        r#"{{"object":"list","data":[{{"embedding":[{vector}0]}}],"usage":{{"prompt_tokens":8,"total_tokens":8}}}}"#
    );
    report("read_answer, 1 MB of floats", embeddings.len(), || {
        black_box(
            read_answer(
                Operation::Generate(Api::Embeddings),
                black_box(embeddings.as_bytes()),
            )
            .is_ok(),
        );
    });

    let openai = r#"data: {"id":"chatcmpl-CkzXb8sZb2vWqF0a1","object":"chat.completion.chunk","created":1790000000,"model":"gpt-5","service_tier":"default","system_fingerprint":"fp_1a2b3c","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"a8Fk2"}"#;
    let tools = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"q\":1"}}]},"finish_reason":null}]}"#;
    let parsed = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
    let messages = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}";
    let responses = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":12,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\" word\",\"logprobs\":[],\"obfuscation\":\"9sdf\"}";
    frames("tap, chat content, 20 a piece", CHAT, openai, 20);
    frames("tap, chat content, one a piece", CHAT, openai, 1);
    frames("tap, chat tool arguments", CHAT, tools, 20);
    frames("tap, chat chunk that is parsed", CHAT, parsed, 20);
    frames(
        "tap, messages delta",
        Operation::Generate(Api::Messages),
        messages,
        20,
    );
    frames(
        "tap, responses delta",
        Operation::Generate(Api::Responses),
        responses,
        20,
    );
}

fn frames(name: &str, operation: Operation, frame: &str, per_piece: usize) {
    let piece = Bytes::from(format!("{frame}\n\n").repeat(per_piece));
    let mut tap = Tap::new(operation, true);
    let mut out = Vec::with_capacity(4);
    let each = measure(|| {
        out.clear();
        tap.feed(black_box(piece.clone()), &mut out);
        black_box(&out);
    });
    println!(
        "{name:<34} {:>9.0} ns a frame",
        each.as_secs_f64() * 1e9 / per_piece as f64
    );
}

fn report(name: &str, length: usize, work: impl FnMut()) {
    let each = measure(work);
    let speed = length as f64 / each.as_secs_f64() / 1e9;
    println!(
        "{name:<34} {:>9.2} µs ({speed:.1} GB/s)",
        each.as_secs_f64() * 1e6
    );
}

/// The best of several rounds, which is what the machine can do when nobody disturbs it.
fn measure(mut work: impl FnMut()) -> Duration {
    (0..20)
        .map(|_| {
            let start = Instant::now();
            let mut rounds = 0u32;
            while start.elapsed() < Duration::from_millis(20) {
                for _ in 0..10 {
                    work();
                }
                rounds += 10;
            }
            start.elapsed() / rounds
        })
        .min()
        .unwrap_or_default()
}
