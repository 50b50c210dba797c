//! What an upstream does instead of answering nicely.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Semaphore;

/// A script for one answer: pieces, pauses and an end.
#[derive(Clone, Debug)]
pub struct Reply {
    head: Option<Head>,
    before: Vec<Step>,
    steps: Vec<Step>,
}

/// Something that a reply waits for until the test opens it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

#[derive(Clone, Debug)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    chunked: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Bytes as they are.
    Raw(Bytes),
    /// A chunk of a chunked body.
    Chunk(Bytes),
    /// The end of a chunked body.
    LastChunk,
    Wait(Duration),
    Until(Gate),
    /// The same chunk again and again.
    Forever(Bytes, Duration),
    /// Nothing more, but the connection stays.
    Hang,
    /// FIN.
    Close,
    /// RST.
    Reset,
}

impl Step {
    /// Where in a script the last bytes go out; `None` when it never comes to an end.
    pub(super) fn last(steps: &[Self]) -> Option<usize> {
        let endless = |step: &Self| matches!(step, Self::Forever(..) | Self::Hang);
        let writes = |step: &Self| matches!(step, Self::Raw(_) | Self::Chunk(_) | Self::LastChunk);
        if steps.iter().any(endless) {
            return None;
        }
        steps.iter().rposition(writes)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets all through, now and later.
    pub fn open(&self) {
        self.0.close();
    }

    pub(super) async fn wait(&self) {
        // A closed semaphore is an open gate.
        let _ = self.0.acquire().await;
    }
}

impl Reply {
    /// A status with headers to come and an empty body.
    pub fn status(status: u16) -> Self {
        Self {
            head: Some(Head {
                status,
                headers: Vec::new(),
                chunked: false,
            }),
            before: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// A status and a JSON body.
    #[expect(clippy::needless_pass_by_value, reason = "called with json!(…)")]
    pub fn json(status: u16, body: Value) -> Self {
        Self::status(status).body("application/json", body.to_string())
    }

    /// An error as `OpenAI` words it.
    pub fn error(status: u16, kind: &str, code: &str, message: &str) -> Self {
        Self::json(
            status,
            serde_json::json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }),
        )
    }

    /// A 429 with this `Retry-After`.
    pub fn rate_limited(retry_after: &str) -> Self {
        Self::error(429, "requests", "rate_limit_exceeded", "Rate limit reached.")
            .header("retry-after", retry_after)
    }

    /// The head of an event stream in chunks; the script goes on with [`Reply::chunk`] and ends with one of the ends.
    pub fn stream() -> Self {
        let mut reply = Self::status(200).header("content-type", "text/event-stream; charset=utf-8");
        if let Some(head) = &mut reply.head {
            head.chunked = true;
        }
        reply
    }

    /// Bytes instead of a whole answer, head included.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self {
            head: None,
            before: Vec::new(),
            steps: vec![Step::Raw(bytes.into())],
        }
    }

    /// No answer at all; the connection stays.
    pub fn silence() -> Self {
        Self::raw("").hang()
    }

    /// No answer, and the end of the connection.
    pub fn refuse() -> Self {
        Self::raw("").cut()
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Some(head) = &mut self.head {
            head.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sets a sized body.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let mut reply = self
            .header("content-type", content_type)
            .header("content-length", &body.len().to_string());
        reply.steps.push(Step::Raw(body));
        reply
    }

    /// Waits before the head.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.before.push(Step::Wait(wait));
        self
    }

    /// Waits for the gate before the head.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.before.push(Step::Until(gate.clone()));
        self
    }

    /// Sends a chunk of the body.
    #[must_use]
    pub fn chunk(self, bytes: impl Into<Bytes>) -> Self {
        self.then(Step::Chunk(bytes.into()))
    }

    /// Sends bytes as they are.
    #[must_use]
    pub fn bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.then(Step::Raw(bytes.into()))
    }

    /// Sends these bytes one by one, each as a chunk of its own.
    #[must_use]
    pub fn byte_by_byte(mut self, bytes: impl Into<Bytes>, pause: Duration) -> Self {
        let bytes = bytes.into();
        for at in 0..bytes.len() {
            self = self.chunk(bytes.slice(at..=at));
            if !pause.is_zero() {
                self = self.wait(pause);
            }
        }
        self
    }

    /// Waits.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        self.then(Step::Wait(wait))
    }

    /// Waits for the gate.
    #[must_use]
    pub fn until(self, gate: &Gate) -> Self {
        self.then(Step::Until(gate.clone()))
    }

    /// Ends a body in chunks as it should end.
    #[must_use]
    pub fn end(self) -> Self {
        self.then(Step::LastChunk)
    }

    /// Ends the connection where it is, politely (FIN).
    #[must_use]
    pub fn cut(self) -> Self {
        self.then(Step::Close)
    }

    /// Ends the connection where it is, rudely (RST).
    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Says nothing more and keeps the connection.
    #[must_use]
    pub fn hang(self) -> Self {
        self.then(Step::Hang)
    }

    /// Sends the same chunk until the other side leaves.
    #[must_use]
    pub fn forever(self, chunk: impl Into<Bytes>, every: Duration) -> Self {
        self.then(Step::Forever(chunk.into(), every))
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        let mut steps = self.before;
        if let Some(head) = self.head {
            steps.push(Step::Raw(head.encode().into()));
        }
        steps.extend(self.steps);
        steps
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl Head {
    fn encode(mut self) -> String {
        let sized = self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if self.chunked {
            self.headers.push(("transfer-encoding".into(), "chunked".into()));
        } else if !sized && self.status != 204 {
            self.headers.push(("content-length".into(), "0".into()));
        }
        let mut text = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        text
    }
}
