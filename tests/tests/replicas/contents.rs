//! What is in Redis: names and hashes, within bounds and for a time.

use std::fmt::Write as _;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use harness::{
    ADMIN_KEY, CLIENT_KEY, Fixture, Monitor, Redis, Replicas, Reply, Seen, Stored, Upstream, When,
    credential_key,
};
use serde_json::json;

const PROMPT: &str = "canary prompt/7c1f";
const COMPLETION: &str = "canary completion/93ab";
const CONVERSATION: &str = "canary conversation/55d0";
const SESSION: &str = "canary session/0e72";
const USER: &str = "canary user/b41e";
const RESPONSE: &str = "resp_canary_1f9d3a5b7c";
const FILE: &str = "file-canary-8d6e4f2a0b";
const HEADER: &str = "canary header/2c8f";
const STRANGER: &str = "rh-canary-stranger-0123456789";

/// What the upstream says to whom.
fn answer(seen: &Seen) -> Reply {
    let choices = json!([{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": COMPLETION } }]);
    let usage = json!({ "prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16 });
    let body = seen.json();
    if body["user"] == "refused" {
        let words = format!(
            "Incorrect API key {} for {COMPLETION}.",
            seen.header("authorization")
        );
        Reply::error(401, "invalid_request_error", "invalid_api_key", &words)
    } else if seen.path.contains("/files") {
        Reply::json(200, json!({ "id": FILE, "object": "file" }))
    } else if seen.path.contains("/responses") {
        Reply::json(
            200,
            json!({ "id": RESPONSE, "object": "response", "status": "completed", "output": [], "text": COMPLETION,
                "usage": { "input_tokens": 11, "output_tokens": 5, "total_tokens": 16 } }),
        )
    } else if body["stream"] == true {
        let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": { "content": COMPLETION } }], "usage": usage });
        Reply::stream()
            .chunk(format!("data: {chunk}\n\ndata: [DONE]\n\n"))
            .end()
    } else {
        Reply::json(200, json!({ "id": "1", "choices": choices, "usage": usage }))
    }
}

/// One Provider for each kind of affinity, and limits of everything that can have some.
fn fixture(upstream: &Upstream) -> Fixture {
    let limits = json!({ "concurrency": 50, "requestsPerMinute": 5000, "tokensPerMinute": 5_000_000, "whenStoreIsAway": "Share" });
    let windows =
        json!([{ "name": "five-hours", "duration": "5h", "requests": 100_000, "tokens": 9_000_000 }]);
    let mut fixture = Fixture::new().secret("extra", &[("value", HEADER)]);
    for (name, affinity) in [
        ("p", json!({ "by": "Header", "header": "x-conversation" })),
        ("q", json!({ "by": "User" })),
        ("s", json!({ "by": "Session" })),
        ("t", json!({ "by": "Prefix" })),
        ("refused", json!({ "by": "None" })),
    ] {
        fixture = fixture
            .provider(name, &upstream.url("/v1"), &[&format!("{name}-m")])
            .spec("selection", json!({ "affinity": affinity }))
            .spec(
                "headers",
                json!([{ "name": "x-secret", "valueFrom": { "secretKeyRef": { "name": "extra", "key": "value" } } }]),
            );
        for number in 0..3 {
            fixture = fixture
                .credential(name, &format!("{name}{number}"))
                .spec("quota", json!({ "windows": windows }))
                .spec("limits", json!({ "concurrency": 50, "requestsPerMinute": 5000 }));
        }
    }
    fixture
        .client("app", CLIENT_KEY)
        .spec("limits", limits)
        .spec("budgets", windows)
        .admin()
}

/// Calls of every kind through all replicas, with words that must not be found again.
async fn call_with_canaries(replicas: &Replicas) {
    let messages = json!([{ "role": "system", "content": PROMPT }, { "role": "user", "content": PROMPT }]);
    for turn in 0..9 {
        let client = replicas.client(turn).with("x-conversation", CONVERSATION);
        for model in ["p-m", "q-m", "s-m", "t-m"] {
            for streamed in [false, true] {
                let body = json!({ "model": model, "messages": messages, "user": USER, "prompt_cache_key": SESSION,
                    "stream": streamed });
                client.post("/v1/chat/completions", &body).await.expect(200);
            }
        }
    }
    for turn in 0..3 {
        let client = replicas.client(turn).with("x-session-id", SESSION);
        let body = json!({ "model": "p-m", "input": PROMPT, "conversation": CONVERSATION });
        client.post("/v1/responses", &body).await;
        let body = json!({ "model": "p-m", "input": PROMPT });
        client.post("/v1/responses", &body).await.expect(200);
        let body = json!({ "model": "p-m", "input": PROMPT, "previous_response_id": RESPONSE });
        client.post("/v1/responses", &body).await;
        let form = format!(
            "--B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{USER}\"\r\n\r\n{PROMPT}\r\n--B--\r\n"
        );
        client
            .request("POST", "/p/v1/files")
            .header("content-type", "multipart/form-data; boundary=B")
            .body(form)
            .send()
            .await
            .expect(200);
        // An id that nobody made is asked for, too.
        client.get("/v1/responses/resp_canary_nobodys").await;
        client.get(&format!("/p/v1/files/{FILE}")).await;
        let body = json!({ "model": "refused-m", "messages": messages, "user": "refused" });
        client.post("/v1/chat/completions", &body).await;
        replicas[turn].client_with(STRANGER).chat("p-m").await.expect(401);
        let key = format!("/v1/models?key={CLIENT_KEY}");
        replicas[turn].anonymous().get(&key).await.expect(200);
    }
}

/// How a text may look that somebody wrote down in another form. All in lower case but base64, whose case matters.
struct Forms {
    folded: Vec<String>,
    exact: Vec<String>,
}

impl Forms {
    fn of(text: &str) -> Self {
        let mut hex = String::new();
        let mut percent = String::new();
        let mut list = Vec::new();
        for byte in text.bytes() {
            let _ = write!(hex, "{byte:02x}");
            list.push(byte.to_string());
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                percent.push(char::from(byte));
            } else {
                let _ = write!(percent, "%{byte:02x}");
            }
        }
        let mut exact = Vec::new();
        // Where the text begins within a longer one decides which of three forms it has in base64. Its first and last
        // letters there depend on the neighbours.
        for before in 0..3 {
            let shifted = [&[0; 2][..before], text.as_bytes()].concat();
            let whole = shifted.len() / 3 * 3;
            let from = if before == 0 { 0 } else { 4 };
            for encoded in [
                STANDARD_NO_PAD.encode(&shifted[..whole]),
                URL_SAFE_NO_PAD.encode(&shifted[..whole]),
            ] {
                exact.push(encoded[from..].to_owned());
            }
        }
        let folded = [
            text.to_owned(),
            hex,
            percent.clone(),
            percent.replace("%20", "+"),
            text.replace('/', "\\/"),
            list.join(", "),
            list.join(","),
        ];
        Self {
            folded: folded.map(|form| form.to_lowercase()).to_vec(),
            exact,
        }
    }

    /// The form in which it is in `text`, whose lower case is `folded`.
    fn find<'a>(&'a self, text: &str, folded: &str) -> Option<&'a String> {
        let known = self.folded.iter().find(|form| folded.contains(*form));
        known.or_else(|| self.exact.iter().find(|form| text.contains(*form)))
    }
}

#[test]
fn a_canary_is_found_in_each_form() {
    let forms = Forms::of(PROMPT);
    for text in [
        "a CANARY Prompt/7c1f b",
        "63616e6172792070726f6d70742f37633166",
        "canary%20prompt%2F7c1f",
        "canary+prompt%2f7c1f",
        "[1, 99, 97, 110, 97, 114, 121, 32, 112, 114, 111, 109, 112, 116, 47, 55, 99, 49, 102]",
    ] {
        assert!(forms.find(text, &text.to_lowercase()).is_some(), "{text}");
    }
    for before in ["", "x", "xy", "xyz"] {
        let text = STANDARD_NO_PAD.encode(format!("{before}{PROMPT} and more"));
        assert!(
            forms.find(&text, &text.to_lowercase()).is_some(),
            "{before}: {text}"
        );
    }
    let other = "canary prompt, but another";
    assert!(forms.find(other, other).is_none());
}

/// Asserts that none of the secrets is in any of the places.
fn expect_nowhere(secrets: &[(&str, String)], places: &[(String, String)]) {
    for (place, text) in places {
        let folded = text.to_lowercase();
        for (what, secret) in secrets {
            if let Some(form) = Forms::of(secret).find(text, &folded) {
                let line = text
                    .lines()
                    .find(|line| line.contains(form) || line.to_lowercase().contains(form));
                panic!("{what} is in {place} as {form:?}: {line:?}");
            }
        }
    }
}

fn key(stored: &Stored) -> &str {
    &stored.key
}

#[tokio::test]
async fn no_key_word_or_id_of_a_caller_is_in_redis_or_where_operators_look() {
    let redis = Redis::start().await;
    let monitor = Monitor::of(&redis).await;
    let upstream = Upstream::start().await;
    upstream.on_each(When::any(), answer);
    let flags = [
        redis.arguments(),
        ["--log-level", "trace"].map(str::to_owned).to_vec(),
    ]
    .concat();
    let replicas = Replicas::start_patient(3, &flags, &fixture(&upstream)).await;
    call_with_canaries(&replicas).await;
    let mut told = monitor.read(&redis).await;
    // Broken connections and lost scripts are logged at length. The monitor's connection goes with the others.
    redis.end_connections().await;
    let monitor = Monitor::of(&redis).await;
    redis.cli(&["script", "flush"]).await;
    call_with_canaries(&replicas).await;
    replicas.until_settled("p").await;

    let contents = redis.contents().await;
    let has = |part: &str| contents.iter().map(key).filter(|key| key.contains(part)).count();
    assert!(has(":h:") >= 4, "conversations are remembered: {contents:#?}");
    assert!(has("roundhouse:o:") >= 2, "objects are remembered: {contents:#?}");
    assert!(
        has("{c:default/app}") >= 2,
        "the client's use is counted: {contents:#?}"
    );
    told += &monitor.read(&redis).await;
    assert!(
        told.to_lowercase().contains("evalsha"),
        "what Redis was told is seen"
    );

    let mut places = vec![
        ("Redis".to_owned(), format!("{contents:#?}")),
        ("what Redis was told".to_owned(), told),
    ];
    for (number, gateway) in replicas.iter().enumerate() {
        let mut add = |place: &str, text: String| places.push((format!("{place} of replica {number}"), text));
        let log = gateway.log();
        assert!(
            log.contains("\"DEBUG\""),
            "the log says more than it usually does"
        );
        add("the log", log);
        add("standard output", gateway.output());
        add("the metrics", gateway.metrics().await.text().to_owned());
        add("the readiness", gateway.readiness().await);
        let snapshot = gateway.admin().get("/debug/snapshot").await.expect(200);
        add("the snapshot", snapshot.text());
        let admin = gateway.client_with(ADMIN_KEY);
        for path in ["/api/stats", "/v1/quota", "/auth/keys", "/p/v1/credentials"] {
            add(path, admin.get(path).await.expect(200).text());
        }
    }
    let mut secrets = vec![
        ("the client's key", CLIENT_KEY.to_owned()),
        ("the administrator's key", ADMIN_KEY.to_owned()),
        ("a stranger's key", STRANGER.to_owned()),
        ("a prompt", PROMPT.to_owned()),
        ("a completion", COMPLETION.to_owned()),
        ("a conversation's id", CONVERSATION.to_owned()),
        ("a session's id", SESSION.to_owned()),
        ("a user's name", USER.to_owned()),
        ("a response's id", RESPONSE.to_owned()),
        ("an id that nobody made", "resp_canary_nobodys".to_owned()),
        ("a file's id", FILE.to_owned()),
        ("a secret header", HEADER.to_owned()),
    ];
    for provider in ["p", "q", "s", "t", "refused"] {
        for number in 0..3 {
            secrets.push(("a credential", credential_key(&format!("{provider}{number}"))));
        }
    }
    expect_nowhere(&secrets, &places);
}
