use bytes::Bytes;
use dialect::{Ending, Tap, Usage};

use crate::taps::{CHAT, MESSAGES, Outcome, RESPONSES, STREAMS, frames, run, stream, whole};

#[test]
fn half_a_frame_at_the_end_is_dropped_and_a_whole_one_is_finished() {
    let start = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    for (rest, added, ending) in [
        ("data: {\"choices\":[{\"index\":0,\"del", "", Ending::Cut),
        ("data: [DONE]", "data: [DONE]\n\n", Ending::Complete),
        ("data: [DONE]\n", "data: [DONE]\n\n", Ending::Complete),
        ("data: [DONE]\r\n", "data: [DONE]\r\n\n", Ending::Complete),
        ("data: [DONE]\r", "data: [DONE]\r\r", Ending::Complete),
        ("event: x\n", "", Ending::Cut),
        (": bye", "", Ending::Cut),
    ] {
        let outcome = whole(CHAT, true, &format!("{start}{rest}"));
        assert_eq!(
            (outcome.text, outcome.ending),
            (format!("{start}{added}"), ending),
            "{rest}"
        );
    }
    let error = whole(
        CHAT,
        true,
        &format!("{start}{{\"error\":{{\"message\":\"gone\"}}}}"),
    );
    assert_eq!(
        error.failure.and_then(|failure| failure.message).as_deref(),
        Some("gone")
    );
}

#[test]
fn frames_without_data_are_dropped_and_comments_are_not() {
    let content = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let noise = "data:\n\nevent: ping\n\nid: 4\nretry: 10\n\n: alive\n\n\ndata: \r\n\r\n";
    let outcome = whole(CHAT, true, &format!("{content}{noise}{content}"));
    assert_eq!(outcome.text, format!("{content}: alive\n\n\n{content}"));
    assert_eq!(outcome.output_frames, 2);
}

#[test]
fn line_ends_of_any_kind_pass_as_they_are() {
    for line_end in ["\r\n", "\r"] {
        for (operation, text) in STREAMS {
            let expected = whole(operation, true, text);
            let outcome = whole(operation, true, &text.replace('\n', line_end));
            let added = if text == stream!("chat_no_done") {
                "data: [DONE]\n\n"
            } else {
                ""
            };
            let forwarded = expected.text.strip_suffix(added).unwrap().replace('\n', line_end) + added;
            assert_eq!(
                outcome,
                Outcome {
                    text: forwarded,
                    ..expected
                }
            );
        }
    }
}

#[test]
fn frames_that_arrive_together_leave_as_one_slice_of_what_arrived() {
    let piece = Bytes::from_static(stream!("messages_text").as_bytes());
    let mut out = Vec::new();
    Tap::new(MESSAGES, true).feed(piece.clone(), &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), piece.as_ptr());

    out.clear();
    Tap::new(CHAT, true).feed(Bytes::from_static(stream!("chat_openai").as_bytes()), &mut out);
    assert_eq!(out.len(), 2, "one slice on each side of the usage chunk");
}

#[test]
fn a_frame_is_withheld_until_it_is_whole() {
    let mut tap = Tap::new(CHAT, true);
    let mut out = Vec::new();
    tap.feed(
        Bytes::from_static(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xc3"),
        &mut out,
    );
    assert!(out.is_empty() && tap.at_boundary() && !tap.has_content());
    tap.feed(Bytes::from_static(b"\xa9\"}}]}\n"), &mut out);
    assert!(out.is_empty());
    tap.feed(Bytes::from_static(b"\ndata: "), &mut out);
    assert_eq!(
        out.concat(),
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é\"}}]}\n\n".as_bytes()
    );
    assert!(tap.has_content());
}

#[test]
fn an_endless_line_streams_through() {
    let mut tap = Tap::new(CHAT, true);
    let mut out = Vec::new();
    let mut sent = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"".to_vec();
    tap.feed(Bytes::copy_from_slice(&sent), &mut out);
    let block = Bytes::from(vec![b'x'; 16 * 1024]);
    for _ in 0..640 {
        tap.feed(block.clone(), &mut out);
        sent.extend_from_slice(&block);
    }
    let passed: usize = out.iter().map(Bytes::len).sum();
    assert_eq!(passed, sent.len(), "what is too long to hold is not held");
    assert!(tap.has_content() && !tap.at_boundary());
    let rest = "\"}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\ndata: [DONE]\n\n";
    tap.feed(Bytes::from_static(rest.as_bytes()), &mut out);
    sent.extend_from_slice(rest.as_bytes());
    assert!(out.concat() == sent, "all of it arrives");
    assert_eq!(
        tap.usage(),
        Some(Usage {
            input: 5,
            output: 6,
            ..Usage::default()
        })
    );
    assert!(tap.is_finished() && tap.at_boundary());
    assert_eq!(tap.output_frames(), 1);
}

#[test]
fn a_last_event_that_is_too_long_still_ends_the_stream() {
    let head =
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[\"";
    let tail = "\"],\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n";
    let text = format!("{head}{}{tail}", "x".repeat(2 << 20));
    for size in [usize::MAX, 100_000] {
        let outcome = run(RESPONSES, true, text.as_bytes().chunks(size.min(text.len())));
        assert!(outcome.text == text);
        assert_eq!(outcome.ending, Ending::Complete);
        assert_eq!(
            outcome.usage,
            Some(Usage {
                input: 3,
                output: 4,
                ..Usage::default()
            })
        );
    }
}

#[test]
fn ids_are_reported_once() {
    let mut tap = Tap::new(RESPONSES, true);
    let mut out = Vec::new();
    let frames = frames(stream!("responses_text"));
    tap.feed(Bytes::copy_from_slice(frames[0].as_bytes()), &mut out);
    assert_eq!(tap.object_ids(), ["resp_68af", "conv_7"]);
    tap.feed(Bytes::copy_from_slice(frames[1..].concat().as_bytes()), &mut out);
    assert_eq!(tap.object_ids(), [""; 0]);
}
