//! What a caller is told when a call fails.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use dialect::{Dialect, FailureKind, Operation, Tap};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use snapshot::Fault;

use crate::body::ReplyBody;

/// A failed call, in words that the caller may see.
///
/// The fault decides about retries before this is made; the kind decides the status and the dialect's own
/// error type. Nothing in here may come from an upstream unless the caller itself is to blame.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Who is to blame.
    pub(crate) fault: Fault,
    /// What sort of error the client's dialect shows.
    pub(crate) kind: FailureKind,
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Machine-readable, stable.
    pub(crate) code: Cow<'static, str>,
    /// For people: what was found and what to do.
    pub(crate) message: Cow<'static, str>,
    /// The request member concerned.
    pub(crate) param: Option<Cow<'static, str>>,
    /// The soonest moment at which another try makes sense.
    pub(crate) retry_after: Option<Duration>,
    /// Methods that the path takes, for 405.
    pub(crate) allow: Option<&'static str>,
}

impl Failure {
    fn new(
        fault: Fault,
        kind: FailureKind,
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            fault,
            kind,
            status,
            code: code.into(),
            message: message.into(),
            param: None,
            retry_after: None,
            allow: None,
        }
    }

    /// The request cannot be understood or served as it is.
    pub(crate) fn invalid(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            Fault::Caller,
            FailureKind::InvalidRequest,
            StatusCode::BAD_REQUEST,
            code,
            message,
        )
    }

    /// The caller's own mistake with another status than 400.
    pub(crate) fn caller(
        kind: FailureKind,
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(Fault::Caller, kind, status, code, message)
    }

    /// Something that the caller named does not exist.
    pub(crate) fn not_found(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::caller(FailureKind::NotFound, StatusCode::NOT_FOUND, code, message)
    }

    /// The caller used up what it may use.
    pub(crate) fn rate_limited(
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
        after: Duration,
    ) -> Self {
        Self::caller(
            FailureKind::RateLimit,
            StatusCode::TOO_MANY_REQUESTS,
            code,
            message,
        )
        .retry_after(after)
    }

    /// Every credential that could serve the call rests or is full.
    pub(crate) fn exhausted(
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
        after: Duration,
    ) -> Self {
        Self::new(
            Fault::Credential,
            FailureKind::RateLimit,
            StatusCode::TOO_MANY_REQUESTS,
            code,
            message,
        )
        .retry_after(after)
    }

    /// The upstream is at fault.
    pub(crate) fn upstream(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let kind = match status {
            StatusCode::GATEWAY_TIMEOUT => FailureKind::Timeout,
            StatusCode::SERVICE_UNAVAILABLE => FailureKind::Overloaded,
            _ => FailureKind::Upstream,
        };
        Self::new(Fault::Upstream, kind, status, code, message)
    }

    /// This gateway has more to do than it can.
    pub(crate) fn overloaded(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            Fault::Gateway,
            FailureKind::Overloaded,
            StatusCode::SERVICE_UNAVAILABLE,
            code,
            message,
        )
        .retry_after(Duration::from_secs(1))
    }

    /// This gateway ends and cannot wait for the answer.
    pub(crate) fn shutting_down() -> Self {
        Self::overloaded(
            "gateway_shutting_down",
            "the gateway is shutting down; send the request again",
        )
    }

    /// This gateway is broken; the detail is in its log.
    pub(crate) fn internal() -> Self {
        Self::new(
            Fault::Gateway,
            FailureKind::Internal,
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the gateway failed to handle this request",
        )
    }

    /// Names the request member concerned.
    pub(crate) fn param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when another try makes sense.
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Names the methods that the path takes.
    pub(crate) fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    fn in_dialect<'a>(&'a self, request_id: &'a str) -> dialect::Failure<'a> {
        dialect::Failure {
            status: self.status.as_u16(),
            kind: self.kind,
            code: Some(&self.code),
            message: &self.message,
            param: self.param.as_deref(),
            request_id,
        }
    }

    /// The answer to a call that has not been answered yet.
    pub(crate) fn response(&self, dialect: Dialect, request_id: &str) -> Response<ReplyBody> {
        let body = dialect::encode_failure(dialect, &self.in_dialect(request_id));
        let mut response = Response::new(ReplyBody::whole(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(after));
            if after > LONG_WAIT {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
        }
        identify(headers, dialect, request_id);
        response
    }

    /// The frames that end a stream of which the client has nothing but status 200 and comments.
    pub(crate) fn frames(&self, operation: Operation, request_id: &str) -> Bytes {
        dialect::encode_stream_failure(operation, &self.in_dialect(request_id), false)
    }

    /// The frames that end a stream, going on from what it has said.
    pub(crate) fn frames_after(&self, tap: &Tap, request_id: &str) -> Bytes {
        tap.encode_failure(&self.in_dialect(request_id), tap.has_content())
    }
}

/// Tells the vendors' SDKs whether to retry; they obey it over the status.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A wait after which a client's own retries would only fail again.
const LONG_WAIT: Duration = Duration::from_secs(15 * 60);

/// Names the call in its answer; Anthropic's SDKs read their own header too.
pub(crate) fn identify(headers: &mut HeaderMap, dialect: Dialect, request_id: &str) {
    // The id is either made here or was checked against a safe alphabet, so it is always a legal value.
    if let Ok(value) = HeaderValue::from_str(request_id) {
        if dialect == Dialect::Anthropic {
            headers.insert(HeaderName::from_static("request-id"), value.clone());
        }
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
}

/// Seconds, rounded up, at least 1: what `Retry-After` takes.
fn whole_seconds(after: Duration) -> HeaderValue {
    let seconds = after.as_millis().div_ceil(1000).max(1);
    HeaderValue::from(u32::try_from(seconds).unwrap_or(u32::MAX))
}
