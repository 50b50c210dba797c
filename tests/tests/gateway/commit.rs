//! The commit point of a stream: what happens before it goes unseen, nothing after it is tried again.

use std::time::{Duration, Instant};

use harness::{Fixture, Gate, Gateway, Reply, Upstream, When, sse};
use serde_json::json;

use crate::frames::{DONE, content, finish, role};

/// Provider p with credential a, then q with b. Frames are held for at most `hold`, comments come after `quiet`. No
/// breaker and no retry budget gets in the way.
fn fixture(upstream: &Upstream, hold: &str, quiet: &str) -> Fixture {
    Fixture::pool(upstream, ["a"])
        .amend(
            "Provider",
            "p",
            "/spec/breaker",
            json!({ "consecutiveFailures": 1000 }),
        )
        .provider("q", &upstream.url("/v1"), &[])
        .credential("q", "b")
        .route(
            "r",
            &["r"],
            json!([
                { "providerRef": { "name": "p" }, "model": "m" },
                { "providerRef": { "name": "q" }, "model": "m", "priority": 1 },
            ]),
        )
        .spec("retry", json!({ "attempts": 3, "budgetPercent": 100 }))
        .spec("stream", json!({ "holdMax": hold, "keepAliveAfter": quiet }))
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
