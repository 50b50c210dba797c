use bytes::Bytes;
use dialect::{
    Api, Dialect, Failure, FailureKind, Operation, Passthrough, Tap, encode_failure, encode_stream_failure,
};

const FAILURE: Failure<'_> = Failure {
    status: 429,
    kind: FailureKind::RateLimit,
    code: Some("credentials_resting"),
    message: "all \"credentials\" rest",
    param: None,
    request_id: "req_1",
};

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_failure_comes_in_the_envelope_of_the_dialect() {
    assert_eq!(
        text(&encode_failure(Dialect::OpenAi, &FAILURE)),
        r#"{"error":{"message":"all \"credentials\" rest","type":"rate_limit_error","param":null,"code":"credentials_resting"}}"#
    );
    assert_eq!(
        text(&encode_failure(Dialect::Anthropic, &FAILURE)),
        concat!(
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"all \"credentials\" rest","#,
            r#""details":{"error_code":"credentials_resting"}},"request_id":"req_1"}"#
        )
    );
    let spent = Failure {
        kind: FailureKind::Quota,
        code: Some("insufficient_quota"),
        ..FAILURE
    };
    assert_eq!(
        text(&encode_failure(Dialect::OpenAi, &spent)),
        r#"{"error":{"message":"all \"credentials\" rest","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#
    );
    assert_eq!(
        text(&encode_failure(Dialect::Anthropic, &spent)),
        concat!(
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"all \"credentials\" rest","#,
            r#""details":{"error_code":"insufficient_quota"}},"request_id":"req_1"}"#
        )
    );
    let plain = Failure {
        code: None,
        param: Some("model"),
        kind: FailureKind::NotFound,
        ..FAILURE
    };
    assert_eq!(
        text(&encode_failure(Dialect::OpenAi, &plain)),
        r#"{"error":{"message":"all \"credentials\" rest","type":"invalid_request_error","param":"model","code":null}}"#
    );
    assert_eq!(
        text(&encode_failure(Dialect::Anthropic, &plain)),
        r#"{"type":"error","error":{"type":"not_found_error","message":"all \"credentials\" rest"},"request_id":"req_1"}"#
    );
}

#[test]
fn a_stream_ends_as_its_clients_expect() {
    let openai = text(&encode_failure(Dialect::OpenAi, &FAILURE)).to_owned();
    let anthropic = text(&encode_failure(Dialect::Anthropic, &FAILURE)).to_owned();
    let cases = [
        (
            Operation::Generate(Api::ChatCompletions),
            format!("data: {openai}\n\ndata: [DONE]\n\n"),
        ),
        (
            Operation::Generate(Api::Completions),
            format!("data: {openai}\n\ndata: [DONE]\n\n"),
        ),
        (
            Operation::Generate(Api::Messages),
            format!("event: error\ndata: {anthropic}\n\n"),
        ),
        (
            Operation::Passthrough(Passthrough::Images),
            format!("data: {openai}\n\n"),
        ),
    ];
    for (operation, expected) in cases {
        for started in [false, true] {
            assert_eq!(
                text(&encode_stream_failure(operation, &FAILURE, started)),
                expected
            );
        }
    }
}

#[test]
fn a_response_that_has_begun_fails_under_its_own_id_and_number() {
    let mut tap = Tap::new(Operation::Generate(Api::Responses), true);
    let begun = concat!(
        "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":",
        "{\"id\":\"resp_1\",\"created_at\":17,\"model\":\"gpt-5\"}}\n\n",
        "event: response.output_text.delta\ndata: {\"sequence_number\":7,\"delta\":\"x\"}\n\n",
    );
    tap.feed(Bytes::from_static(begun.as_bytes()), &mut Vec::new());
    assert_eq!(
        text(&tap.encode_failure(&FAILURE, true)),
        concat!(
            "event: response.failed\n",
            r#"data: {"type":"response.failed","sequence_number":8,"response":{"id":"resp_1","object":"response","#,
            r#""created_at":17,"status":"failed","error":{"code":"credentials_resting","message":"all \"credentials\" rest"},"#,
            r#""incomplete_details":null,"instructions":null,"metadata":{},"model":"gpt-5","output":[],"#,
            r#""parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}"#,
            "\n\n"
        )
    );
    assert_eq!(
        text(&tap.encode_failure(&FAILURE, false)),
        concat!(
            "event: error\n",
            r#"data: {"type":"error","sequence_number":0,"code":"credentials_resting","message":"all \"credentials\" rest","#,
            r#""param":null,"error":{"message":"all \"credentials\" rest","type":"rate_limit_error","param":null,"code":"credentials_resting"}}"#,
            "\n\n"
        )
    );
}
