//! HTTP → what is asked for, by whom it cannot be known yet.

use std::{sync::Arc, time::Instant};

use dialect::{Dialect, FailureKind};
use http::{HeaderMap, Method, Request, StatusCode, header};

use super::paths::{self, Asked, Astray};
use crate::{arguments::AdminRoutes, failure::Failure, server::RequestBody};

/// A request whose head was read and whose body was not.
pub(crate) struct Inbound {
    /// How to speak to this client.
    pub(crate) dialect: Dialect,
    /// Names the call in answers and logs; safe to print.
    pub(crate) request_id: Arc<str>,
    pub(crate) method: Method,
    /// The query string, which may hold a key.
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    pub(crate) arrived: Instant,
}

/// Reads the head. What is wrong with it comes second, so that it can be said in the route's dialect.
///
/// `admin_routes` says which routes of administrators there are. Boxed, because it moves through several futures, each of
/// which has room for what it is given.
pub(super) fn ingress(
    request: Request<RequestBody>,
    admin_routes: AdminRoutes,
) -> (Box<Inbound>, Result<Asked, Failure>) {
    let arrived = Instant::now();
    let (parts, body) = request.into_parts();
    let upgrade = parts.headers.contains_key(header::UPGRADE);
    let (mut dialect, asked) = paths::resolve(&parts.method, parts.uri.path(), upgrade);
    if matches!(asked, Ok(Asked::Models { .. } | Asked::Model { .. }))
        && parts.headers.contains_key(ANTHROPIC_VERSION)
    {
        dialect = Dialect::Anthropic;
    }
    let asked = match admin_routes {
        AdminRoutes::Disabled if paths::is_managed(parts.uri.path()) => Err(Astray::NotFound),
        AdminRoutes::Disabled | AdminRoutes::ReadOnly | AdminRoutes::ReadWrite => asked,
    };
    let asked = asked
        .map_err(|astray| lost(astray, &parts.method, parts.uri.path()))
        .and_then(|asked| plain_encoding(&parts.headers).map(|()| asked));
    let inbound = Box::new(Inbound {
        dialect,
        request_id: request_id(&parts.headers),
        query: parts.uri.query().map(str::to_owned),
        method: parts.method,
        headers: parts.headers,
        body,
        arrived,
    });
    (inbound, asked)
}

/// Anthropic's clients send it with every request; `/v1/models` has two shapes and this tells which.
const ANTHROPIC_VERSION: &str = "anthropic-version";

fn lost(astray: Astray, method: &Method, path: &str) -> Failure {
    let path: String = path.chars().take(200).collect();
    match astray {
        Astray::NotFound => Failure::not_found("unknown_route", format!("there is no route {method} {path}")),
        Astray::Method(methods) => Failure::caller(
            FailureKind::MethodNotAllowed,
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("{path} takes {methods}, not {method}"),
        )
        .allow(methods),
        Astray::WebSocket => Failure::caller(
            FailureKind::Unsupported,
            StatusCode::UPGRADE_REQUIRED,
            "websocket_not_supported",
            "responses are served over HTTP, not over a WebSocket",
        ),
    }
}

fn plain_encoding(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(Failure::caller(
            FailureKind::Unsupported,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            "request bodies are taken without a content-encoding",
        )),
        _ => Ok(()),
    }
}

/// The caller's id when it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers
        .get("x-request-id")
        .and_then(|id| id.to_str().ok())
        .filter(|id| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        });
    if let Some(id) = given {
        return id.into();
    }
    let mut id = *b"req_00000000000000000000000000000000";
    for (place, bits) in id[4..].iter_mut().zip(nibbles(rand::random())) {
        *place = b"0123456789abcdef"[usize::from(bits)];
    }
    str::from_utf8(&id).unwrap_or_default().into()
}

/// Four bits at a time.
fn nibbles(bytes: [u8; 16]) -> impl Iterator<Item = u8> {
    bytes.into_iter().flat_map(|byte| [byte >> 4, byte & 15])
}
