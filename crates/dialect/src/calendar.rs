//! Dates as vendors write them, in seconds since the Unix epoch.

use std::time::Duration;

const SECONDS_PER_DAY: u64 = 86_400;
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// The moment of a UTC date and time; `None` when there is no such date, or it lies before 1970.
fn moment(year: u64, month: u64, day: u64, time: (u64, u64, u64)) -> Option<Duration> {
    let (hour, minute, second) = time;
    let sane = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    sane.then(|| {
        let seconds =
            days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
        Duration::from_secs(seconds)
    })
}

/// Days since 1970-01-01, counted in years that begin in March so that the leap day is the last one.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, and the two obsolete forms that RFC 9110 still asks readers to take.
pub(crate) fn http_date(text: &str) -> Option<Duration> {
    let mut day = None;
    let mut month = None;
    let mut year = None;
    let mut time = None;
    for word in text.split([' ', ',', '-']).filter(|word| !word.is_empty()) {
        if word.contains(':') {
            time = Some(clock(word)?);
        } else if let Ok(number) = word.parse::<u64>() {
            if day.is_none() {
                day = Some(number);
            } else {
                year = Some(if word.len() == 2 {
                    four_digit_year(number)
                } else {
                    number
                });
            }
        } else if let Some(found) = MONTHS.iter().position(|name| word.eq_ignore_ascii_case(name)) {
            month = Some(found as u64 + 1);
        }
    }
    moment(year?, month?, day?, time?)
}

/// RFC 850's two-digit years: nobody sends dates that are fifty years old.
fn four_digit_year(number: u64) -> u64 {
    if number < 70 { 2000 + number } else { 1900 + number }
}

/// `2026-11-21T04:05:06Z`, with a fraction or an offset, and with a space instead of the `T`.
pub(crate) fn rfc3339(text: &str) -> Option<Duration> {
    let (date, time) = (text.get(..10)?, text.get(11..)?);
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => return None,
    };
    let at = civil_date(date, clock(time.split('.').next()?)?)?;
    let offset = match offset.as_bytes().first()? {
        b'Z' | b'z' => return Some(at),
        sign => {
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let length = Duration::from_secs(u64::from(hours.parse::<u32>().ok()?) * 3600)
                + Duration::from_secs(u64::from(minutes.parse::<u32>().ok()?) * 60);
            (*sign, length)
        }
    };
    if offset.0 == b'+' {
        at.checked_sub(offset.1)
    } else {
        at.checked_add(offset.1)
    }
}

/// `2026-04-01` at the given time of day in UTC.
pub(crate) fn civil_date(date: &str, time: (u64, u64, u64)) -> Option<Duration> {
    let mut numbers = date.split('-').map(|word| word.parse::<u64>().ok());
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if numbers.next().is_some() {
        return None;
    }
    moment(year, month, day, time)
}

/// `08:49:37`, or `08:49`.
pub(crate) fn clock(text: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = text.split(':').map(|word| word.parse::<u64>().ok());
    let (hour, minute) = (numbers.next()??, numbers.next()??);
    let second = match numbers.next() {
        Some(second) => second?,
        None => 0,
    };
    numbers.next().is_none().then_some((hour, minute, second))
}

/// A moment as RFC 3339 in UTC, to the second.
pub(crate) fn to_rfc3339(seconds: u64) -> String {
    // The last second of the year 9999; later moments have no RFC 3339 form.
    let seconds = seconds.min(253_402_300_799);
    let (days, rest) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: Option<Duration> = Some(Duration::from_secs(784_111_777));

    #[test]
    fn all_three_forms_of_an_http_date_name_the_same_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(text), EXAMPLE, "{text}");
        }
        for text in [
            "",
            "soon",
            "Sun, 06 Nov 1994",
            "Sun, 45 Nov 1994 08:49:37 GMT",
            "12",
            "1:2:3:4",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }

    #[test]
    fn rfc3339_is_read_with_fractions_and_offsets() {
        for text in [
            "1994-11-06T08:49:37Z",
            "1994-11-06T08:49:37.125Z",
            "1994-11-06 08:49:37z",
            "1994-11-06T09:49:37+01:00",
            "1994-11-06T00:49:37-08:00",
        ] {
            assert_eq!(rfc3339(text), EXAMPLE, "{text}");
        }
        for text in [
            "",
            "1994-11-06",
            "1994-11-06T08:49:37",
            "1994-13-06T08:49:37Z",
            "1994-11-06Tü8:49:37Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_moment_is_read_back(seconds in 0u64..253_402_300_799) {
            prop_assert_eq!(rfc3339(&to_rfc3339(seconds)), Some(Duration::from_secs(seconds)));
        }

        #[test]
        fn no_text_makes_the_readers_fail(text in "\\PC{0,40}") {
            let _ = (http_date(&text), rfc3339(&text), clock(&text));
        }
    }
}
