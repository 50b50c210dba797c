use dialect::{Api, NotAnAnswer, Operation, Passthrough, RefusalKind, Usage, read_answer};

const CHAT: Operation = Operation::Generate(Api::ChatCompletions);
const EMBEDDINGS: Operation = Operation::Generate(Api::Embeddings);
const RESPONSES: Operation = Operation::Generate(Api::Responses);
const MESSAGES: Operation = Operation::Generate(Api::Messages);
const FILES: Operation = Operation::Passthrough(Passthrough::Files);
const BATCHES: Operation = Operation::Passthrough(Passthrough::Batches);

#[test]
fn usage_is_read_in_every_vendors_terms() {
    let used = |input, cached, cache_write, output, reasoning| Usage {
        input,
        cached,
        cache_write,
        output,
        reasoning,
    };
    let cases = [
        (
            CHAT,
            r#"{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}"#,
            used(12, 4, 2, 3, 1),
        ),
        (
            CHAT,
            r#"{"prompt_tokens":12,"completion_tokens":3,"prompt_cache_hit_tokens":5,"prompt_tokens_details":null,"cost":0.1}"#,
            used(12, 5, 0, 3, 0),
        ),
        (
            CHAT,
            r#"{"prompt_tokens":12,"completion_tokens":3,"cached_tokens":5}"#,
            used(12, 5, 0, 3, 0),
        ),
        (
            EMBEDDINGS,
            r#"{"prompt_tokens":8,"total_tokens":8}"#,
            used(8, 0, 0, 0, 0),
        ),
        (
            Operation::Passthrough(Passthrough::Rerank),
            r#"{"total_tokens":815}"#,
            used(815, 0, 0, 0, 0),
        ),
        (
            RESPONSES,
            r#"{"input_tokens":36,"input_tokens_details":{"cached_tokens":8},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":123}"#,
            used(36, 8, 0, 87, 64),
        ),
        (
            MESSAGES,
            r#"{"input_tokens":10,"output_tokens":4,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"output_tokens_details":{"thinking_tokens":3}}"#,
            used(3210, 3000, 200, 4, 3),
        ),
    ];
    for (operation, usage, expected) in cases {
        let body = format!(r#"{{"id":"x","data":[[0.1,-2e5]],"usage":{usage}}}"#);
        assert_eq!(
            read_answer(operation, body.as_bytes()).unwrap().usage,
            Some(expected),
            "{usage}"
        );
    }
    for body in [
        r#"{"usage":null}"#,
        r#"{"usage":{"type":"duration","seconds":3}}"#,
        r#"{"input_tokens":7}"#,
    ] {
        assert_eq!(read_answer(CHAT, body.as_bytes()).unwrap().usage, None, "{body}");
    }
}

#[test]
fn ids_of_stored_objects_are_remembered_for_operations_that_make_them() {
    let cases: [(Operation, &str, &[&str]); 8] = [
        (CHAT, r#"{"id":"chatcmpl-1"}"#, &[]),
        (
            RESPONSES,
            r#"{"id":"resp_1","conversation":{"id":"conv_1"},"error":null}"#,
            &["resp_1", "conv_1"],
        ),
        (
            Operation::StoredResponse,
            r#"{"object":"list","data":[{"id":"msg_1"}]}"#,
            &[],
        ),
        (FILES, r#"{"id":"file-1","object":"file"}"#, &["file-1"]),
        (
            FILES,
            r#"{"object":"list","data":[{"id":"file-1"},{"id":"file-2"},{}]}"#,
            &["file-1", "file-2"],
        ),
        (
            BATCHES,
            r#"{"id":"batch_1","input_file_id":"file-1","output_file_id":"file-2","error_file_id":null}"#,
            &["batch_1", "file-2"],
        ),
        (
            Operation::Passthrough(Passthrough::Uploads),
            r#"{"id":"upload_1","file":{"id":"file-3"}}"#,
            &["upload_1", "file-3"],
        ),
        (
            Operation::Passthrough(Passthrough::VectorStores),
            r#"{"id":"vs_1"}"#,
            &["vs_1"],
        ),
    ];
    for (operation, body, expected) in cases {
        assert_eq!(
            read_answer(operation, body.as_bytes()).unwrap().object_ids,
            expected,
            "{body}"
        );
    }
}

#[test]
fn an_error_with_a_200_is_a_failure_unless_it_is_a_stored_objects_content() {
    let cases = [
        (
            CHAT,
            r#"{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}"#,
            Some(RefusalKind::RateLimited),
        ),
        (
            CHAT,
            r#"{"error":"upstream down"}"#,
            Some(RefusalKind::Unrecognised),
        ),
        (CHAT, r#"{"error":null,"choices":[]}"#, None),
        (
            MESSAGES,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Some(RefusalKind::Overloaded),
        ),
        (
            RESPONSES,
            r#"{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"x"}}"#,
            Some(RefusalKind::ServerError),
        ),
        (
            Operation::StoredResponse,
            r#"{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"x"}}"#,
            None,
        ),
        (
            BATCHES,
            r#"{"id":"batch_1","errors":{"data":[]},"error":{"x":1}}"#,
            None,
        ),
    ];
    for (operation, body, expected) in cases {
        let failure = read_answer(operation, body.as_bytes()).unwrap().failure;
        assert_eq!(failure.map(|failure| failure.kind), expected, "{body}");
    }
}

#[test]
fn what_is_no_object_is_no_answer() {
    for body in [
        "",
        "<html><body>It works!</body></html>",
        "[]",
        "\"ok\"",
        "{\"choices\":[{\"message\":",
        "{} trailing",
    ] {
        assert_eq!(read_answer(CHAT, body.as_bytes()), Err(NotAnAnswer), "{body}");
    }
}
