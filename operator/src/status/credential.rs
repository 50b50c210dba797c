//! The status of a Credential.

mod rests;

use pool::WindowState;
use resources::{
    ConditionType, Reason,
    kinds::{
        Credential, CredentialStatus, Distribution, LastError, LastHandled, ObservedSecret, UsageStatus,
        WindowStatus,
    },
};
use snapshot::{CredentialName, QuotaWindow, RestReason, Timestamp};

use super::{
    fact::{self, Fact},
    fleet::Spread,
    measured::Reading,
    reports::Told,
};
use rests::{Rests, needs_somebody};

/// What the status of a Credential is made of, beside its object.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// Which.
    pub(super) name: &'a CredentialName,
    /// What is told of it at present.
    pub(super) before: Option<&'a CredentialStatus>,
    /// What compile says.
    pub(super) facts: Vec<Fact>,
    /// How far it has come.
    pub(super) spread: Spread,
    /// Its windows as they are served.
    pub(super) quota: &'a [QuotaWindow],
    /// The `resourceVersion` of the Secret that was read.
    pub(super) secret_version: Option<&'a str>,
    /// What the store says.
    pub(super) reading: &'a Reading,
    /// What gateways reported.
    pub(super) told: Option<&'a Told>,
    /// Annotations that were acted on of late.
    pub(super) handled: Option<&'a LastHandled>,
    /// The present.
    pub(super) now: Timestamp,
}

/// Ends closer than this are one end, by the clocks of a process and of the store.
const SKEW_SECONDS: i64 = 5;

/// What to tell of a Credential.
pub(super) fn status(object: &Credential, known: Known<'_>) -> CredentialStatus {
    let generation = object.metadata.generation;
    let before = known.before;
    let observed_secret = ObservedSecret {
        name: object.spec.api_key.secret_ref.name.clone(),
        resource_version: known.secret_version.map(ToOwned::to_owned),
    };
    let is_same_secret =
        before.is_some_and(|before| before.observed_secret.as_ref() == Some(&observed_secret));
    let rests = Rests::of(&known, is_same_secret);
    let windows = windows(&known);
    let closed = closed(&windows);
    let until = rests.whole.as_ref().map(|rest| rest.until);
    let until = until.into_iter().chain(closed.map(|(_, until)| until)).max();

    let mut facts = known.facts;
    let cooling = cooling(&rests, closed);
    if !fact::unready(&mut facts) {
        facts.extend(ready(object.spec.suspend, &rests, &cooling));
    }
    facts.extend(cooling);
    facts.extend(known.spread.facts());
    let before_conditions = before.map_or(&[][..], |before| &before.conditions);
    CredentialStatus {
        observed_generation: generation,
        conditions: fact::conditions(facts, before_conditions, generation, known.now),
        observed_secret: Some(observed_secret),
        distribution: Some(Distribution {
            acked: known.spread.acked,
            connected: known.spread.counted,
            summary: known.spread.summary(),
        }),
        rests: rests.told(),
        resting_until: until.map(|until| until.to_string()),
        windows,
        usage: usage(known.name, before, known.reading),
        last_error: last_error(before, known.told),
        last_handled: handled(before, known.handled),
    }
}

/// What ends a rest, as facts: `CoolingDown` and `QuotaExhausted`.
fn cooling(rests: &Rests, closed: Option<(&str, Timestamp)>) -> [Fact; 2] {
    let resting = rests.whole.as_ref().filter(|rest| !needs_somebody(rest.reason));
    let quota = match (resting, closed) {
        (Some(rest), _) if rest.reason == RestReason::QuotaExhausted => Some(format!(
            "its upstream says so; it is used again from {}",
            rest.until
        )),
        (_, Some((window, until))) => Some(format!(
            "window {window} is used up; it is used again from {until}"
        )),
        _ => None,
    };
    let quota = match quota {
        Some(message) => Fact::new(
            ConditionType::QuotaExhausted,
            true,
            Reason::QuotaExhausted,
            message,
        ),
        None => Fact::new(ConditionType::QuotaExhausted, false, Reason::WithinQuota, ""),
    };
    let cooling = match (resting, closed) {
        (Some(rest), _) => {
            let message = format!("{}; it is used again from {}", words(rest.reason), rest.until);
            Fact::new(ConditionType::CoolingDown, true, reason(rest.reason), message)
        }
        (None, Some(_)) => Fact::new(
            ConditionType::CoolingDown,
            true,
            Reason::QuotaExhausted,
            quota.message.clone(),
        ),
        (None, None) => Fact::new(ConditionType::CoolingDown, false, Reason::NotResting, ""),
    };
    [cooling, quota]
}

/// Whether it is usable now, or again without anybody's help.
fn ready(suspended: bool, rests: &Rests, [cooling, quota]: &[Fact; 2]) -> Vec<Fact> {
    let fact = |so, reason, message: &str| Fact::new(ConditionType::Ready, so, reason, message);
    if suspended {
        return vec![fact(
            false,
            Reason::Suspended,
            "spec.suspend is set; unset it to use it again",
        )];
    }
    if let Some(rest) = rests.whole.as_ref().filter(|rest| needs_somebody(rest.reason)) {
        let reason = reason(rest.reason);
        let message = words(rest.reason);
        return vec![
            fact(false, reason, message),
            Fact::new(ConditionType::Stalled, true, reason, message),
        ];
    }
    let so = |fact: &Fact| fact.truth == true.into();
    vec![if so(quota) {
        fact(true, Reason::QuotaExhausted, &quota.message)
    } else if so(cooling) {
        fact(true, Reason::CoolingDown, &cooling.message)
    } else {
        fact(true, Reason::Usable, "")
    }]
}

