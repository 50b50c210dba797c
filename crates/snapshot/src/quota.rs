//! Quotas of credentials and budgets of callers: so much within each of their periods.

use std::{sync::Arc, time::Duration};

use jiff::{civil::Weekday, tz::TimeZone};

/// So much within each of its periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaWindow {
    /// What it is called; unique among the windows of one object.
    pub name: Arc<str>,
    /// When it begins and ends.
    pub period: Period,
    /// Requests within one period at most.
    pub requests: Option<u64>,
    /// Tokens within one period at most.
    pub tokens: Option<u64>,
}

/// When a window begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// Begins with the first request after the one before has ended, and lasts so long.
    Rolling(Duration),
    /// Begins and ends with the calendar.
    Calendar(Calendar),
}

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
