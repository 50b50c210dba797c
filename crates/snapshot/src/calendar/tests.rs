use jiff::{
    civil::Weekday,
    tz::{TimeZone, TimeZoneDatabase},
};
use proptest::prelude::*;

use super::{Bounds, Calendar, CalendarUnit};
use crate::Timestamp;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).expect("a known zone")
}

fn calendar(unit: CalendarUnit, hour: u8, minute: u8, name: &str) -> Calendar {
    Calendar {
        unit,
        hour,
        minute,
        zone: zone(name),
    }
}

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
    Timestamp::from_micros(moment.as_microsecond().try_into().expect("after 1970"))
}

/// Unit, time, zone; a moment, and the start and end of its period.
const PERIODS: &str = "
    day       00:00 UTC               2026-05-05T12:00:00Z 2026-05-05T00:00:00Z 2026-05-06T00:00:00Z
    day       09:30 Asia/Kolkata      2026-05-05T03:59:59Z 2026-05-04T04:00:00Z 2026-05-05T04:00:00Z
    day       09:30 Asia/Kolkata      2026-05-05T04:00:00Z 2026-05-05T04:00:00Z 2026-05-06T04:00:00Z
    monday    00:00 UTC               2026-05-05T12:00:00Z 2026-05-04T00:00:00Z 2026-05-11T00:00:00Z
    tuesday   13:00 UTC               2026-05-05T12:00:00Z 2026-04-28T13:00:00Z 2026-05-05T13:00:00Z
    1         00:00 Asia/Shanghai     2026-05-31T16:00:00Z 2026-05-31T16:00:00Z 2026-06-30T16:00:00Z

    # Months that are too short begin on their last day.
    31        00:00 UTC               2026-02-27T00:00:00Z 2026-01-31T00:00:00Z 2026-02-28T00:00:00Z
    31        00:00 UTC               2028-02-29T00:00:00Z 2028-02-29T00:00:00Z 2028-03-31T00:00:00Z
    30        00:00 UTC               2026-12-30T00:00:00Z 2026-12-30T00:00:00Z 2027-01-30T00:00:00Z

    # 02:30 is skipped on 29 March 2026: that day begins at 03:30 (+02:00).
    day       02:30 Europe/Berlin     2026-03-29T01:00:00Z 2026-03-28T01:30:00Z 2026-03-29T01:30:00Z
    day       02:30 Europe/Berlin     2026-03-29T02:00:00Z 2026-03-29T01:30:00Z 2026-03-30T00:30:00Z

    # 02:30 comes twice on 25 October 2026: the day begins with the first (+02:00) and has 25 hours.
    day       02:30 Europe/Berlin     2026-10-25T01:30:00Z 2026-10-25T00:30:00Z 2026-10-26T01:30:00Z

    # 24:00 became 23:00 on 17 February 2018: the last hour of that day once more.
    day       00:00 America/Sao_Paulo 2018-02-18T02:30:00Z 2018-02-17T02:00:00Z 2018-02-18T03:00:00Z
    day       23:30 America/Sao_Paulo 2018-02-18T02:15:00Z 2018-02-18T01:30:00Z 2018-02-19T02:30:00Z

    # There was no 30 December 2011.
    day       00:00 Pacific/Apia      2011-12-30T09:59:00Z 2011-12-29T10:00:00Z 2011-12-30T10:00:00Z
    day       00:00 Pacific/Apia      2011-12-30T10:00:00Z 2011-12-30T10:00:00Z 2011-12-31T10:00:00Z
";

fn unit(text: &str) -> CalendarUnit {
    match text {
        "day" => CalendarUnit::Day,
        "monday" => CalendarUnit::Week(Weekday::Monday),
        "tuesday" => CalendarUnit::Week(Weekday::Tuesday),
        day => CalendarUnit::Month(day.parse().expect("a day of the month")),
    }
}

#[test]
fn periods_begin_and_end_as_the_place_says() {
    let rows = PERIODS
        .lines()
        .filter(|row| !row.trim().is_empty() && !row.trim().starts_with('#'));
    for row in rows {
        let columns: Vec<_> = row.split_whitespace().collect();
        let [of, time, name, now, start, end] = columns[..] else {
            panic!("six columns: {row}");
        };
        let (hour, minute) = time.split_once(':').expect("HH:MM");
        let [hour, minute] = [hour, minute].map(|part| part.parse().expect("a number"));
        let bounds = calendar(unit(of), hour, minute, name).bounds(at(now));
        let expected = Bounds {
            start: at(start),
            end: at(end),
        };
        assert_eq!(bounds, expected, "{row}");
    }
}

#[test]
fn beyond_the_calendar_periods_have_no_bounds() {
    let day = calendar(CalendarUnit::Day, 5, 0, "UTC");
    assert_eq!(
        day.bounds(Timestamp::EPOCH).start,
        Timestamp::EPOCH,
        "nothing is earlier"
    );
    assert_eq!(day.bounds(Timestamp::FAR).end, Timestamp::FAR, "nothing is later");
    assert_eq!(
        day.bounds(at("9999-12-30T00:00:00Z")).end,
        at("9999-12-30T05:00:00Z")
    );
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let unit = prop_oneof![
        Just(CalendarUnit::Day),
        (0i8..7)
            .prop_map(|day| CalendarUnit::Week(Weekday::from_monday_zero_offset(day).expect("a weekday"))),
        (1u8..=31).prop_map(CalendarUnit::Month),
    ];
    let zone = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/Sao_Paulo",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
        "Asia/Shanghai",
    ]);
    (unit, 0u8..24, 0u8..60, zone).prop_map(|(unit, hour, minute, name)| calendar(unit, hour, minute, name))
}

proptest! {
    #[test]
    fn periods_follow_each_other_without_gap_or_overlap(
        calendar in any_calendar(),
        // 1990 to 2100.
        seconds in 631_152_000u64..4_102_444_800,
        micros in 0u64..1_000_000,
    ) {
        let now = Timestamp::from_micros(seconds * 1_000_000 + micros);
        let Bounds { start, end } = calendar.bounds(now);
        prop_assert!(start <= now && now < end, "{start} <= {now} < {end}");
        let last = Timestamp::from_micros(end.as_micros() - 1);
        prop_assert_eq!(calendar.bounds(start), Bounds { start, end });
        prop_assert_eq!(calendar.bounds(last), Bounds { start, end });
        prop_assert_eq!(calendar.bounds(end).start, end);
        let days = match calendar.unit {
            CalendarUnit::Day => 1..=1,
            CalendarUnit::Week(_) => 7..=7,
            CalendarUnit::Month(_) => 28..=31,
        };
        // A zone moves its clocks by three hours at most, or by a whole day.
        let hours = end.since(start).as_secs() / 3600;
        prop_assert!(hours + 27 >= days.start() * 24 && hours <= days.end() * 24 + 3, "{hours} hours");
    }
}
