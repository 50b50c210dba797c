//! When an upstream may be asked again, in every form in which vendors say so.

use std::time::Duration;

use http::HeaderMap;

use super::Retry;
use crate::calendar::{civil_date, clock, http_date, rfc3339};

/// Longer waits are taken as a year: what means "never" should not overflow anybody's arithmetic.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Reads the headers of an answer. `now` is the time since the Unix epoch.
///
/// In this order: Anthropic's unified window when it rejected the call, `retry-after-ms`, `retry-after` (seconds,
/// fractions, a date), then `x-ratelimit-reset…` and `anthropic-ratelimit-…-reset` of those limits of which
/// nothing remains, the last of them to reset.
pub fn parse(headers: &HeaderMap, now: Duration) -> Option<Retry> {
    unified(headers, now)
        .or_else(|| {
            text(headers, "retry-after-ms")
                .and_then(milliseconds)
                .map(Retry::After)
        })
        .or_else(|| {
            text(headers, "retry-after")
                .and_then(|value| after(value, now))
                .map(Retry::After)
        })
        .or_else(|| exhausted(headers, now).map(Retry::Reset))
        .map(bounded)
}

/// Longer waits become the longest.
pub(super) fn bounded(retry: Retry) -> Retry {
    match retry {
        Retry::After(wait) => Retry::After(wait.min(LONGEST)),
        Retry::Reset(wait) => Retry::Reset(wait.min(LONGEST)),
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Subscriptions report one window for everything; its end is a statement, not a hint.
fn unified(headers: &HeaderMap, now: Duration) -> Option<Retry> {
    if !text(headers, "anthropic-ratelimit-unified-status")?.eq_ignore_ascii_case("rejected") {
        return None;
    }
    reset(text(headers, "anthropic-ratelimit-unified-reset")?, now).map(Retry::Reset)
}

fn after(value: &str, now: Duration) -> Option<Duration> {
    seconds(value).or_else(|| http_date(value).map(|at| at.saturating_sub(now).min(LONGEST)))
}

/// Pairs each `…remaining…: 0` with its `…reset…`.
fn exhausted(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let mut longest = None;
    for (name, value) in headers {
        let name = name.as_str();
        if !is_remaining(name) || value.to_str().ok().is_none_or(|left| !is_zero(left)) {
            continue;
        }
        let wait =
            text(headers, &name.replacen("-remaining", "-reset", 1)).and_then(|value| reset(value, now));
        longest = longest.max(wait);
    }
    longest
}

/// Whether a header tells how much of a limit is left.
pub(super) fn is_remaining(name: &str) -> bool {
    let is_limit = name.starts_with("x-ratelimit-") || name.starts_with("anthropic-ratelimit-");
    is_limit && name.contains("-remaining")
}

fn is_zero(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(|left| left <= 0.0)
}

/// The end of a window: Unix time in seconds or milliseconds (`OpenRouter`), RFC 3339 (Anthropic), a Go duration
/// (`OpenAI`), or plain seconds from now (Azure, Cerebras).
pub(super) fn reset(value: &str, now: Duration) -> Option<Duration> {
    const EPOCH_SECONDS: f64 = 1e9;
    const EPOCH_MILLISECONDS: f64 = 1e12;
    let wait = match value.parse::<f64>() {
        Ok(number) if number >= EPOCH_MILLISECONDS => milliseconds(value)?.saturating_sub(now),
        Ok(number) if number >= EPOCH_SECONDS => {
            Duration::try_from_secs_f64(number).ok()?.saturating_sub(now)
        }
        Ok(_) => seconds(value)?,
        Err(_) => rfc3339(value)
            .map(|at| at.saturating_sub(now))
            .or_else(|| go_duration(value))?,
    };
    Some(wait.min(LONGEST))
}

fn seconds(value: &str) -> Option<Duration> {
    let number = value.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
    Some(Duration::try_from_secs_f64(number).map_or(LONGEST, |wait| wait.min(LONGEST)))
}

fn milliseconds(value: &str) -> Option<Duration> {
    let number = value.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
    // A moment in milliseconds is longer than LONGEST, so the limit comes later.
    Duration::try_from_secs_f64(number / 1000.0).ok()
}

/// `120ms`, `1s`, `6m0s`, `1h2m3.5s`, `1d2h`; nothing may follow.
pub(super) fn go_duration(value: &str) -> Option<Duration> {
    match leading_duration(value.trim())? {
        (duration, "") => Some(duration),
        _ => None,
    }
}

/// The duration that the text begins with, and what follows it. The words of a sentence are taken too:
/// `20 seconds`, `5 minutes`.
fn leading_duration(value: &str) -> Option<(Duration, &str)> {
    const UNITS: [(&str, f64); 14] = [
        ("milliseconds", 0.001),
        ("ms", 0.001),
        ("seconds", 1.0),
        ("second", 1.0),
        ("sec", 1.0),
        ("s", 1.0),
        ("minutes", 60.0),
        ("minute", 60.0),
        ("min", 60.0),
        ("m", 60.0),
        ("hours", 3600.0),
        ("hour", 3600.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    let mut rest = value;
    let mut total = 0.0;
    let mut found = false;
    loop {
        let digits = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        // A full stop ends the sentence, not the number.
        let number = rest
            .get(..digits)
            .map(|digits| digits.trim_end_matches('.'))
            .unwrap_or_default();
        let Ok(amount) = number.parse::<f64>() else { break };
        let unit_and_rest = rest.get(number.len()..).unwrap_or_default();
        let unit_at = unit_and_rest.strip_prefix(' ').unwrap_or(unit_and_rest);
        let Some((name, scale)) = UNITS.iter().find(|(name, _)| {
            unit_at
                .strip_prefix(name)
                .is_some_and(|next| !next.starts_with(|c: char| c.is_ascii_alphabetic()))
        }) else {
            break;
        };
        total += amount * scale;
        found = true;
        rest = unit_at.get(name.len()..).unwrap_or_default();
    }
    if !found {
        return None;
    }
    Some((
        Duration::try_from_secs_f64(total).map_or(LONGEST, |wait| wait.min(LONGEST)),
        rest,
    ))
}

/// What the message says, in lower case: "try again in 7m12s" (`OpenAI`, Groq), "retry after 86400 seconds"
/// (Azure), "retry in 45.5s" (Google), "regain access on 2026-04-01 at 00:00 utc" (Anthropic's spend limits).
pub(super) fn in_words(message: &str, now: Option<Duration>) -> Option<Retry> {
    if let (Some((_, date)), Some(now)) = (message.split_once("regain access on "), now) {
        let (day, rest) = date.split_at_checked(10)?;
        let time = rest
            .strip_prefix(" at ")
            .and_then(|time| clock(time.get(..5)?))
            .unwrap_or_default();
        return civil_date(day, time).map(|at| Retry::Reset(at.saturating_sub(now).min(LONGEST)));
    }
    [
        "try again in ",
        "retry after ",
        "retry in ",
        "try again after ",
        "retrying in ",
    ]
    .into_iter()
    .filter_map(|phrase| message.split_once(phrase))
    .find_map(|(_, wait)| leading_duration(wait))
    .map(|(wait, _)| Retry::After(wait))
}
