//! Streams: bytes, usage, the commit point, keep-alives and ends.

use std::time::{Duration, Instant};

use harness::{Fixture, Gate, Gateway, Reply, Upstream, When, sse};
use serde_json::{Value, json};

use crate::frames::{DONE, content, delta, finish, role, usage};

/// One credential each for two Providers; the route `r` falls back. Frames are held for at most `hold`, comments come
/// after `quiet`.
fn fixture(upstream: &Upstream, hold: &str, quiet: &str) -> Fixture {
    Fixture::pool(upstream, ["a", "b"])
        .route(
            "r",
            &["r"],
            json!([{ "providerRef": { "name": "p" }, "model": "m" }]),
        )
        .spec("stream", json!({ "holdMax": hold, "keepAliveAfter": quiet }))
}

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
async fn a_content_frame_never_waits() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.on(
        When::any(),
        Reply::stream()
            .chunk(content("first"))
            .until(&gate)
            .chunk(format!("{}{DONE}", finish()))
            .end(),
    );
    let gateway = Gateway::start(fixture(&upstream, "20s", "20s")).await;
    let started = Instant::now();
    let mut stream = gateway.client().chat_stream("r").await;
    stream.until("first").await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "after {:?}",
        started.elapsed()
    );
    gate.open();
    stream.finish().await.expect(200);
}

#[tokio::test]
async fn before_content_a_failed_stream_is_tried_elsewhere_unseen() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, "5s", "5s")).await;
    let error =
        json!({ "error": { "message": "overloaded", "type": "server_error", "code": null, "param": null } });
    for (how, reply) in [
        ("cut after the role", Reply::stream().chunk(role()).cut()),
        ("ended after the role", Reply::stream().chunk(role()).end()),
        (
            "reset after the role",
            Reply::stream()
                .chunk(role())
                .wait(Duration::from_millis(50))
                .reset(),
        ),
        (
            "an error frame first",
            Reply::stream().chunk(format!("data: {error}\n\n")).end(),
        ),
        (
            "an error frame after the role",
            Reply::stream()
                .chunk(role())
                .chunk(format!("data: {error}\n\n{DONE}"))
                .end(),
        ),
        ("nothing at all", Reply::stream().end()),
        ("only [DONE]", Reply::stream().chunk(DONE).end()),
    ] {
        let before = upstream.count();
        upstream.once(When::any(), reply);
        let answer = gateway.client().chat_stream("r").await.finish().await;
        assert_eq!(answer.status, 200, "{how}: {}", answer.text());
        let frames = answer.frames();
        assert_eq!(sse::chat_text(&frames), "Hello there.", "{how}: {frames:?}");
        let roles = frames
            .iter()
            .filter(|frame| frame.json()["choices"][0]["delta"]["role"].is_string())
            .count();
        assert_eq!(
            roles, 1,
            "{how}: nothing of the failed attempt is seen: {frames:?}"
        );
        assert_eq!(upstream.count() - before, 2, "{how}");
    }
}

#[tokio::test]
async fn a_rate_limit_inside_a_200_rests_the_credential() {
    let upstream = Upstream::start().await;
    let error = json!({ "error": { "message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded", "param": null } });
    upstream.on(
        When::credential("a"),
        Reply::stream().chunk(format!("data: {error}\n\n")).end(),
    );
    let gateway = Gateway::start(fixture(&upstream, "5s", "5s")).await;
    for _ in 0..4 {
        let answer = gateway.client().chat_stream("r").await.finish().await;
        assert_eq!(sse::chat_text(&answer.frames()), "Hello there.");
    }
    upstream.expect_counts(&[("a", 1), ("b", 4)]);
}

#[tokio::test]
async fn frames_without_content_are_held_only_for_a_while() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.on(
        When::any(),
        Reply::stream()
            .chunk(role())
            .until(&gate)
            .chunk(format!("{}{}{DONE}", content("x"), finish()))
            .end(),
    );
    let gateway = Gateway::start(fixture(&upstream, "300ms", "30s")).await;
    let started = Instant::now();
    let mut stream = gateway.client().chat_stream("r").await;
    stream.until("assistant").await;
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(250), "held for {waited:?}");
    assert!(waited < Duration::from_secs(5), "held for {waited:?}");
    gate.open();
    stream.finish().await.expect(200);
}

