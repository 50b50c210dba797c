//! What administrators ask over HTTP.

mod access;
mod credentials;
mod keys;
mod quota;
mod stats;

use harness::{CLIENT_KEY, Fixture, Upstream};
use serde_json::json;

/// The usual pool, with an administrator in place of the usual client, and another namespace with a Provider,
/// a credential and an administrator of its own.
fn fixture<const N: usize>(upstream: &Upstream, credentials: [&str; N]) -> Fixture {
    Fixture::pool(upstream, credentials)
        .amend("ClientKey", "app", "/spec/admin", json!(true))
        .client("plain", PLAIN_KEY)
        .namespace("team")
        .provider("theirs", &upstream.url("/v1"), &["their-m"])
        .credential("theirs", "x")
        .client("chief", CHIEF_KEY)
        .spec("admin", json!(true))
}

/// A client key of the namespace `default` that is no administrator's.
const PLAIN_KEY: &str = "rh-plain-key-0123456789abcdef";

/// The key of the administrator of the namespace `team`.
const CHIEF_KEY: &str = "rh-chief-key-0123456789abcdef";

/// The key of the administrator of the namespace `default`.
const ADMIN_KEY: &str = CLIENT_KEY;
