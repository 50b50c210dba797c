//! A small HTTP client: one connection a request, nothing followed, nothing retried, nothing decoded.

use std::{
    convert::Infallible,
    fmt::Debug,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use crate::{
    sse::{self, Frame},
    tools::panic_with,
};

/// No answer of any test takes longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// No answer of any test has more bytes than this.
const LARGEST: usize = 256 << 20;

/// Calls one address, with one key or none.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    headers: Arc<[(String, String)]>,
}

/// A call that is being prepared.
#[derive(Debug)]
pub struct Request {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer whose body is still coming. Dropping it closes the connection.
#[derive(Debug)]
pub struct Streaming {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    connection: JoinHandle<()>,
}

impl Client {
    /// A client without a key.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            headers: Arc::from([]),
        }
    }

    /// Sends `Authorization: Bearer KEY` with every request.
    #[must_use]
    pub fn bearer(self, key: &str) -> Self {
        self.with("authorization", &format!("Bearer {key}"))
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut headers = self.headers.to_vec();
        headers.push((name.to_owned(), value.to_owned()));
        Self {
            headers: headers.into(),
            ..self
        }
    }

    /// Prepares a call.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request {
            address: self.address,
            method: method.parse().expect("a method is a token"),
            path: path.to_owned(),
            headers: self.headers.to_vec(),
            body: Bytes::new(),
        }
    }

    /// Calls with GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    /// Calls with POST and a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path).json(body).send().await
    }

    /// Prepares a chat completion with `model`.
    pub fn chat_request(&self, model: &str) -> Request {
        self.request("POST", "/v1/chat/completions")
            .json(&chat_body(model))
    }

    /// Makes a chat completion with `model`.
    pub async fn chat(&self, model: &str) -> Answer {
        self.chat_request(model).send().await
    }

    /// Prepares a streamed chat completion with `model`.
    pub fn chat_stream_request(&self, model: &str) -> Request {
        let mut body = chat_body(model);
        body["stream"] = true.into();
        self.request("POST", "/v1/chat/completions").json(&body)
    }

    /// Starts a streamed chat completion with `model`.
    pub async fn chat_stream(&self, model: &str) -> Streaming {
        self.chat_stream_request(model).open().await
    }
}

fn chat_body(model: &str) -> Value {
    serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": "Hello?" }] })
}

impl Request {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Calls and reads the whole answer. Fails when the connection breaks.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        match timeout(PATIENCE, self.attempt()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => panic_with(&format!("{what}: no answer: {error}")),
            Err(_) => panic_with(&format!("{what}: no answer within {PATIENCE:?}")),
        }
    }

    /// Calls and reads the whole answer; a broken connection is an error to look at.
    pub async fn attempt(self) -> Result<Answer, String> {
        let body = Full::new(self.body.clone());
        self.start(body.boxed()).await?.finish_or_error().await
    }

    /// The same, and no answer within a minute is an error too.
    pub async fn attempt_in_time(self) -> Result<Answer, String> {
        timeout(PATIENCE, self.attempt())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
    }

    /// Calls and returns as soon as the head of the answer is there.
    pub async fn open(self) -> Streaming {
        let what = format!("{} {}", self.method, self.path);
        let body = Full::new(self.body.clone());
        match timeout(PATIENCE, self.start(body.boxed())).await {
            Ok(Ok(streaming)) => streaming,
            Ok(Err(error)) => panic_with(&format!("{what}: no answer: {error}")),
            Err(_) => panic_with(&format!("{what}: no head within {PATIENCE:?}")),
        }
    }

    async fn start(self, body: BoxBody<Bytes, Infallible>) -> Result<Streaming, String> {
        let show = |error: &dyn Debug| format!("{error:?}");
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| show(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| show(&error))?;
        let connection = tokio::spawn(async move {
            // How a connection ends is seen at the body.
            let _ = connection.await;
        });
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(&self.path)
            .header("host", self.address.to_string());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(body).map_err(|error| show(&error))?;
        let response: Response<Incoming> =
            sender.send_request(request).await.map_err(|error| show(&error))?;
        let (head, body) = response.into_parts();
        Ok(Streaming {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            connection,
        })
    }
}

