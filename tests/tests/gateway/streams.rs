//! Streams: bytes, usage, the commit point, keep-alives and ends.

use std::time::{Duration, Instant};

use harness::{Fixture, Gateway, Reply, Upstream, When, sse};
use serde_json::{Value, json};

use crate::frames::{DONE, content, delta, finish, role, usage};

fn stream_body(more: &Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [], "stream": true });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_streams_bytes_are_the_upstreams_however_they_arrive() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let text = format!(
        "{}{}: a comment\n\n{}data: {{ \"odd\" : [ 1.0 ], \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"\\u00e9 ü 😀\"}}}}] }}\r\n\r\n{}{}{DONE}",
        role(),
        content("Grüße "),
        delta(&json!({ "reasoning_content": "hmm", "x_vendor": { "a": null } })),
        finish(),
        usage(3, 4),
    );
    let bytes = text.clone().into_bytes();
    for (how, reply) in [
        ("at once", Reply::stream().chunk(bytes.clone()).end()),
        (
            "byte by byte",
            Reply::stream().byte_by_byte(bytes.clone(), Duration::ZERO).end(),
        ),
        (
            "in pieces of 7",
            bytes
                .chunks(7)
                .fold(Reply::stream(), |reply, piece| reply.chunk(piece.to_vec()))
                .end(),
        ),
    ] {
        upstream.once(When::any(), reply);
        let body = stream_body(&json!({ "stream_options": { "include_usage": true } }));
        let answer = gateway
            .client()
            .post("/v1/chat/completions", &body)
            .await
            .expect(200);
        assert_eq!(answer.text(), text, "{how}");
        assert_eq!(upstream.last().json(), body, "nothing to ask for");
    }
    // Each of the three is counted in full.
    let metrics = gateway
        .metrics_when("tokens of three streams", |metrics| {
            metrics.sum("roundhouse_tokens_total", &[("type", "output")]) >= 12.0
        })
        .await;
    metrics.expect("roundhouse_tokens_total", &[("type", "input")], 9.0);
    metrics.expect("roundhouse_tokens_total", &[("type", "output")], 12.0);
}

#[tokio::test]
async fn usage_is_asked_for_and_taken_out_again() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    for (body, shown) in [
        (stream_body(&json!({})), false),
        (
            stream_body(&json!({ "stream_options": { "include_usage": false } })),
            false,
        ),
        (
            stream_body(&json!({ "stream_options": { "include_obfuscation": false } })),
            false,
        ),
        (
            stream_body(&json!({ "stream_options": { "include_usage": true } })),
            true,
        ),
    ] {
        let frames = gateway
            .client()
            .post("/v1/chat/completions", &body)
            .await
            .frames();
        assert_eq!(
            upstream.last().json()["stream_options"]["include_usage"],
            true,
            "{body}"
        );
        let kept = &upstream.last().json()["stream_options"]["include_obfuscation"];
        assert_eq!(kept, &body["stream_options"]["include_obfuscation"]);
        let with_usage = frames
            .iter()
            .filter(|frame| frame.json()["usage"].is_object())
            .count();
        assert_eq!(with_usage, usize::from(shown), "{body}: {frames:?}");
        assert!(
            shown
                || frames
                    .iter()
                    .all(|frame| frame.data == "[DONE]" || frame.json()["choices"][0].is_object()),
            "old clients index choices[0]: {frames:?}"
        );
        assert_eq!(sse::chat_text(&frames), "Hello there.");
        assert_eq!(frames.last().unwrap().data, "[DONE]");
    }
    let metrics = gateway
        .metrics_when("tokens of four streams", |metrics| {
            metrics.sum("roundhouse_tokens_total", &[("type", "output")]) >= 20.0
        })
        .await;
    metrics.expect("roundhouse_tokens_total", &[("type", "input")], 44.0);
    metrics.expect("roundhouse_tokens_total", &[("type", "cached")], 12.0);
    metrics.expect("roundhouse_tokens_total", &[("type", "reasoning")], 8.0);
}

