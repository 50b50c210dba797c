//! Facts about an object, and the conditions that tell them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff,
};
use resources::{ConditionType, ObjectConditions, Reason};
use snapshot::Timestamp;

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// Which.
    pub(super) kind: ConditionType,
    /// Whether it is so.
    pub(super) truth: Truth,
    /// Why, in one word.
    pub(super) reason: Reason,
    /// Why, for people.
    pub(super) message: String,
}

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody knows.
    Unknown,
}

/// The longest message of a condition.
const LONGEST: usize = 1024;

impl Truth {
    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(so: bool) -> Self {
        if so { Self::True } else { Self::False }
    }
}

impl Fact {
    pub(super) fn new(
        kind: ConditionType,
        truth: impl Into<Truth>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            truth: truth.into(),
            reason,
            message: message.into(),
        }
    }
}

/// What compile says of an object, as facts.
pub(super) fn compiled(conditions: &ObjectConditions) -> Vec<Fact> {
    let fact = |condition: &resources::Condition| {
        Fact::new(
            condition.kind,
            condition.status,
            condition.reason,
            condition.message.clone(),
        )
    };
    conditions.conditions.iter().map(fact).collect()
}

/// What compile finds wrong with an object.
pub(super) fn fault(facts: &[Fact]) -> Option<&Fact> {
    facts.iter().find(|fact| fact.truth == Truth::False)
}

/// Adds what is wrong as the reason of `Ready`; `None` when nothing is. What is invalid by itself does not get better by
/// itself either; what it lacks may still come.
pub(super) fn unready(facts: &mut Vec<Fact>) -> bool {
    let Some(fault) = fault(facts).cloned() else {
        return false;
    };
    facts.push(Fact::new(
        ConditionType::Ready,
        false,
        fault.reason,
        fault.message.clone(),
    ));
    if fault.kind == ConditionType::Accepted {
        facts.push(Fact::new(
            ConditionType::Stalled,
            true,
            fault.reason,
            fault.message,
        ));
    }
    true
}

/// The facts as conditions. One whose status is that of `before` keeps the time of its transition.
pub(super) fn conditions(
    facts: Vec<Fact>,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |fact: Fact| {
        let status = fact.truth.as_str();
        let kind = fact.kind.as_str();
        let same = before
            .iter()
            .find(|before| before.type_ == kind && before.status == status);
        Condition {
            last_transition_time: same.map_or_else(|| time(now), |same| same.last_transition_time.clone()),
            message: shortened(fact.message),
            observed_generation: generation,
            reason: fact.reason.as_str().to_owned(),
            status: status.to_owned(),
            type_: kind.to_owned(),
        }
    };
    let mut conditions: Vec<Condition> = facts.into_iter().map(condition).collect();
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions
}

fn time(now: Timestamp) -> Time {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Time(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX))
}

fn shortened(mut message: String) -> String {
    if message.len() > LONGEST {
        let end = message.floor_char_boundary(LONGEST - 3);
        message.truncate(end);
        message.push('…');
    }
    message
}
