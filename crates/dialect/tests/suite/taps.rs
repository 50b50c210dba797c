use bytes::Bytes;
use dialect::{Api, Ending, Operation, Passthrough, Refusal, RefusalKind, Retry, Tap, Usage};

pub(crate) const CHAT: Operation = Operation::Generate(Api::ChatCompletions);
pub(crate) const COMPLETIONS: Operation = Operation::Generate(Api::Completions);
pub(crate) const RESPONSES: Operation = Operation::Generate(Api::Responses);
pub(crate) const MESSAGES: Operation = Operation::Generate(Api::Messages);
pub(crate) const AUDIO: Operation = Operation::Passthrough(Passthrough::Audio);

macro_rules! stream {
    ($name:literal) => {
        include_str!(concat!("../../fixtures/streams/", $name, ".sse"))
    };
}

pub(crate) const STREAMS: [(Operation, &str); 21] = [
    (CHAT, stream!("chat_openai")),
    (CHAT, stream!("chat_azure")),
    (CHAT, stream!("chat_tools")),
    (CHAT, stream!("chat_deepseek")),
    (CHAT, stream!("chat_two_choices")),
    (CHAT, stream!("chat_no_done")),
    (CHAT, stream!("chat_error_object")),
    (CHAT, stream!("chat_error_string")),
    (CHAT, stream!("chat_error_event")),
    (CHAT, stream!("chat_error_openrouter")),
    (CHAT, stream!("chat_error_bare")),
    (CHAT, stream!("chat_error_vllm")),
    (COMPLETIONS, stream!("completions")),
    (RESPONSES, stream!("responses_text")),
    (RESPONSES, stream!("responses_call")),
    (RESPONSES, stream!("responses_failed")),
    (RESPONSES, stream!("responses_error")),
    (MESSAGES, stream!("messages_text")),
    (MESSAGES, stream!("messages_tool")),
    (MESSAGES, stream!("messages_error")),
    (AUDIO, stream!("audio_speech")),
];

pub(crate) use stream;

/// Everything that a tap gives and knows at the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) usage: Option<Usage>,
    pub(crate) output_frames: u64,
    pub(crate) has_content: bool,
    pub(crate) is_finished: bool,
    pub(crate) failure: Option<Refusal>,
    pub(crate) object_ids: Vec<String>,
    pub(crate) ending: Ending,
}

pub(crate) fn run<'a>(
    operation: Operation,
    hide_usage: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut tap = Tap::new(operation, hide_usage);
    let mut out = Vec::new();
    for piece in pieces {
        tap.feed(Bytes::copy_from_slice(piece), &mut out);
    }
    let is_finished = tap.is_finished();
    let ending = tap.end(&mut out);
    Outcome {
        text: String::from_utf8(out.concat()).expect("only whole characters come out"),
        usage: tap.usage(),
        output_frames: tap.output_frames(),
        has_content: tap.has_content(),
        is_finished,
        failure: tap.failure(),
        object_ids: tap.object_ids(),
        ending,
    }
}

pub(crate) fn whole(operation: Operation, hide_usage: bool, text: &str) -> Outcome {
    run(operation, hide_usage, [text.as_bytes()])
}

/// The frames of a stream with LF line ends.
pub(crate) fn frames(text: &str) -> Vec<&str> {
    text.split_inclusive("\n\n").collect()
}

/// The number of the frame that commits the answer.
fn commit(operation: Operation, text: &str) -> Option<usize> {
    let mut tap = Tap::new(operation, true);
    let mut out = Vec::new();
    frames(text).into_iter().position(|frame| {
        tap.feed(Bytes::copy_from_slice(frame.as_bytes()), &mut out);
        tap.has_content()
    })
}