const fn reason(reason: RestReason) -> Reason {
    match reason {
        RestReason::RateLimited => Reason::RateLimited,
        RestReason::QuotaExhausted => Reason::QuotaExhausted,
        RestReason::Unauthorized => Reason::Unauthorized,
        RestReason::AccountBlocked => Reason::AccountBlocked,
        RestReason::ModelUnavailable => Reason::ModelUnavailable,
        RestReason::Failing => Reason::Failing,
    }
}

const fn words(reason: RestReason) -> &'static str {
    match reason {
        RestReason::RateLimited => "its upstream limits its rate",
        RestReason::QuotaExhausted => "its quota is used up",
        RestReason::Unauthorized => "its upstream does not take the key; put a new one into its Secret",
        RestReason::AccountBlocked => {
            "its upstream has blocked the account; ask the vendor, then clear the rest"
        }
        RestReason::ModelUnavailable => "its upstream has no model for it",
        RestReason::Failing => "its calls fail",
    }
}

/// The windows that have begun.
fn windows(known: &Known<'_>) -> Vec<WindowStatus> {
    let before = known.before.map_or(&[][..], |before| &before.windows);
    let measured = match known.reading {
        Reading::NoStore => return Vec::new(),
        Reading::Away => {
            let is_there = |window: &&WindowStatus| known.quota.iter().any(|it| *it.name == *window.name);
            return before.iter().filter(is_there).cloned().collect();
        }
        Reading::Known(measured) => measured,
    };
    let begun = measured
        .credentials
        .get(known.name)
        .map_or(&[][..], |state| &state.windows);
    let status = |window: &QuotaWindow| {
        let state = begun.iter().find(|state| state.name == window.name)?;
        let (unit, used, limit) = tightest(window, state);
        let former = before.iter().find(|former| *former.name == *window.name);
        Some(WindowStatus {
            name: window.name.to_string(),
            unit: unit.to_owned(),
            used,
            limit,
            reset_at: steady(state.resets_at, former.map(|former| former.reset_at.as_str())),
        })
    };
    let mut windows: Vec<WindowStatus> = known.quota.iter().filter_map(status).collect();
    windows.sort_by(|a, b| a.name.cmp(&b.name));
    windows
}

/// Of requests and tokens, that of which more of its limit is used.
fn tightest(window: &QuotaWindow, state: &WindowState) -> (&'static str, u64, Option<u64>) {
    let parts = |used: u64, limit: u64| pool::quota::used_ppm(used, limit);
    match (window.requests, window.tokens) {
        (Some(requests), Some(tokens)) if parts(state.tokens, tokens) > parts(state.requests, requests) => {
            ("Tokens", state.tokens, Some(tokens))
        }
        (None, Some(tokens)) => ("Tokens", state.tokens, Some(tokens)),
        (requests, _) => ("Requests", state.requests, requests),
    }
}

/// Of the windows that are used up, the one that lasts longest.
fn closed(windows: &[WindowStatus]) -> Option<(&str, Timestamp)> {
    let used_up = |window: &&WindowStatus| window.limit.is_some_and(|limit| window.used >= limit);
    let until = |window: &WindowStatus| read(&window.reset_at);
    windows
        .iter()
        .filter(used_up)
        .filter_map(|window| Some((window.name.as_str(), until(window)?)))
        .max_by_key(|(_, until)| *until)
}

fn usage(name: &CredentialName, before: Option<&CredentialStatus>, reading: &Reading) -> Option<UsageStatus> {
    match reading {
        Reading::NoStore => None,
        Reading::Away => before.and_then(|before| before.usage),
        Reading::Known(measured) => measured.usage.get(name.as_str()).copied(),
    }
}

/// The last refusal that is known. A new replica knows only what was told.
fn last_error(before: Option<&CredentialStatus>, told: Option<&Told>) -> Option<LastError> {
    let before = before.and_then(|before| before.last_error.as_ref());
    let told = told.and_then(|told| told.error).map(|(reason, at)| LastError {
        class: reason.as_str().to_owned(),
        at: at.to_string(),
    });
    match (told, before) {
        (Some(told), Some(before)) if read(&told.at) <= read(&before.at) => Some(before.clone()),
        (Some(told), _) => Some(told),
        (None, before) => before.cloned(),
    }
}

fn handled(before: Option<&CredentialStatus>, late: Option<&LastHandled>) -> Option<LastHandled> {
    let before = before.and_then(|before| before.last_handled.clone());
    let Some(late) = late else { return before };
    let before = before.unwrap_or_default();
    Some(LastHandled {
        clear_rest: late.clear_rest.clone().or(before.clear_rest),
        reset_quota: late.reset_quota.clone().or(before.reset_quota),
    })
}

/// A moment as a status tells it; the `former` text where that means the same.
fn steady(moment: Timestamp, former: Option<&str>) -> String {
    let text = moment.to_string();
    let seconds = |text: &str| {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_second)
    };
    match former {
        Some(former) => match (seconds(former), seconds(&text)) {
            (Some(a), Some(b)) if a.abs_diff(b) <= SKEW_SECONDS.unsigned_abs() => former.to_owned(),
            _ => text,
        },
        None => text,
    }
}

/// A moment that a status tells.
fn read(text: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(moment.as_microsecond())
        .ok()
        .map(Timestamp::from_micros)
}
