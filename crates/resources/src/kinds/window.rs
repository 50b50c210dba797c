//! So much within each of their periods: quotas of Credentials and budgets of `ClientKey`s.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// So much within each of its periods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.duration) != has(self.calendar)", "message": "exactly one of duration and calendar is needed"}
]))]
pub struct Window {
    /// What it is called. What was used stays with this name when the rest of the window changes.
    #[schemars(length(min = 1, max = 63), regex(pattern = super::WINDOW_NAME))]
    pub name: String,
    /// The period begins with the first request after the one before has ended, and lasts so long: `1m` to
    /// `8784h` (366 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "duration(self) >= duration('1m') && duration(self) <= duration('8784h')",
        "message": "a period lasts from 1m to 8784h"
    }]))]
    pub duration: Option<Duration>,
    /// The period begins and ends with the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
    /// Requests within one period at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub requests: Option<u64>,
    /// Tokens, of input and output together, within one period at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_i64))]
    pub tokens: Option<u64>,
}

/// A period of the calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.weekday) || self.unit == 'Week'", "message": "weekday goes only with unit Week"},
    {"rule": "!has(self.day) || self.unit == 'Month'", "message": "day goes only with unit Month"}
]))]
pub struct Calendar {
    /// `Day`, `Week` or `Month`.
    pub unit: CalendarUnit,
    /// The day on which a week begins; Monday when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekday: Option<Weekday>,
    /// The day on which a month begins, or its last day where it is shorter; 1 when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31))]
    pub day: Option<u8>,
    /// When it begins on that day, from `00:00` to `23:59`.
    #[serde(default = "midnight")]
    #[schemars(length(max = 5), regex(pattern = super::TIME_OF_DAY))]
    pub time: String,
    /// Whose clocks count: a name of the time zone database such as `Europe/Berlin`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

/// How long a period of the calendar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CalendarUnit {
    /// A day.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Weekday {
    /// The first day of ISO weeks.
    #[default]
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth.
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The seventh.
    Sunday,
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}
