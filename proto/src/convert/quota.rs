//! Quotas, budgets and their periods.

use jiff::tz::TimeZoneDatabase;
use snapshot::{Calendar, CalendarUnit, Period, QuotaWindow};

use super::{Invalid, Within, duration, known, number, required, to_duration, v1};

impl From<&QuotaWindow> for v1::QuotaWindow {
    fn from(window: &QuotaWindow) -> Self {
        use v1::quota_window::Period as Message;
        Self {
            name: window.name.to_string(),
            period: Some(match &window.period {
                Period::Rolling(duration) => Message::Rolling(to_duration(*duration)),
                Period::Calendar(calendar) => Message::Calendar(calendar.into()),
            }),
            requests: window.requests,
            tokens: window.tokens,
        }
    }
}

impl TryFrom<v1::QuotaWindow> for QuotaWindow {
    type Error = Invalid;

    fn try_from(message: v1::QuotaWindow) -> Result<Self, Invalid> {
        use v1::quota_window::Period as Message;
        Ok(Self {
            name: message.name.into(),
            period: match required(message.period, "period")? {
                Message::Rolling(rolling) => Period::Rolling(duration(Some(rolling), "rolling")?),
                Message::Calendar(calendar) => Period::Calendar(calendar.try_into().within("calendar")?),
            },
            requests: message.requests,
            tokens: message.tokens,
        })
    }
}

impl From<&Calendar> for v1::Calendar {
    fn from(calendar: &Calendar) -> Self {
        use v1::calendar::Unit;
        Self {
            unit: Some(match calendar.unit {
                CalendarUnit::Day => Unit::Day(()),
                CalendarUnit::Week(day) => Unit::Week(v1::Weekday::from(day).into()),
                CalendarUnit::Month(day) => Unit::Month(day.into()),
            }),
            hour: calendar.hour.into(),
            minute: calendar.minute.into(),
            // `resources::compile` takes zones by their names, so there is one.
            time_zone: calendar.zone.iana_name().unwrap_or_default().to_owned(),
        }
    }
}

impl TryFrom<v1::Calendar> for Calendar {
    type Error = Invalid;

    fn try_from(message: v1::Calendar) -> Result<Self, Invalid> {
        use v1::calendar::Unit;
        Ok(Self {
            unit: match required(message.unit, "unit")? {
                Unit::Day(()) => CalendarUnit::Day,
                Unit::Week(day) => CalendarUnit::Week(known::<v1::Weekday, _>(day, "week")?),
                Unit::Month(day) => CalendarUnit::Month(within(day, 1, 31, "month", "a day from 1 to 31")?),
            },
            hour: within(message.hour, 0, 23, "hour", "an hour from 0 to 23")?,
            minute: within(message.minute, 0, 59, "minute", "a minute from 0 to 59")?,
            // The zones that come with the program, as `resources::compile` has them.
            zone: TimeZoneDatabase::bundled()
                .get(&message.time_zone)
                .map_err(|_| Invalid::expected("time_zone", "a name of the IANA database"))?,
        })
    }
}

fn within(value: u32, first: u8, last: u8, field: &str, what: &'static str) -> Result<u8, Invalid> {
    let value = number(value, field, what)?;
    if (first..=last).contains(&value) {
        Ok(value)
    } else {
        Err(Invalid::expected(field, what))
    }
}