impl Answer {
    /// The body as text, lossily.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Fails when it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic_with(&format!(
                "{}: the body is not JSON: {error}: {}",
                self.status,
                self.text()
            ))
        })
    }

    /// A header; the empty string when it is absent.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// `Retry-After` in seconds. Fails when it is no whole number of at least one.
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        let value = self.header("retry-after");
        let seconds = value.parse().unwrap_or(0);
        assert!(
            seconds >= 1,
            "{}: retry-after is {value:?}, expected whole seconds of at least 1; body: {}",
            self.status,
            self.text()
        );
        seconds
    }

    /// Asserts the status, and shows the body when it differs.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "the assertion is often all that is wanted"
    )]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "expected {}; body: {}",
            StatusCode::from_u16(status).expect("a status is three digits"),
            self.text()
        );
        self
    }

    /// Asserts that this is an error in `OpenAI`'s envelope with this status, and returns its `error` member.
    #[track_caller]
    pub fn openai_error(&self, status: u16) -> Value {
        let answer = self.clone().expect(status);
        assert!(
            answer.header("content-type").starts_with("application/json"),
            "an error is JSON, its content type is {:?}",
            answer.header("content-type")
        );
        assert!(
            !answer.header("x-request-id").is_empty(),
            "every answer has an x-request-id"
        );
        let error = answer.json()["error"].clone();
        let text = answer.text();
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "no error.message in {text}"
        );
        assert!(error["type"].is_string(), "no error.type in {text}");
        for member in ["param", "code"] {
            assert!(
                error
                    .get(member)
                    .is_some_and(|value| value.is_null() || value.is_string()),
                "error.{member} is neither a string nor null in {text}"
            );
        }
        error
    }

    /// Asserts that this is an error in Anthropic's envelope with this status and type, and returns its message.
    #[track_caller]
    pub fn anthropic_error(&self, status: u16, kind: &str) -> String {
        let answer = self.clone().expect(status);
        let body = answer.json();
        let text = answer.text();
        assert_eq!(body["type"], "error", "{text}");
        assert_eq!(body["error"]["type"], kind, "{text}");
        assert_eq!(
            body["request_id"].as_str(),
            Some(answer.header("request-id")),
            "request_id in the body and the request-id header are the same: {text}"
        );
        body["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The frames of an event stream.
    #[track_caller]
    pub fn frames(&self) -> Vec<Frame> {
        assert_eq!(self.status, 200, "{}", self.text());
        assert!(
            self.header("content-type").starts_with("text/event-stream"),
            "an event stream's content type is {:?}",
            self.header("content-type")
        );
        sse::frames(&self.body)
    }
}

impl Streaming {
    /// The next piece; `None` at the end. Fails when the connection breaks or nothing comes for a minute.
    pub async fn piece(&mut self) -> Option<Bytes> {
        self.piece_or_error()
            .await
            .map(|piece| piece.unwrap_or_else(|error| panic_with(&format!("the stream broke: {error}"))))
    }

    /// The next piece, or how the connection broke.
    pub async fn piece_or_error(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            let frame = timeout(PATIENCE, self.body.frame())
                .await
                .unwrap_or_else(|_| panic_with("the stream stalled"))?;
            match frame {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(format!("{error:?}"))),
            }
        }
    }

    /// Reads until what came holds `text`, and returns all of it.
    pub async fn until(&mut self, text: &str) -> String {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece().await {
            bytes.extend_from_slice(&piece);
            let so_far = String::from_utf8_lossy(&bytes);
            if so_far.contains(text) {
                return so_far.into_owned();
            }
        }
        panic_with(&format!(
            "the stream ended without {text:?}: {}",
            String::from_utf8_lossy(&bytes)
        ))
    }

    /// Reads the rest. Fails when the connection breaks.
    pub async fn finish(self) -> Answer {
        match self.finish_or_error().await {
            Ok(answer) => answer,
            Err(error) => panic_with(&format!("the stream broke: {error}")),
        }
    }

    /// Reads the rest, or tells how the connection broke. What never ends is an error too.
    pub async fn finish_or_error(mut self) -> Result<Answer, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece_or_error().await {
            bytes.extend_from_slice(&piece.map_err(|error| {
                format!(
                    "{} after {} bytes: {error}: {}",
                    self.status,
                    bytes.len(),
                    String::from_utf8_lossy(&bytes[..bytes.len().min(1000)])
                )
            })?);
            if bytes.len() > LARGEST || Instant::now() > deadline {
                return Err(format!(
                    "{} after {} bytes: there is no end to it",
                    self.status,
                    bytes.len()
                ));
            }
        }
        Ok(Answer {
            status: self.status,
            headers: self.headers.clone(),
            body: bytes.into(),
        })
    }

    /// A header; the empty string when it is absent.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
