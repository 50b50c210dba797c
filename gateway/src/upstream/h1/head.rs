//! Heads of HTTP/1.1 messages: requests out, responses in.

use std::{fmt::Write as _, mem::MaybeUninit};

use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
    request, response,
};

use super::framing::Framing;

/// The longest response head.
pub(super) const HEAD: usize = 64 * 1024;
/// The most response headers.
const HEADERS: usize = 128;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Outgoing {
    /// There is none.
    Nothing,
    /// With this `Content-Length`.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// A response head that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// It is not HTTP/1.
    #[error("expected an HTTP/1 response head")]
    Malformed(#[source] Option<httparse::Error>),
    /// It is longer than any sensible one.
    #[error("response head is longer than {} KiB or has more than {HEADERS} headers", HEAD / 1024)]
    TooLong,
    /// Its length or transfer coding is contradictory or unknown.
    #[error("response has a contradictory length or an unknown transfer coding")]
    Framing,
    /// It switches to a protocol that was not asked for.
    #[error("response switches the protocol")]
    Switch,
}

/// A final response head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: response::Parts,
    pub(super) framing: Framing,
    /// Whether the connection may be used again after the body.
    pub(super) keep_alive: bool,
}

/// Whether a header belongs to one connection or is written by this module.
pub(in crate::upstream) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        CONNECTION
            | CONTENT_LENGTH
            | EXPECT
            | PROXY_AUTHORIZATION
            | TE
            | TRAILER
            | TRANSFER_ENCODING
            | UPGRADE
    ) || matches!(
        name.as_str(),
        "keep-alive" | "proxy-connection" | "http2-settings"
    )
}

/// Writes a request head. Only the path and query of the URI count; `authority` is the `Host` unless the
/// request has one.
pub(in crate::upstream) fn encode(
    request: &request::Parts,
    authority: &HeaderValue,
    body: Outgoing,
) -> Bytes {
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let size = request
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    let mut head = BytesMut::with_capacity(128 + target.len() + authority.len() + size.sum::<usize>());
    head.put_slice(request.method.as_str().as_bytes());
    head.put_slice(b" ");
    head.put_slice(target.as_bytes());
    head.put_slice(b" HTTP/1.1\r\n");
    put(
        &mut head,
        HOST.as_str(),
        request.headers.get(HOST).unwrap_or(authority).as_bytes(),
    );
    for (name, value) in &request.headers {
        if *name != HOST && !is_hop_by_hop(name) {
            put(&mut head, name.as_str(), value.as_bytes());
        }
    }
    match body {
        Outgoing::Length(length) => {
            head.put_slice(CONTENT_LENGTH.as_str().as_bytes());
            // Writing to a growing buffer cannot fail.
            let _ = write!(head, ": {length}\r\n");
        }
        Outgoing::Chunked => put(&mut head, TRANSFER_ENCODING.as_str(), b"chunked"),
        Outgoing::Nothing if [Method::POST, Method::PUT, Method::PATCH].contains(&request.method) => {
            put(&mut head, CONTENT_LENGTH.as_str(), b"0");
        }
        Outgoing::Nothing => {}
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

fn put(head: &mut BytesMut, name: &str, value: &[u8]) {
    head.put_slice(name.as_bytes());
    head.put_slice(b": ");
    head.put_slice(value);
    head.put_slice(b"\r\n");
}

/// Where the head ends in `bytes` (after its empty line), looking from `from`.
pub(super) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..]).find_map(|at| match bytes[from + at + 1..] {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// Reads one whole head. `None` is an interim response, another head follows.
pub(super) fn parse(bytes: &Bytes, to_head: bool) -> Result<Option<Head>, HeadError> {
    let mut space = [const { MaybeUninit::uninit() }; HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let complete = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut space)
        .map_err(|error| match error {
            httparse::Error::TooManyHeaders => HeadError::TooLong,
            other => HeadError::Malformed(Some(other)),
        })?;
    let (httparse::Status::Complete(_), Some(code), Some(minor)) =
        (complete, response.code, response.version)
    else {
        return Err(HeadError::Malformed(None));
    };
    let status = StatusCode::from_u16(code).map_err(|_| HeadError::Malformed(None))?;
    match code {
        101 => return Err(HeadError::Switch),
        100..200 => return Ok(None),
        _ => {}
    }

    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(header.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(HeadError::Malformed(None));
        };
        headers.append(name, value);
    }
    let framing = framing(status, &headers, to_head)?;
    let keep_alive = framing != Framing::UntilClose
        && !(headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH))
        && !says(&headers, "close")
        && (minor == 1 || says(&headers, "keep-alive"));

    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    parts.version = if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    parts.headers = headers;
    Ok(Some(Head {
        parts,
        framing,
        keep_alive,
    }))
}

/// RFC 9112 §6.3.
fn framing(status: StatusCode, headers: &HeaderMap, to_head: bool) -> Result<Framing, HeadError> {
    if to_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(Framing::Done);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        return if chunked && codings.next().is_none() {
            Ok(Framing::chunked())
        } else {
            Err(HeadError::Framing)
        };
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(Framing::UntilClose);
    };
    let text = first.to_str().unwrap_or_default();
    if lengths.any(|other| other != first) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HeadError::Framing);
    }
    match text.parse() {
        Ok(0) => Ok(Framing::Done),
        Ok(length) => Ok(Framing::Length(length)),
        Err(_) => Err(HeadError::Framing),
    }
}

