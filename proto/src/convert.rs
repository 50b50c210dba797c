//! Objects of the desired state to messages, and back.
//!
//! To a message is a `From` and always succeeds; back is a `TryFrom` that names the field that it cannot take. What
//! this build does not know is refused, never replaced by a default.

mod client;
mod closed;
mod credential;
mod provider;
mod quota;
mod report;
mod route;

use std::{str::FromStr, sync::Arc, time::Duration};

use http::HeaderName;
use snapshot::{ModelPattern, Timestamp};

use crate::{
    discovery::v1,
    invalid::{Invalid, Problem, Within},
};

pub use report::Reported;

/// A message that must be there.
fn required<T>(message: Option<T>, field: &str) -> Result<T, Invalid> {
    message.ok_or_else(|| Invalid::new(field, Problem::Missing))
}

/// A message that must be there, converted.
fn converted<M, T: TryFrom<M, Error = Invalid>>(message: Option<M>, field: &str) -> Result<T, Invalid> {
    T::try_from(required(message, field)?).within(field)
}

/// Messages in their order, converted.
fn all<M, T: TryFrom<M, Error = Invalid>, C: FromIterator<T>>(
    messages: Vec<M>,
    field: &str,
) -> Result<C, Invalid> {
    let one = |(index, message)| T::try_from(message).within(&format!("{field}[{index}]"));
    messages.into_iter().enumerate().map(one).collect()
}

/// A value of a closed set. `M` is its message, which knows more values than `T` has.
fn known<M: TryFrom<i32>, T: TryFrom<M>>(value: i32, field: &str) -> Result<T, Invalid> {
    M::try_from(value)
        .ok()
        .and_then(|message| T::try_from(message).ok())
        .ok_or_else(|| Invalid::new(field, Problem::UnknownValue(value)))
}

/// Values of a closed set, in their order.
fn all_known<M: TryFrom<i32>, T: TryFrom<M>>(values: &[i32], field: &str) -> Result<Vec<T>, Invalid> {
    let one = |(index, value): (usize, &i32)| known::<M, T>(*value, &format!("{field}[{index}]"));
    values.iter().enumerate().map(one).collect()
}

/// The name of an object.
pub(crate) fn name<T: FromStr>(text: &str, field: &str) -> Result<T, Invalid> {
    text.parse()
        .map_err(|_| Invalid::expected(field, "namespace/name with both parts not empty"))
}

pub(crate) fn header_name(text: &str, field: &str) -> Result<HeaderName, Invalid> {
    text.parse()
        .map_err(|_| Invalid::expected(field, "the name of a header"))
}

fn patterns(texts: &[String]) -> Vec<ModelPattern> {
    texts.iter().map(|text| ModelPattern::new(text)).collect()
}

fn texts(patterns: &[ModelPattern]) -> Vec<String> {
    let text = |pattern: &ModelPattern| pattern.as_str().to_owned();
    patterns.iter().map(text).collect()
}

fn text(shared: Option<&Arc<str>>) -> Option<String> {
    shared.map(ToString::to_string)
}

fn to_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        // What lasts longer than the universe lasts as long.
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// A duration that must be there and not be negative.
fn duration(message: Option<prost_types::Duration>, field: &str) -> Result<Duration, Invalid> {
    let message = required(message, field)?;
    let (Ok(seconds), Ok(nanos @ 0..1_000_000_000)) =
        (u64::try_from(message.seconds), u32::try_from(message.nanos))
    else {
        return Err(Invalid::expected(field, "a duration that is not negative"));
    };
    Ok(Duration::new(seconds, nanos))
}

fn to_timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.as_micros() % 1_000_000 * 1000).unwrap_or_default(),
    }
}

/// A moment that may be absent; what it has beyond microseconds is cut off.
fn timestamp(message: Option<prost_types::Timestamp>, field: &str) -> Result<Option<Timestamp>, Invalid> {
    let Some(message) = message else {
        return Ok(None);
    };
    let micros = || {
        let seconds = u64::try_from(message.seconds).ok()?;
        let nanos = u64::try_from(message.nanos).ok()?;
        let micros = (nanos < 1_000_000_000).then_some(nanos / 1000)?;
        seconds.checked_mul(1_000_000)?.checked_add(micros)
    };
    let micros = micros().ok_or_else(|| Invalid::expected(field, "a time from 1970 on"))?;
    Ok(Some(Timestamp::from_micros(micros)))
}

/// A number that fits into a smaller type.
fn number<T: TryFrom<u32>>(value: u32, field: &str, what: &'static str) -> Result<T, Invalid> {
    T::try_from(value).map_err(|_| Invalid::expected(field, what))
}

impl From<snapshot::CallLimits> for v1::CallLimits {
    fn from(limits: snapshot::CallLimits) -> Self {
        Self {
            concurrency: limits.concurrency,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
        }
    }
}

impl From<v1::CallLimits> for snapshot::CallLimits {
    fn from(limits: v1::CallLimits) -> Self {
        Self {
            concurrency: limits.concurrency,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
        }
    }
}