#[tokio::test]
async fn silence_is_filled_with_comments_and_failover_stays_possible() {
    let upstream = Upstream::start().await;
    upstream.once(When::any(), Reply::status(503).after(Duration::from_millis(1500)));
    let gateway = Gateway::start(fixture(&upstream, "100ms", "300ms")).await;
    let answer = gateway.client().chat_stream("r").await.finish().await;
    let frames = answer.frames();
    let comments = frames.iter().filter(|frame| frame.comment.is_some()).count();
    assert!(comments >= 1, "{frames:?}");
    assert_eq!(frames[0].data, "", "comments come first: {frames:?}");
    assert_eq!(
        sse::chat_text(&frames),
        "Hello there.",
        "the second attempt serves"
    );
    assert!(
        !answer.text().contains("data:\n") && !answer.text().contains("data: \n"),
        "never an empty event"
    );
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_failure_after_comments_is_the_dialects_error_event() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::error(400, "invalid_request_error", "invalid_value", "bad value")
            .after(Duration::from_millis(900)),
    );
    let gateway = Gateway::start(fixture(&upstream, "100ms", "200ms")).await;
    let frames = gateway.client().chat_stream("r").await.finish().await.frames();
    let events: Vec<_> = frames.iter().filter(|frame| frame.comment.is_none()).collect();
    assert_eq!(events.len(), 2, "{frames:?}");
    assert_eq!(events[0].json()["error"]["message"], "bad value", "{frames:?}");
    assert_eq!(events[1].data, "[DONE]");
}

#[tokio::test]
async fn silence_in_the_middle_is_filled_too_and_between_frames_only() {
    let upstream = Upstream::start().await;
    let half = content("second");
    let (first, second) = half.split_at(30);
    upstream.on(
        When::any(),
        Reply::stream()
            .chunk(content("first"))
            .chunk(first.to_owned())
            .wait(Duration::from_millis(900))
            .chunk(second.to_owned())
            .chunk(format!("{}{DONE}", finish()))
            .end(),
    );
    let gateway = Gateway::start(fixture(&upstream, "100ms", "200ms")).await;
    let frames = gateway.client().chat_stream("r").await.finish().await.frames();
    assert_eq!(sse::chat_text(&frames), "firstsecond", "{frames:?}");
}

#[tokio::test]
async fn a_stream_cut_after_content_ends_with_an_error_and_is_not_tried_again() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, "100ms", "30s")).await;
    let begun = || Reply::stream().chunk(role()).chunk(content("Hel"));
    let half = content("lo");
    for (how, reply) in [
        ("fin", begun().cut()),
        ("a proper end without [DONE] or finish", begun().end()),
        ("reset", begun().wait(Duration::from_millis(100)).reset()),
        (
            "half a frame",
            begun().chunk(half[..half.len() / 2].to_owned()).cut(),
        ),
        (
            "an error frame",
            begun()
                .chunk("data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n")
                .end(),
        ),
    ] {
        let before = upstream.count();
        upstream.once(When::any(), reply);
        let answer = gateway.client().chat_stream("r").await.finish_or_error().await;
        let answer = answer.unwrap_or_else(|error| panic!("{how}: the client's connection broke: {error}"));
        let frames = answer.frames();
        assert_eq!(sse::chat_text(&frames), "Hel", "{how}");
        let (error, done) = (&frames[frames.len() - 2], &frames[frames.len() - 1]);
        assert!(error.json()["error"]["message"].is_string(), "{how}: {frames:?}");
        assert_eq!(done.data, "[DONE]", "{how}");
        assert!(
            frames
                .iter()
                .all(|frame| frame.json()["choices"][0]["finish_reason"].is_null()),
            "{how}: a cut is never a success"
        );
        assert_eq!(upstream.count() - before, 1, "{how}");
    }
    gateway
        .metrics()
        .await
        .expect("roundhouse_requests_total", &[("outcome", "success")], 0.0);
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
    stream.until("more more").await;
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