#[test]
fn an_answer_passes_unchanged_and_tells_what_it_cost() {
    let used = |input, cached, cache_write, output, reasoning| {
        Some(Usage {
            input,
            cached,
            cache_write,
            output,
            reasoning,
        })
    };
    let cases = [
        (
            CHAT,
            stream!("chat_openai"),
            used(1200, 1024, 64, 48, 32),
            3,
            &[][..],
        ),
        (CHAT, stream!("chat_azure"), used(9, 0, 0, 1, 0), 1, &[]),
        (CHAT, stream!("chat_tools"), used(9, 0, 0, 4, 0), 4, &[]),
        (CHAT, stream!("chat_deepseek"), used(20, 16, 0, 5, 3), 3, &[]),
        (COMPLETIONS, stream!("completions"), used(3, 0, 0, 2, 0), 2, &[]),
        (
            RESPONSES,
            stream!("responses_text"),
            used(36, 8, 0, 87, 64),
            2,
            &["resp_68af", "conv_7"],
        ),
        (
            RESPONSES,
            stream!("responses_call"),
            used(36, 8, 0, 87, 64),
            2,
            &["resp_68af"],
        ),
        (
            MESSAGES,
            stream!("messages_text"),
            used(3210, 3000, 200, 15, 4),
            2,
            &[],
        ),
        (MESSAGES, stream!("messages_tool"), used(472, 0, 0, 89, 0), 2, &[]),
    ];
    for (operation, text, usage, output_frames, ids) in cases {
        let expected = Outcome {
            text: text.to_owned(),
            usage,
            output_frames,
            has_content: true,
            is_finished: true,
            failure: None,
            object_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ending: Ending::Complete,
        };
        assert_eq!(whole(operation, false, text), expected);
    }
    let audio = whole(AUDIO, true, stream!("audio_speech"));
    assert_eq!(audio.text, stream!("audio_speech"));
    assert_eq!(
        (audio.usage, audio.ending),
        (used(14, 0, 0, 101, 0), Ending::Complete)
    );
}

#[test]
fn usage_inside_a_choice_counts_and_stays() {
    let text = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",",
        "\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":2}}]}\n\ndata: [DONE]\n\n"
    );
    let outcome = whole(CHAT, true, text);
    assert_eq!(
        outcome.usage,
        Some(Usage {
            input: 8,
            output: 2,
            ..Usage::default()
        })
    );
    assert_eq!(outcome.text, text);
}

#[test]
fn a_zero_in_a_later_report_does_not_undo_a_count() {
    let text =
        stream!("messages_text").replace("\"usage\":{\"output", "\"usage\":{\"input_tokens\":0,\"output");
    assert_ne!(text, stream!("messages_text"));
    assert_eq!(
        whole(MESSAGES, true, &text).usage.map(|usage| usage.input),
        Some(3210)
    );
}

#[test]
fn usage_that_only_the_gateway_asked_for_is_taken_out_again() {
    for (operation, text, position) in [
        (CHAT, stream!("chat_openai"), Some(5)),
        (CHAT, stream!("chat_tools"), Some(5)),
        (COMPLETIONS, stream!("completions"), Some(4)),
        // Azure's report on the prompt has no choices either, and stays.
        (CHAT, stream!("chat_azure"), Some(5)),
        // Usage beside a choice stays.
        (CHAT, stream!("chat_deepseek"), None),
        (RESPONSES, stream!("responses_text"), None),
    ] {
        let mut expected = frames(text);
        if let Some(position) = position {
            expected.remove(position);
        }
        let outcome = whole(operation, true, text);
        assert_eq!(outcome.text, expected.concat());
        assert!(outcome.usage.is_some());
    }
}

#[test]
fn the_first_frame_with_something_in_it_commits_the_answer() {
    for (operation, text, expected) in [
        (CHAT, stream!("chat_openai"), Some(1)),
        (CHAT, stream!("chat_azure"), Some(2)),
        (CHAT, stream!("chat_tools"), Some(0)),
        (CHAT, stream!("chat_deepseek"), Some(2)),
        (CHAT, stream!("chat_error_object"), None),
        (CHAT, stream!("chat_error_openrouter"), None),
        (COMPLETIONS, stream!("completions"), Some(1)),
        (RESPONSES, stream!("responses_text"), Some(5)),
        (RESPONSES, stream!("responses_call"), Some(1)),
        (RESPONSES, stream!("responses_failed"), None),
        (MESSAGES, stream!("messages_text"), Some(3)),
        (MESSAGES, stream!("messages_tool"), Some(1)),
        (MESSAGES, stream!("messages_error"), None),
        (AUDIO, stream!("audio_speech"), Some(0)),
    ] {
        assert_eq!(commit(operation, text), expected, "{text}");
    }
}

