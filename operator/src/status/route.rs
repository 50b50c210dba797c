//! The status of a `ModelRoute`.

use resources::{
    ConditionType, Reason,
    kinds::{ModelRoute, ModelRouteStatus},
};
use snapshot::Timestamp;

use super::{
    fact::{self, Fact, Truth},
    fleet::Spread,
};

/// What to tell of a `ModelRoute`, some of whose targets are `resolved`, and some of these ready.
pub(super) fn status(
    object: &ModelRoute,
    before: Option<&ModelRouteStatus>,
    mut facts: Vec<Fact>,
    spread: &Spread,
    (resolved, ready): (u32, u32),
    now: Timestamp,
) -> ModelRouteStatus {
    let generation = object.metadata.generation;
    let is_accepted = facts
        .iter()
        .all(|fact| fact.kind != ConditionType::Accepted || fact.truth == Truth::True);
    // A target that is missing does not stop those that are there.
    if is_accepted && ready > 0 {
        facts.push(Fact::new(ConditionType::Ready, true, Reason::Usable, ""));
    } else if !fact::unready(&mut facts) {
        let message = "the Provider of none of its targets is ready; look at their conditions";
        facts.push(Fact::new(
            ConditionType::Ready,
            false,
            Reason::NoReadyTarget,
            message,
        ));
    }
    facts.extend(spread.facts());
    let conditions = before.map_or(&[][..], |before| &before.conditions);
    ModelRouteStatus {
        observed_generation: generation,
        conditions: fact::conditions(facts, conditions, generation, now),
        resolved_targets: Some(resolved),
    }
}
