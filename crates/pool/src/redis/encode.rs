//! How limits, lanes and rests are written for the scripts.

use std::{fmt::Write, sync::Arc};

use snapshot::{
    Calendar, CalendarUnit, CallLimits, CredentialName, Period, QuotaWindow, RestReason, RestScope, Strategy,
    Timestamp,
};

use super::args::Args;
use crate::{
    Lane, Member, Rest,
    rest::ladder,
    score::{self, LedBy},
};

/// A lane as the scripts know it.
#[derive(Clone, Debug)]
pub(crate) struct LaneText {
    /// Its id.
    pub(super) id: String,
    /// The names of its members in their namespace.
    pub(super) accounts: Vec<Arc<str>>,
    /// The definitions of its members; empty for one that is plain.
    pub(super) definitions: Vec<Arc<str>>,
    /// The calendars that they name.
    pub(super) calendars: Vec<(String, Calendar)>,
    /// Whether tokens of calls are held on a member.
    counts_tokens: bool,
}

impl LaneText {
    pub(crate) fn new(lane: &Lane) -> Self {
        let strategy = lane.strategy();
        let members = lane.members();
        let mut calendars = Vec::new();
        for member in members {
            name_calendars(&member.quota, &mut calendars);
        }
        Self {
            id: lane.id().to_string(),
            accounts: members
                .iter()
                .map(|member| member.credential.name().into())
                .collect(),
            definitions: members
                .iter()
                .map(|member| member_text(member, strategy))
                .collect(),
            calendars,
            counts_tokens: members
                .iter()
                .any(|member| counts_tokens(&member.limits, &member.quota)),
        }
    }

    /// Whether tokens of calls are held on a member.
    pub(super) fn counts_tokens(&self) -> bool {
        self.counts_tokens
    }

    /// Whether no member has a definition.
    pub(super) fn is_plain(&self) -> bool {
        self.definitions.iter().all(|text| text.is_empty())
    }
}

/// What leads the scores of a lane: 0 nothing, 1 calls in flight, 2 use.
pub(super) fn follows(strategy: Strategy) -> u64 {
    match score::change(strategy, 1).led_by {
        LedBy::Nothing => 0,
        LedBy::CallsInFlight => 1,
        LedBy::UsedQuota => 2,
    }
}

/// The virtual time of a pick at weight 1.
pub(super) fn stride(strategy: Strategy) -> u64 {
    score::change(strategy, 1).time
}

fn member_text(member: &Member, strategy: Strategy) -> Arc<str> {
    let weight = if strategy == Strategy::Weighted {
        member.weight
    } else {
        1
    };
    definition(weight, &member.limits, &member.quota)
}

/// What an account may use; empty where nothing is said.
pub(super) fn definition(weight: u32, limits: &CallLimits, windows: &[QuotaWindow]) -> Arc<str> {
    if weight == 1 && *limits == CallLimits::default() && windows.is_empty() {
        return "".into();
    }
    let mut text = format!(
        "{weight}|{}|{}|{}|",
        or_nothing(limits.concurrency),
        or_nothing(limits.requests_per_minute),
        or_nothing(limits.tokens_per_minute)
    );
    for window in windows {
        let (kind, span) = match &window.period {
            Period::Rolling(length) => ('r', micros(*length).to_string()),
            Period::Calendar(calendar) => ('c', calendar_name(calendar)),
        };
        let (requests, tokens) = (or_nothing(window.requests), or_nothing(window.tokens));
        // Writing into memory cannot fail.
        let _ = write!(text, "{},{kind},{span},{requests},{tokens};", window.name);
    }
    text.into()
}

/// The tokens of a call that are held on an account: none where nothing limits them.
pub(super) fn held(limits: &CallLimits, windows: &[QuotaWindow], tokens: u64) -> u64 {
    if counts_tokens(limits, windows) { tokens } else { 0 }
}

fn counts_tokens(limits: &CallLimits, windows: &[QuotaWindow]) -> bool {
    limits.tokens_per_minute.is_some() || windows.iter().any(|window| window.tokens.is_some())
}

fn or_nothing(number: Option<impl ToString>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

/// The calendars that windows name.
pub(super) fn name_calendars(windows: &[QuotaWindow], calendars: &mut Vec<(String, Calendar)>) {
    for window in windows {
        if let Period::Calendar(calendar) = &window.period
            && !calendars.iter().any(|(_, known)| known == calendar)
        {
            calendars.push((calendar_name(calendar), calendar.clone()));
        }
    }
}

fn calendar_name(calendar: &Calendar) -> String {
    let unit = match calendar.unit {
        CalendarUnit::Day => "day".to_owned(),
        CalendarUnit::Week(day) => format!("week-{}", day.to_monday_zero_offset()),
        CalendarUnit::Month(day) => format!("month-{day}"),
    };
    let zone = calendar.zone.iana_name().unwrap_or("UTC");
    format!("{unit}@{:02}:{:02}@{zone}", calendar.hour, calendar.minute)
}

/// The present and the next period of calendars, for the scripts: their clock may be a little ahead.
pub(super) fn calendar_args<'a>(
    calendars: impl ExactSizeIterator<Item = &'a (String, Calendar)>,
    now: Timestamp,
) -> Args {
    let mut args = Args::default().number(calendars.len() as u64);
    for (name, calendar) in calendars {
        let present = calendar.bounds(now);
        let next = calendar.bounds(present.end);
        args = args
            .text(name)
            .number(present.start.as_micros())
            .number(present.end.as_micros())
            .number(next.end.as_micros());
    }
    args
}

/// A rest: its scope, reason, length, and the first step and bound of its ladder.
pub(super) fn rest_args(rest: Option<&(RestScope, Rest)>) -> Args {
    let Some((scope, rest)) = rest else {
        return Args::default().number(0).text("").text("").text("").text("");
    };
    let scope = match scope {
        RestScope::Credential => 1,
        RestScope::CredentialAndModel => 2,
    };
    let args = Args::default().number(scope).number(reason_code(rest.reason));
    match rest.end.length() {
        Some(length) => args.number(micros(length)).text("").text(""),
        None => args
            .text("")
            .number(micros(ladder(rest.reason, 1)))
            .number(micros(ladder(rest.reason, u32::MAX))),
    }
}

const REASONS: [RestReason; 6] = [
    RestReason::RateLimited,
    RestReason::QuotaExhausted,
    RestReason::Unauthorized,
    RestReason::AccountBlocked,
    RestReason::ModelUnavailable,
    RestReason::Failing,
];

fn reason_code(reason: RestReason) -> u64 {
    REASONS
        .iter()
        .zip(1..)
        .find(|(known, _)| **known == reason)
        .map_or(0, |(_, code)| code)
}

/// The reason that the scripts call by this number.
pub(super) fn reason(code: u64) -> Option<RestReason> {
    let index = usize::try_from(code.checked_sub(1)?).ok()?;
    REASONS.get(index).copied()
}

/// A scope as the scripts store it: the reason, the end and whether it was guessed, if it rests.
pub(super) fn read_scope(text: &str) -> Option<(RestReason, Timestamp, bool)> {
    let mut fields = text.split('|');
    let reason = reason(fields.next()?.parse().ok()?)?;
    let until = Timestamp::from_micros(fields.next()?.parse().ok()?);
    Some((reason, until, fields.next()? == "1"))
}

/// A credential of a Provider's namespace by the name that the scripts know.
pub(super) fn credential(namespace: &str, name: &str) -> Option<CredentialName> {
    CredentialName::new(namespace, name).ok()
}

pub(super) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