#[test]
fn every_kind_of_content_commits() {
    for (delta, commits) in [
        (r#"{"role":"assistant"}"#, false),
        (r#"{"role":"assistant","content":""}"#, false),
        (
            r#"{"content":null,"refusal":null,"tool_calls":[],"function_call":null}"#,
            false,
        ),
        ("null", false),
        (r#"{"content":"x"}"#, true),
        (r#"{"content":" "}"#, true),
        (r#"{"refusal":"no"}"#, true),
        (r#"{"reasoning":"x"}"#, true),
        (r#"{"reasoning_content":"x"}"#, true),
        (r#"{"tool_calls":[{"index":0}]}"#, true),
        (r#"{"function_call":{"name":"x"}}"#, true),
        (r#"{"audio":{"id":"x"}}"#, true),
        (r#"{"images":[{"url":"x"}]}"#, true),
    ] {
        let frame = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
        assert_eq!(commit(CHAT, &frame), commits.then_some(0), "{delta}");
    }
    let zeros =
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}],\"usage\":{\"prompt_tokens\":0}}\n\n";
    assert_eq!(commit(CHAT, zeros), None, "zeros only announce usage");
    assert_eq!(commit(CHAT, &zeros.replace(":0", ":7")), Some(0));
}

#[test]
fn an_error_inside_a_200_is_read_and_withheld() {
    let cases = [
        (
            CHAT,
            stream!("chat_error_object"),
            RefusalKind::ServerError,
            500,
            None,
            1,
        ),
        (
            CHAT,
            stream!("chat_error_string"),
            RefusalKind::Unrecognised,
            502,
            None,
            1,
        ),
        (
            CHAT,
            stream!("chat_error_event"),
            RefusalKind::RateLimited,
            429,
            Some(1500),
            1,
        ),
        (
            CHAT,
            stream!("chat_error_openrouter"),
            RefusalKind::ServerError,
            502,
            None,
            1,
        ),
        (
            CHAT,
            stream!("chat_error_bare"),
            RefusalKind::ServerError,
            500,
            None,
            1,
        ),
        (
            CHAT,
            stream!("chat_error_vllm"),
            RefusalKind::ContextTooLong,
            400,
            None,
            0,
        ),
        (
            RESPONSES,
            stream!("responses_failed"),
            RefusalKind::RateLimited,
            429,
            Some(11_054),
            1,
        ),
        (
            RESPONSES,
            stream!("responses_error"),
            RefusalKind::ServerError,
            500,
            None,
            1,
        ),
        (
            MESSAGES,
            stream!("messages_error"),
            RefusalKind::Overloaded,
            503,
            None,
            2,
        ),
    ];
    for (operation, text, kind, status, wait, passed) in cases {
        let outcome = whole(operation, true, &format!("{text}data: {{}}\n\n"));
        let failure = outcome.failure.expect(text);
        assert_eq!((failure.kind, failure.status), (kind, status), "{text}");
        let wait = wait.map(|wait| Retry::After(std::time::Duration::from_millis(wait)));
        assert_eq!(failure.retry, wait, "{text}");
        assert!(failure.message.is_some(), "{text}");
        let error_type = failure.error_type.as_deref();
        assert!(
            error_type.is_none_or(|name| name != "error" && !name.contains('.')),
            "{text}"
        );
        assert_eq!(outcome.text, frames(text)[..passed].concat());
        assert_eq!(outcome.ending, Ending::Cut);
        assert!(!outcome.is_finished);
    }
}

#[test]
fn what_is_no_chunk_is_a_failure_and_not_passed_on() {
    for data in [
        "Internal Server Error",
        "<html>",
        "[1]",
        "{\"choices\":[",
        "{\"message\":\"no\",\"code\":1}",
        "{\"detail\":\"no\"}",
    ] {
        let outcome = whole(CHAT, true, &format!("data: {data}\n\n"));
        assert_eq!(outcome.text, "");
        assert!(outcome.failure.is_some(), "{data}");
    }
}

#[test]
fn nothing_follows_the_frame_that_ends_the_stream() {
    for (operation, text) in STREAMS {
        let alone = whole(operation, true, text);
        let followed = whole(
            operation,
            true,
            &format!("{text}data: {{\"error\":{{}}}}\n\nrubbish"),
        );
        if alone.is_finished {
            assert_eq!(followed, alone);
        }
    }
}

#[test]
fn a_stream_that_lacks_its_end_is_cut() {
    for (operation, text) in STREAMS {
        let mut kept = frames(text);
        kept.pop();
        if [CHAT, COMPLETIONS, AUDIO].contains(&operation) {
            continue;
        }
        assert_eq!(
            whole(operation, true, &kept.concat()).ending,
            Ending::Cut,
            "{text}"
        );
    }
    assert_eq!(
        whole(CHAT, true, stream!("chat_two_choices")).ending,
        Ending::Cut,
        "one choice goes on"
    );
    assert_eq!(whole(CHAT, true, "").ending, Ending::Cut);
    assert_eq!(whole(AUDIO, true, "").ending, Ending::Cut);
    assert_eq!(whole(AUDIO, true, "data: {}\n\ndata: {").ending, Ending::Cut);
}

#[test]
fn a_chat_whose_choices_have_all_ended_needs_no_done() {
    let outcome = whole(CHAT, true, stream!("chat_no_done"));
    assert_eq!(outcome.ending, Ending::Complete);
    assert_eq!(
        outcome.text,
        format!("{}data: [DONE]\n\n", stream!("chat_no_done"))
    );
}
