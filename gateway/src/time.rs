//! Moments as people and programs read them.

use snapshot::Timestamp;

/// A moment as RFC 3339 in UTC, such as `2026-11-21T08:30:00Z`, with a fraction where it has one.
pub(crate) fn rfc3339(moment: Timestamp) -> String {
    instant(moment).to_string()
}

/// A moment to calculate with. What lies beyond the year 9999 is as far away as that.
pub(crate) fn instant(moment: Timestamp) -> jiff::Timestamp {
    let micros = i64::try_from(moment.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX)
}
