//! The status of a Provider.

use resources::{
    ConditionType, Reason,
    kinds::{AuthType, CredentialCount, Provider, ProviderStatus},
};
use snapshot::Timestamp;

use super::{
    fact::{self, Fact},
    fleet::Spread,
};

/// How many Credentials a Provider has, and how many of them are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) total: u32,
    pub(super) ready: u32,
}

/// What to tell of a Provider.
pub(super) fn status(
    object: &Provider,
    before: Option<&ProviderStatus>,
    mut facts: Vec<Fact>,
    spread: &Spread,
    counted: Counted,
    now: Timestamp,
) -> ProviderStatus {
    let generation = object.metadata.generation;
    if !fact::unready(&mut facts) {
        facts.push(ready(object, counted));
    }
    facts.extend(spread.facts());
    let models = object.spec.models.iter().map(|model| model.name.clone());
    ProviderStatus {
        observed_generation: generation,
        conditions: fact::conditions(
            facts,
            before.map_or(&[][..], |before| &before.conditions),
            generation,
            now,
        ),
        credentials: Some(CredentialCount {
            total: counted.total,
            ready: counted.ready,
            summary: format!("{}/{}", counted.ready, counted.total),
        }),
        models: if spread.served {
            models.collect()
        } else {
            Vec::new()
        },
    }
}

fn ready(object: &Provider, counted: Counted) -> Fact {
    let fact = |so, reason, message: String| Fact::new(ConditionType::Ready, so, reason, message);
    let takes_no_key = object
        .spec
        .auth
        .as_ref()
        .is_some_and(|auth| auth.kind == AuthType::None);
    if takes_no_key {
        return fact(true, Reason::Usable, "it takes no key".to_owned());
    }
    match counted {
        Counted { total: 0, .. } => {
            let message = "no Credential refers to it; make one with spec.providerRef.name set to its name";
            fact(false, Reason::NoCredentials, message.to_owned())
        }
        Counted { total, ready: 0 } => {
            let message = format!("none of its {total} Credentials is ready; look at their conditions");
            fact(false, Reason::NoReadyCredential, message)
        }
        // How many is told beside; a sentence that changes with each would be news for nobody.
        Counted { .. } => fact(true, Reason::Usable, String::new()),
    }
}