/// Whether `Connection` has this option.
fn says(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(request: http::Request<()>, body: Outgoing) -> String {
        let authority = HeaderValue::from_static("api.example:8443");
        let head = encode(&request.into_parts().0, &authority, body);
        String::from_utf8(head.to_vec()).unwrap()
    }

    #[test]
    fn a_request_head_has_its_own_framing_and_no_hop_by_hop_headers() {
        let request = http::Request::post("https://elsewhere/v1/chat?x=1")
            .header("authorization", "Bearer k")
            .header("content-length", "99")
            .header("transfer-encoding", "gzip")
            .header("connection", "close")
            .header("keep-alive", "5")
            .header("te", "trailers")
            .header("expect", "100-continue")
            .header("x-two", "a")
            .header("x-two", "b")
            .body(())
            .unwrap();
        assert_eq!(
            encoded(request, Outgoing::Length(7)),
            "POST /v1/chat?x=1 HTTP/1.1\r\nhost: api.example:8443\r\nauthorization: Bearer k\r\n\
             x-two: a\r\nx-two: b\r\ncontent-length: 7\r\n\r\n"
        );
    }

    #[test]
    fn the_host_of_the_request_wins() {
        let request = http::Request::get("/").header("host", "other").body(()).unwrap();
        assert_eq!(
            encoded(request, Outgoing::Nothing),
            "GET / HTTP/1.1\r\nhost: other\r\n\r\n"
        );
    }

    #[test]
    fn a_post_without_body_says_so() {
        let request = http::Request::post("/x").body(()).unwrap();
        assert!(encoded(request, Outgoing::Nothing).ends_with("\r\ncontent-length: 0\r\n\r\n"));
        let request = http::Request::post("/x").body(()).unwrap();
        assert!(encoded(request, Outgoing::Chunked).ends_with("\r\ntransfer-encoding: chunked\r\n\r\n"));
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_the_search_starts() {
        let bytes = b"HTTP/1.1 200 OK\r\na: b\r\n\r\nbody\n\n";
        for from in 0..=22 {
            assert_eq!(end(bytes, from), Some(25), "from {from}");
        }
        assert_eq!(end(&bytes[..24], 0), None);
        assert_eq!(end(b"HTTP/1.1 200 OK\n\nx", 0), Some(17));
    }

    #[test]
    fn framing_follows_the_headers() {
        // head after the status line, status, answer to HEAD, framing, keep alive
        let table: [(&str, u16, bool, Framing, bool); 12] = [
            ("content-length: 5", 200, false, Framing::Length(5), true),
            (
                "content-length: 5\r\ncontent-length: 5",
                200,
                false,
                Framing::Length(5),
                true,
            ),
            ("content-length: 0", 200, false, Framing::Done, true),
            ("transfer-encoding: chunked", 200, false, Framing::chunked(), true),
            ("transfer-encoding: Chunked", 200, false, Framing::chunked(), true),
            (
                "transfer-encoding: chunked\r\ncontent-length: 5",
                200,
                false,
                Framing::chunked(),
                false,
            ),
            ("content-type: x", 200, false, Framing::UntilClose, false),
            ("content-length: 5", 204, false, Framing::Done, true),
            ("content-length: 5", 304, false, Framing::Done, true),
            ("content-length: 5", 200, true, Framing::Done, true),
            (
                "content-length: 5\r\nconnection: x, Close",
                200,
                false,
                Framing::Length(5),
                false,
            ),
            (
                "content-length: 5\r\nlocation: /x",
                302,
                false,
                Framing::Length(5),
                true,
            ),
        ];
        for (headers, status, to_head, framing, keep_alive) in table {
            let text = format!("HTTP/1.1 {status} X\r\n{headers}\r\n\r\n");
            let head = parse(&text.clone().into(), to_head).unwrap().unwrap();
            assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{text:?}");
            assert_eq!(head.parts.status, status);
        }
    }

    #[test]
    fn an_old_upstream_keeps_a_connection_only_when_it_says_so() {
        for (connection, keep_alive) in [("keep-alive", true), ("x", false)] {
            let text = format!("HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: {connection}\r\n\r\n");
            assert_eq!(
                parse(&text.into(), false).unwrap().unwrap().keep_alive,
                keep_alive
            );
        }
    }

    #[test]
    fn interim_responses_are_skipped_and_switches_refused() {
        assert!(
            parse(&"HTTP/1.1 100 Continue\r\n\r\n".into(), false)
                .unwrap()
                .is_none()
        );
        assert!(
            parse(&"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".into(), false)
                .unwrap()
                .is_none()
        );
        let switch = parse(&"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n".into(), false);
        assert!(matches!(switch, Err(HeadError::Switch)));
    }

    #[test]
    fn bad_heads_are_refused() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        let table = [
            "<html></html>\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            many.as_str(),
        ];
        for text in table {
            assert!(parse(&text.to_owned().into(), false).is_err(), "{text:?}");
        }
    }
}
