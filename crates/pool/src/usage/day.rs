//! Days.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use jiff::{
    SignedDuration,
    civil::{Date, date},
};
use snapshot::Timestamp;

/// A day in UTC. Written and read like `2026-11-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(u32);

/// A text that is not a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a day from 1970 on, like 2026-11-21")]
pub struct InvalidDay;

const MICROS: u64 = 24 * 3600 * 1_000_000;

impl Day {
    /// The last day that can be written, 9999-12-31.
    const LAST: u32 = 2_932_896;

    /// All days.
    pub const ALL: RangeInclusive<Self> = Self(0)..=Self(Self::LAST);

    /// The day that `moment` is in.
    pub fn of(moment: Timestamp) -> Self {
        Self::at(moment.as_micros() / MICROS)
    }

    /// Its first moment.
    pub fn begins(self) -> Timestamp {
        Timestamp::from_micros(u64::from(self.0) * MICROS)
    }

    /// The day so many days later.
    #[must_use]
    pub fn plus(self, days: u32) -> Self {
        Self::at(u64::from(self.0) + u64::from(days))
    }

    /// The day so many days earlier, not before 1970.
    #[must_use]
    pub const fn minus(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// The days from this one to `last`, both included.
    pub fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }

    fn at(days: u64) -> Self {
        Self(u32::try_from(days).unwrap_or(Self::LAST).min(Self::LAST))
    }
}

const EPOCH: Date = date(1970, 1, 1);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = SignedDuration::from_hours(i64::from(self.0) * 24);
        EPOCH.saturating_add(since).fmt(f)
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        // The parser takes other ways to write a day too; one way means one key.
        let date: Date = text.parse().map_err(|_| InvalidDay)?;
        let days = date.duration_since(EPOCH).as_hours() / 24;
        let day = Self::at(u64::try_from(days).map_err(|_| InvalidDay)?);
        if day.to_string() == text {
            Ok(day)
        } else {
            Err(InvalidDay)
        }
    }
}

#[cfg(test)]
mod tests {
    use snapshot::Timestamp;

    use super::{Day, InvalidDay};

    #[test]
    fn a_day_is_written_as_it_is_read() {
        for text in ["1970-01-01", "2024-02-29", "2026-11-21", "9999-12-31"] {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "1969-12-31",
            "2026-11-31",
            "20261121",
            "2026-11-21T00:00",
            "-002026-11-21",
        ] {
            assert_eq!(text.parse::<Day>(), Err(InvalidDay), "{text}");
        }
    }

    #[test]
    fn a_day_ends_at_midnight_in_utc() {
        let midnight = 1_795_219_200_000_000;
        for (micros, day) in [
            (midnight - 1, "2026-11-20"),
            (midnight, "2026-11-21"),
            (u64::MAX, "9999-12-31"),
        ] {
            assert_eq!(Day::of(Timestamp::from_micros(micros)).to_string(), day);
        }
    }

    #[test]
    fn days_are_counted_without_leaving_the_calendar() {
        let day: Day = "2026-11-21".parse().unwrap();
        assert_eq!(day.plus(10).to_string(), "2026-12-01");
        assert_eq!(day.minus(21).to_string(), "2026-10-31");
        assert_eq!(day.minus(u32::MAX).to_string(), "1970-01-01");
        assert_eq!(day.plus(u32::MAX).to_string(), "9999-12-31");
    }
}
