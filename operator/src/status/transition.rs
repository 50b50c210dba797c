//! What happened between one status and the next, for Events.

use resources::{ConditionType, Identity};

use super::told::{Status, condition};
use crate::events::Note;

/// The conditions whose changes are news, in order of weight.
const NEWS: [ConditionType; 5] = [
    ConditionType::Accepted,
    ConditionType::ResolvedRefs,
    ConditionType::Ready,
    ConditionType::QuotaExhausted,
    ConditionType::CoolingDown,
];

/// What happened. One cause is told once, although several conditions have it. That a new object is as it should be is
/// no news.
pub(super) fn notes(
    identity: &Identity,
    uid: Option<&String>,
    before: Option<&Status>,
    after: &Status,
) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for kind in NEWS {
        let Some(now) = condition(after.conditions(), kind) else {
            continue;
        };
        let former = before.and_then(|before| condition(before.conditions(), kind));
        let is_warning = is_bad(kind, &now.status);
        let is_news = match former {
            Some(former) => former.status != now.status || former.reason != now.reason,
            None => is_warning,
        };
        // What got better is told by `Ready`, and by what had been bad.
        let is_told = notes
            .iter()
            .any(|note| note.reason == now.reason && note.message == now.message);
        let recovered = former.is_some_and(|former| is_bad(kind, &former.status));
        if !is_news || is_told || !(is_warning || recovered || kind == ConditionType::Ready) {
            continue;
        }
        notes.push(Note {
            identity: identity.clone(),
            uid: uid.cloned(),
            is_warning,
            action: kind.as_str(),
            reason: now.reason.clone(),
            message: now.message.clone(),
        });
    }
    notes
}

/// Whether a condition with this status is what nobody wants.
fn is_bad(kind: ConditionType, status: &str) -> bool {
    let bad = match kind {
        ConditionType::CoolingDown
        | ConditionType::QuotaExhausted
        | ConditionType::Reconciling
        | ConditionType::Stalled => "True",
        ConditionType::Accepted
        | ConditionType::ResolvedRefs
        | ConditionType::Ready
        | ConditionType::Programmed => "False",
    };
    status == bad
}