#[tokio::test]
async fn stream_headers_keep_proxies_from_buffering() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let answer = gateway.client().chat_stream("m").await.finish().await;
    assert!(answer.header("content-type").starts_with("text/event-stream"));
    assert!(
        answer.header("cache-control").contains("no-cache"),
        "{:?}",
        answer.headers
    );
    assert_eq!(answer.header("x-accel-buffering"), "no");
    assert_eq!(answer.header("content-encoding"), "");
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn cut_streams_end_in_the_words_of_their_dialect() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let event = |name: &str, mut data: Value| {
        data["type"] = json!(name);
        format!("event: {name}\ndata: {data}\n\n")
    };
    let response = json!({ "id": "resp_a_x", "object": "response", "status": "in_progress", "output": [] });
    upstream.once(
        When::any(),
        Reply::stream()
            .chunk(event("response.created", json!({ "sequence_number": 0, "response": response })))
            .chunk(event("response.output_text.delta", json!({ "sequence_number": 1, "item_id": "i", "output_index": 0, "content_index": 0, "delta": "Hel" })))
            .cut(),
    );
    let body = json!({ "model": "m", "input": "x", "stream": true });
    let frames = gateway.client().post("/v1/responses", &body).await.frames();
    let last = frames.iter().rev().find(|frame| frame.data != "[DONE]").unwrap();
    assert_eq!(last.event.as_deref(), Some("response.failed"), "{frames:?}");
    assert_eq!(last.json()["type"], "response.failed");
    assert!(
        last.json()["response"]["error"]["message"].is_string(),
        "{frames:?}"
    );
    assert!(
        last.json()["sequence_number"].as_u64() > Some(1),
        "numbers go on: {frames:?}"
    );

    let claude = Upstream::start().await;
    let gateway = Gateway::start(Fixture::anthropic(&claude, ["a"])).await;
    claude.once(
        When::any(),
        Reply::stream()
            .chunk(event("message_start", json!({ "message": { "id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": { "input_tokens": 3, "output_tokens": 1 } } })))
            .chunk(event("content_block_start", json!({ "index": 0, "content_block": { "type": "text", "text": "" } })))
            .chunk(event("content_block_delta", json!({ "index": 0, "delta": { "type": "text_delta", "text": "Hel" } })))
            .cut(),
    );
    let body = json!({ "model": "claude-m", "max_tokens": 9, "messages": [], "stream": true });
    let frames = gateway.client().post("/v1/messages", &body).await.frames();
    let last = frames.last().unwrap();
    assert_eq!(last.event.as_deref(), Some("error"), "{frames:?}");
    assert_eq!(last.json()["type"], "error");
    assert!(last.json()["error"]["type"].is_string(), "{frames:?}");
    assert!(
        frames
            .iter()
            .all(|frame| frame.event.as_deref() != Some("message_stop")),
        "{frames:?}"
    );
}

#[tokio::test]
async fn nothing_after_done_reaches_the_client_and_its_body_ends_at_once() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let whole = || Reply::stream().chunk(format!("{}{}{DONE}", content("x"), finish()));
    for (how, reply) in [
        ("more frames", whole().chunk(content("surplus")).end()),
        (
            "in the same piece",
            Reply::stream()
                .chunk(format!(
                    "{}{}{DONE}{}",
                    content("x"),
                    finish(),
                    content("surplus")
                ))
                .end(),
        ),
        ("an upstream that never closes", whole().hang()),
    ] {
        upstream.once(When::any(), reply);
        let started = Instant::now();
        let answer = gateway.client().chat_stream("m").await.finish().await.expect(200);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{how}: {:?}",
            started.elapsed()
        );
        assert!(answer.text().ends_with(DONE), "{how}: {}", answer.text());
        assert!(!answer.text().contains("surplus"), "{how}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_upstream_and_leaves_a_record() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::stream()
            .chunk(usage(7, 0))
            .forever(content("more "), Duration::from_millis(10)),
    );
    let fixture =
        Fixture::pool(&upstream, ["a"]).amend("Credential", "a", "/spec/limits", json!({ "concurrency": 1 }));
    let gateway = Gateway::start(fixture).await;
    let mut stream = gateway.client().chat_stream("m").await;
    stream.until("more ").await;
    drop(stream);
    upstream.until_gone().await;
    let metrics = gateway
        .metrics_when("the call is settled", |metrics| {
            metrics.is("roundhouse_credential_in_flight", &[("credential", "a")], 0.0)
                && metrics.is("roundhouse_open_streams", &[], 0.0)
                && metrics.is("roundhouse_requests_total", &[], 1.0)
        })
        .await;
    metrics.expect("roundhouse_requests_total", &[("outcome", "success")], 0.0);
    upstream.behave();
    gateway.client().chat("m").await.expect(200);
}

#[tokio::test]
async fn a_stream_that_stalls_ends_after_its_idle_timeout() {
    let upstream = Upstream::start().await;
    upstream.on(When::any(), Reply::stream().chunk(content("Hel")).hang());
    let fixture =
        Fixture::pool(&upstream, ["a"]).amend("Provider", "p", "/spec/timeouts", json!({ "idle": "500ms" }));
    let gateway = Gateway::start(fixture).await;
    let frames = gateway.client().chat_stream("m").await.finish().await.frames();
    assert_eq!(sse::chat_text(&frames), "Hel");
    assert!(frames[frames.len() - 2].json()["error"].is_object(), "{frames:?}");
    upstream.until_gone().await;
}

#[tokio::test]
async fn a_call_ends_after_its_total_timeout() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::stream().forever(content("more "), Duration::from_millis(20)),
    );
    let fixture =
        Fixture::pool(&upstream, ["a"]).amend("Provider", "p", "/spec/timeouts", json!({ "total": "1s" }));
    let gateway = Gateway::start(fixture).await;
    let started = Instant::now();
    let frames = gateway.client().chat_stream("m").await.finish().await.frames();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(
        frames[frames.len() - 2].json()["error"].is_object(),
        "{:?}",
        frames.last()
    );
}

#[tokio::test]
async fn a_slow_client_slows_the_upstream_instead_of_filling_memory() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::stream().forever(content(&"x".repeat(60_000)), Duration::ZERO),
    );
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    gateway.client().chat("m").await;
    let before = gateway.memory();
    let mut stream = gateway.client().chat_stream("m").await;
    stream.until("xxx").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = gateway.memory().saturating_sub(before);
    assert!(
        grown < 64 << 20,
        "{grown} bytes more while the client reads nothing"
    );
}
