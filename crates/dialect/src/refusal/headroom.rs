//! How much of an account's limits is used, as the headers of any answer tell it.

use std::time::Duration;

use http::HeaderMap;

use super::retry_after::{is_remaining, reset, text};

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Used parts per million, at most a million.
    pub used: u32,
    /// How long until the limit is whole again; longer than zero.
    pub resets_in: Duration,
}

/// The windows of Anthropic's subscriptions of which a fraction is told. Others are about one model, or about what is
/// paid for beyond the subscription.
const UNIFIED: [&str; 2] = ["anthropic-ratelimit-unified-5h", "anthropic-ratelimit-unified-7d"];

/// Reads the headers of an answer: of all limits the one that is used most, of several such the last to reset. `now`
/// is the time since the Unix epoch.
///
/// A limit is told as `x-ratelimit-{limit,remaining,reset}…` (`OpenAI` and those that follow it),
/// `anthropic-ratelimit-…-{limit,remaining,reset}`, or as a fraction in
/// `anthropic-ratelimit-unified-{5h,7d}-{utilization,reset}`.
pub fn headroom(headers: &HeaderMap, now: Duration) -> Option<Headroom> {
    let limits = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| is_remaining(name))
        .filter_map(|name| {
            let named = |part| number(headers, &name.replacen("-remaining", part, 1));
            let limit = named("-limit").filter(|limit| *limit > 0.0)?;
            let left = number(headers, name)?;
            let reset = text(headers, &name.replacen("-remaining", "-reset", 1))?;
            Some(((limit - left) / limit, reset))
        });
    let windows = UNIFIED.into_iter().filter_map(|window| {
        let used = number(headers, &format!("{window}-utilization"))?;
        Some((used, text(headers, &format!("{window}-reset"))?))
    });
    limits
        .chain(windows)
        .filter_map(|(used, until)| {
            let resets_in = reset(until, now).filter(|wait| !wait.is_zero())?;
            Some(Headroom {
                used: parts_per_million(used),
                resets_in,
            })
        })
        .max_by_key(|headroom| (headroom.used, headroom.resets_in))
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    text(headers, name)?
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
fn parts_per_million(used: f64) -> u32 {
    (used * 1e6).clamp(0.0, 1e6) as u32
}
