//! Periods that begin and end with the calendar of some place.

use jiff::{
    ToSpan,
    civil::{Date, Weekday},
    tz::TimeZone,
};

use crate::Timestamp;

/// A period of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Which.
    pub unit: CalendarUnit,
    /// The hour at which it begins.
    pub hour: u8,
    /// The minute at which it begins.
    pub minute: u8,
    /// Whose clocks count.
    pub zone: TimeZone,
}

/// How long a period of the calendar is, and on which day it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    /// Every day.
    Day,
    /// On this day of every week.
    Week(Weekday),
    /// On this day of every month, or on its last where the month is shorter.
    Month(u8),
}

/// When one period begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

/// Periods around the present date that are looked at. A zone that once skipped a whole day has an empty
/// one, and a clock that is set back past midnight has the date of yesterday once more.
const AROUND: std::ops::RangeInclusive<i32> = -2..=2;

impl Calendar {
    /// The period that `now` is in.
    ///
    /// A moment that the zone's clocks skip is taken to be as much later, one that they show twice is the
    /// first of the two. Before 1970 and after 9999 a period has no bounds.
    pub fn bounds(&self, now: Timestamp) -> Bounds {
        let mut bounds = Bounds {
            start: Timestamp::EPOCH,
            end: Timestamp::FAR,
        };
        let moment = i64::try_from(now.as_micros()).map(jiff::Timestamp::from_microsecond);
        let Ok(Ok(moment)) = moment else {
            return bounds;
        };
        let today = self.zone.to_datetime(moment).date();
        for start in AROUND.filter_map(|periods| self.start(today, periods)) {
            if start <= now {
                bounds.start = bounds.start.max(start);
            } else {
                bounds.end = bounds.end.min(start);
            }
        }
        bounds
    }

    /// When the period of `date` begins, or that of so many periods later.
    fn start(&self, date: Date, periods: i32) -> Option<Timestamp> {
        let date = match self.unit {
            CalendarUnit::Day => date.checked_add(periods.days()),
            CalendarUnit::Week(first) => date
                .checked_sub(i32::from(date.weekday().since(first)).days())
                .and_then(|first| first.checked_add(periods.weeks())),
            CalendarUnit::Month(day) => {
                date.first_of_month()
                    .checked_add(periods.months())
                    .and_then(|month| {
                        let day = i8::try_from(day).unwrap_or(i8::MAX);
                        Date::new(month.year(), month.month(), day.clamp(1, month.days_in_month()))
                    })
            }
        };
        let hour = i8::try_from(self.hour).ok()?;
        let minute = i8::try_from(self.minute).ok()?;
        let time = jiff::civil::Time::new(hour, minute, 0, 0).ok()?;
        let start = self.zone.to_timestamp(date.ok()?.to_datetime(time)).ok()?;
        Some(Timestamp::from_micros(
            u64::try_from(start.as_microsecond()).unwrap_or(0),
        ))
    }
}

#[cfg(test)]
mod tests;
