use bytes::Bytes;
use dialect::{Api, Edits, Operation, Passthrough, PeekError, Peeked, peek};

const CHAT: Operation = Operation::Generate(Api::ChatCompletions);
const RESPONSES: Operation = Operation::Generate(Api::Responses);
const MESSAGES: Operation = Operation::Generate(Api::Messages);

fn peeked(operation: Operation, body: &str) -> Peeked {
    peek(operation, body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn spliced(operation: Operation, body: &str, model: Option<&str>, ask_usage: bool) -> String {
    let segments = peeked(operation, body).splice(
        &Bytes::copy_from_slice(body.as_bytes()),
        &Edits { model, ask_usage },
    );
    let bytes: Vec<u8> = segments.iter().flatten().copied().collect();
    assert_eq!(bytes.len(), segments.len());
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_model_is_decoded_and_located() {
    for (body, value) in [
        (r#"{"model":"gpt-5","messages":[]}"#, "gpt-5"),
        (
            r#" { "messages" : [ {"model":"other"} ] , "model" : "a\/b\u00e9" } "#,
            "a/bé",
        ),
        (r#"{"mod\u0065l":"gpt-5"}"#, "gpt-5"),
    ] {
        let model = peeked(CHAT, body).model.unwrap();
        assert_eq!(model.value, value);
        let token = &body[model.range];
        assert_eq!(serde_json::from_str::<String>(token).unwrap(), value, "{token}");
    }
    assert_eq!(peeked(CHAT, "{}").model, None);
}

#[test]
fn the_stream_members_are_read() {
    for (body, stream, wants_usage) in [
        (r"{}", false, false),
        (r#"{"stream":null,"stream_options":null}"#, false, false),
        (r#"{"stream":false}"#, false, false),
        (r#"{"stream":true}"#, true, false),
        (
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            true,
            true,
        ),
        (
            r#"{"stream_options":{"x":{"include_usage":true},"include_usage":null},"stream":true}"#,
            true,
            false,
        ),
    ] {
        let found = peeked(CHAT, body);
        assert_eq!((found.stream, found.wants_usage), (stream, wants_usage), "{body}");
    }
}

#[test]
fn who_asks_and_in_which_conversation_is_read_per_dialect() {
    let openai = r#"{"user":"u","safety_identifier":"s","prompt_cache_key":"k","metadata":{"user_id":"m"}}"#;
    let found = peeked(CHAT, openai);
    assert_eq!(
        (found.user.as_deref(), found.session.as_deref()),
        (Some("s"), Some("k"))
    );
    let found = peeked(MESSAGES, openai);
    assert_eq!(
        (found.user.as_deref(), found.session.as_deref()),
        (Some("m"), Some("m"))
    );
    let found = peeked(RESPONSES, r#"{"user":"u","conversation":{"id":"conv_1"}}"#);
    assert_eq!(
        (found.user.as_deref(), found.session.as_deref()),
        (Some("u"), Some("conv_1"))
    );
    let found = peeked(
        RESPONSES,
        r#"{"user":7,"conversation":"conv_2","prompt_cache_key":""}"#,
    );
    assert_eq!(
        (found.user.as_deref(), found.session.as_deref()),
        (None, Some("conv_2"))
    );
}

#[test]
fn the_prefix_is_what_stays_the_same_from_turn_to_turn() {
    let system = r#"{"role":"system","content":"be kind"}"#;
    let developer = r#"{"content":[{"type":"text","text":"x"}],"role":"developer"}"#;
    let first = r#"{"role":"user","content":[{"role":"system","text":"hi"}]}"#;
    let cases = [
        (
            CHAT,
            format!(r#"{{"messages":[{system},{first},{{"role":"assistant"}}]}}"#),
            format!("{system},{first}"),
        ),
        (CHAT, format!(r#"{{"messages":[ {first} ]}}"#), first.to_owned()),
        (CHAT, format!(r#"{{"messages":[{system}]}}"#), system.to_owned()),
        (
            RESPONSES,
            format!(r#"{{"instructions":"i","input":[{developer},{first},{first}]}}"#),
            format!("{developer},{first}"),
        ),
        (
            RESPONSES,
            r#"{"input":"hello"}"#.to_owned(),
            "\"hello\"".to_owned(),
        ),
        (
            MESSAGES,
            format!(r#"{{"system":"varies","messages":[{first},{first}]}}"#),
            first.to_owned(),
        ),
        (
            Operation::Generate(Api::Completions),
            r#"{"prompt":["a","b"]}"#.to_owned(),
            "\"a\"".to_owned(),
        ),
        (
            Operation::Generate(Api::Completions),
            r#"{"prompt":[11, 22 ,33]}"#.to_owned(),
            "11, 22 ,33".to_owned(),
        ),
        (
            Operation::Generate(Api::Completions),
            r#"{"prompt":[[1,2],[3]]}"#.to_owned(),
            "[1,2]".to_owned(),
        ),
    ];
    for (operation, body, expected) in cases {
        let prefix = peeked(operation, &body).prefix.unwrap_or_default();
        assert_eq!(&body[prefix], expected, "{body}");
    }
    for body in [r#"{"messages":[]}"#, r#"{"messages":{}}"#, "{}"] {
        assert_eq!(peeked(CHAT, body).prefix, None, "{body}");
    }
}

#[test]
fn ids_of_stored_objects_are_found_wherever_they_stand() {
    let cases: [(Operation, &str, &[&str]); 7] = [
        (
            RESPONSES,
            r#"{"previous_response_id":"resp_1","conversation":{"id":"conv_1"}}"#,
            &["resp_1", "conv_1"],
        ),
        (
            RESPONSES,
            r#"{"input":[{"content":[{"type":"input_file","file_id":"file-1"},{"file_id":"file-1"}]}],
                "tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2"]},
                         {"type":"code_interpreter","container":{"type":"auto","file_ids":["file-2"]}}]}"#,
            &["file-1", "vs_1", "vs_2", "file-2"],
        ),
        (
            Operation::Passthrough(Passthrough::Batches),
            r#"{"input_file_id":"file-3"}"#,
            &["file-3"],
        ),
        (
            Operation::Passthrough(Passthrough::VectorStores),
            r#"{"file_ids":["file-4","file-5"]}"#,
            &["file-4", "file-5"],
        ),
        (
            MESSAGES,
            r#"{"messages":[{"content":[{"source":{"type":"file","file\u005fid":"file_6"}}]}]}"#,
            &["file_6"],
        ),
        // What belongs to the caller's tools, schemas and notes names nothing of the vendor's.
        (
            MESSAGES,
            r#"{"metadata":{"file_id":"a"},"messages":[{"content":[{"type":"tool_use","input":{"file_id":"b","x":[{"file_id":"c"}]}},
                {"source":{"file_id":"file_7"}}]}],"tools":[{"input_schema":{"properties":{"file_id":{"type":"string"}},"default":{"file_id":"d"}}}]}"#,
            &["file_7"],
        ),
        (
            CHAT,
            r#"{"tools":[{"function":{"parameters":{"file_ids":["e"]}}}],"file_id":null,"file_ids":{"a":"f"}}"#,
            &[],
        ),
    ];
    for (operation, body, expected) in cases {
        assert_eq!(peeked(operation, body).object_ids, expected, "{body}");
    }
}

#[test]
fn a_body_that_is_no_request_is_refused_with_the_reason() {
    let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
    let names: Vec<String> = (0..1025).map(|number| format!("\"{number}\":0")).collect();
    let crowded = format!("{{{}}}", names.join(","));
    let cases: [(&[u8], &str); 15] = [
        (b"", "the request body is empty, expected a JSON object"),
        (b" \r\n", "the request body is empty, expected a JSON object"),
        (
            b"{\"a\":\"\xff\"}",
            "the request body is not valid UTF-8 at byte 6",
        ),
        (
            b"{\"a\":1,}",
            "the request body is not valid JSON: expected a member name at byte 7",
        ),
        (
            b"{\"a\":\"x",
            "the request body is not valid JSON: expected the end of a string at byte 7",
        ),
        (b"[1]", "the request body must be a JSON object, found an array"),
        (b"null", "the request body must be a JSON object, found null"),
        (
            b"{\"model\":\"a\",\"x\":1,\"m\\u006fdel\":\"b\"}",
            "the request body contains 'model' more than once",
        ),
        (
            b"{\"zz\":1,\"a\":2,\"zz\":3}",
            "the request body contains 'zz' more than once",
        ),
        (
            b"{\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}",
            "the request body contains 'stream_options.include_usage' more than once",
        ),
        (b"{\"model\":5}", "'model' must be a string, found a number"),
        (
            b"{\"stream\":\"true\"}",
            "'stream' must be a boolean, found a string",
        ),
        (
            b"{\"stream_options\":[]}",
            "'stream_options' must be an object, found an array",
        ),
        (
            deep.as_bytes(),
            "the request body is nested deeper than 128 levels",
        ),
        (
            crowded.as_bytes(),
            "the request body has more than 1024 top-level members",
        ),
    ];
    for (body, message) in cases {
        assert_eq!(
            peek(CHAT, body).map_err(|error| error.to_string()),
            Err(message.to_owned())
        );
    }
    assert_eq!(
        peek(CHAT, br#"{"model":"\ud800"}"#),
        Err(PeekError::Malformed {
            at: 10,
            expected: "a string of Unicode characters"
        })
    );
}

#[test]
fn a_splice_changes_its_ranges_and_nothing_else() {
    let cases = [
        // The model is replaced where it stands, added where there is none, and left alone when it is right.
        (
            CHAT,
            r#"{ "n":1.0, "model" : "a" ,"x":[ ]}"#,
            Some("b\"c"),
            false,
            r#"{ "n":1.0, "model" : "b\"c" ,"x":[ ]}"#,
        ),
        (CHAT, r#"{"n":1}"#, Some("b"), false, r#"{"model":"b","n":1}"#),
        (CHAT, r" { } ", Some("b"), false, r#" {"model":"b" } "#),
        (
            CHAT,
            r#"{"model":"\u0061"}"#,
            Some("a"),
            false,
            r#"{"model":"\u0061"}"#,
        ),
        // Usage is asked for in every way the options may look.
        (
            CHAT,
            r#"{"stream":true,"n":1}"#,
            None,
            true,
            r#"{"stream":true,"stream_options":{"include_usage":true},"n":1}"#,
        ),
        (
            CHAT,
            r#"{"stream":true,"stream_options":null}"#,
            None,
            true,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            CHAT,
            r#"{"stream_options":{ },"stream":true}"#,
            None,
            true,
            r#"{"stream_options":{"include_usage":true },"stream":true}"#,
        ),
        (
            CHAT,
            r#"{"stream_options":{"include_obfuscation":false},"stream":true}"#,
            None,
            true,
            r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"stream":true}"#,
        ),
        (
            CHAT,
            r#"{"stream_options":{"include_usage": false },"stream":true}"#,
            None,
            true,
            r#"{"stream_options":{"include_usage": true },"stream":true}"#,
        ),
        (
            CHAT,
            r#"{"stream_options":{"include_usage":null},"stream":true}"#,
            None,
            true,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        (
            CHAT,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            None,
            true,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        // Both at once, in either order.
        (
            CHAT,
            r#"{"stream":true,"model":"a"}"#,
            Some("b"),
            true,
            r#"{"stream":true,"stream_options":{"include_usage":true},"model":"b"}"#,
        ),
        (
            CHAT,
            r#"{"model":"a","stream":true}"#,
            Some("b"),
            true,
            r#"{"model":"b","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        // Never where it would be refused.
        (CHAT, r#"{"stream":false}"#, None, true, r#"{"stream":false}"#),
        (RESPONSES, r#"{"stream":true}"#, None, true, r#"{"stream":true}"#),
        (MESSAGES, r#"{"stream":true}"#, None, true, r#"{"stream":true}"#),
    ];
    for (operation, body, model, ask_usage, expected) in cases {
        assert_eq!(spliced(operation, body, model, ask_usage), expected, "{body}");
    }
}

#[test]
fn untouched_parts_share_the_memory_of_the_body() {
    let body = Bytes::from_static(br#"{"stream":true,"model":"a","x":1}"#);
    let found = peek(CHAT, &body).unwrap();
    let segments = found.splice(
        &body,
        &Edits {
            model: Some("b"),
            ask_usage: true,
        },
    );
    let shared: Vec<bool> = segments
        .clone()
        .into_iter()
        .map(|piece| body.as_ptr_range().contains(&piece.as_ptr()))
        .collect();
    assert_eq!(shared, [true, false, true, false, true]);
    let whole = found.splice(&body, &Edits::default());
    assert_eq!(whole.iter().collect::<Vec<_>>(), [&body]);
}
