//! Key → caller.

use std::sync::Arc;

use dialect::FailureKind;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use snapshot::Secret;

use super::Inbound;
use crate::{
    app::App,
    failure::Failure,
    live::{Live, LiveClient},
};

/// A known caller.
pub(crate) type Caller = Arc<LiveClient>;

/// Finds the caller by any of the keys that it presents: SDKs differ in where they put it, and some send two.
pub(super) fn authenticate(app: &App, live: &Live, inbound: &Inbound) -> Result<Caller, Failure> {
    if !live.is_known() {
        return Err(Failure::overloaded(
            "not_configured_yet",
            "the gateway has not been told yet what to serve; try again",
        ));
    }
    let known =
        presented(&inbound.headers, inbound.query.as_deref()).find_map(|key| live.client(key.as_ref()));
    let now = app.clock.now();
    if known
        .and_then(|known| known.valid_until)
        .is_some_and(|end| end <= now)
    {
        return Err(refused("this key has been replaced by a new one"));
    }
    let Some(caller) = known.map(|known| &known.caller).or_else(|| live.anonymous()) else {
        let any = presented(&inbound.headers, inbound.query.as_deref())
            .next()
            .is_some();
        return Err(if any {
            refused("this key is not known")
        } else {
            refused(NO_KEY)
        });
    };
    if caller.client.expires_at.is_some_and(|end| end <= now) {
        return Err(refused("this key has expired"));
    }
    Ok(caller.clone())
}

/// The key by which `caller` was found, for whoever has to prove on whose behalf it asks.
pub(super) fn key_of(live: &Live, inbound: &Inbound, caller: &Caller) -> Option<Secret> {
    let is_its = |key: &[u8]| {
        let known = live.client(key);
        known.is_some_and(|known| Arc::ptr_eq(&known.caller, caller))
    };
    presented(&inbound.headers, inbound.query.as_deref())
        .find(|key| is_its(key))
        .map(Secret::new)
}

const NO_KEY: &str = "no key was sent; send it as `Authorization: Bearer KEY` or `x-api-key: KEY`";

fn refused(message: &'static str) -> Failure {
    Failure::caller(
        FailureKind::Authentication,
        StatusCode::UNAUTHORIZED,
        "invalid_api_key",
        message,
    )
}

/// Headers that carry a bare key.
pub(super) const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// All keys that a request presents.
fn presented<'a>(
    headers: &'a HeaderMap,
    query: Option<&'a str>,
) -> impl Iterator<Item = std::borrow::Cow<'a, [u8]>> {
    let bearer = headers
        .get_all(header::AUTHORIZATION)
        .into_iter()
        .filter_map(|value| {
            let (scheme, key) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
        });
    let bare = KEY_HEADERS
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .map(HeaderValue::as_bytes);
    let queried = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter_map(|pair| pair.strip_prefix("key="));
    bearer
        .chain(bare)
        .filter(|key| !key.is_empty())
        .map(std::borrow::Cow::Borrowed)
        .chain(queried.map(|key| percent_encoding::percent_decode_str(key).into()))
}

#[cfg(test)]
mod tests {
    use super::presented;
    use http::HeaderMap;

    #[test]
    fn every_place_of_a_key_is_read() {
        type Case = (
            &'static [(&'static str, &'static str)],
            Option<&'static str>,
            &'static [&'static str],
        );
        let cases: [Case; 6] = [
            (&[("authorization", "Bearer a")], None, &["a"]),
            (&[("authorization", "bearer  a ")], None, &["a"]),
            (&[("authorization", "Basic a")], None, &[]),
            (
                &[("x-api-key", "b"), ("authorization", "Bearer a")],
                None,
                &["a", "b"],
            ),
            (&[("api-key", "c"), ("x-goog-api-key", "d")], None, &["c", "d"]),
            (&[], Some("alt=sse&key=e%2Df"), &["e-f"]),
        ];
        for (given, query, expected) in cases {
            let headers: HeaderMap = given
                .iter()
                .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
                .collect();
            let keys: Vec<_> = presented(&headers, query)
                .map(|key| String::from_utf8_lossy(&key).into_owned())
                .collect();
            assert_eq!(keys, expected, "{given:?} {query:?}");
        }
    }
}
