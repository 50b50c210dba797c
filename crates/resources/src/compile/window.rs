//! Quotas and budgets.

use jiff::{civil, tz::TimeZoneDatabase};
use snapshot::{CalendarUnit, Period, QuotaWindow};

use crate::{
    Reason,
    condition::Refusal,
    kinds::{self, Calendar, Weekday, Window},
};

/// Compiles the windows of one object, which are written at `path`.
pub(super) fn compile(windows: &[Window], path: &str) -> Result<Vec<QuotaWindow>, Refusal> {
    let window = |(index, window)| one(window, &format!("{path}[{index}]"));
    windows.iter().enumerate().map(window).collect()
}

fn one(window: &Window, path: &str) -> Result<QuotaWindow, Refusal> {
    let period = match (&window.duration, &window.calendar) {
        (Some(duration), None) => Period::Rolling(duration.0),
        (None, Some(written)) => Period::Calendar(calendar(written, &format!("{path}.calendar"))?),
        (Some(_), Some(_)) | (None, None) => {
            let message = format!("{path}: exactly one of duration and calendar is needed");
            return Err(Refusal::new(Reason::InvalidSpec, message));
        }
    };
    Ok(QuotaWindow {
        name: window.name.as_str().into(),
        period,
        requests: window.requests,
        tokens: window.tokens,
    })
}

fn calendar(calendar: &Calendar, path: &str) -> Result<snapshot::Calendar, Refusal> {
    let unit = match calendar.unit {
        kinds::CalendarUnit::Day => CalendarUnit::Day,
        kinds::CalendarUnit::Week => CalendarUnit::Week(weekday(calendar.weekday.unwrap_or_default())),
        kinds::CalendarUnit::Month => CalendarUnit::Month(calendar.day.unwrap_or(1)),
    };
    let (hour, minute) = time(&calendar.time).ok_or_else(|| {
        let message = format!("{path}.time: expected a time of day such as 09:00");
        Refusal::new(Reason::InvalidSpec, message)
    })?;
    // The zones that come with the program: every replica and every `validate` knows the same ones.
    let zone = TimeZoneDatabase::bundled()
        .get(&calendar.time_zone)
        .map_err(|_| {
            let message = format!(
                "{path}.timeZone: there is no time zone {}; expected a name such as Europe/Berlin or UTC",
                calendar.time_zone
            );
            Refusal::new(Reason::UnknownTimeZone, message)
        })?;
    Ok(snapshot::Calendar {
        unit,
        hour,
        minute,
        zone,
    })
}

fn time(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some((hour, minute))
}

const fn weekday(day: Weekday) -> civil::Weekday {
    match day {
        Weekday::Monday => civil::Weekday::Monday,
        Weekday::Tuesday => civil::Weekday::Tuesday,
        Weekday::Wednesday => civil::Weekday::Wednesday,
        Weekday::Thursday => civil::Weekday::Thursday,
        Weekday::Friday => civil::Weekday::Friday,
        Weekday::Saturday => civil::Weekday::Saturday,
        Weekday::Sunday => civil::Weekday::Sunday,
    }
}
