//! Secrets and `ConfigMap`s: a stub of each, and the values of those that are referred to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use resources::{Identity, Kind, Object, Objects};

use super::{
    SecretPolicy,
    event::{Change, Directive, Fetched, Stub},
};

/// Why a Secret without the label is not used.
const UNLABELLED: &str = "it has no label roundhouse.dev/use: credential, which this installation requires";

/// A stub of every Secret and `ConfigMap` that there is.
#[derive(Debug, Default)]
pub(super) struct Stubs(BTreeMap<Identity, Stub>);

/// The Secrets and `ConfigMap`s that are referred to.
#[derive(Debug)]
pub(super) struct Values {
    policy: SecretPolicy,
    referred: BTreeMap<Identity, Referred>,
}

/// A Secret or `ConfigMap` that is referred to. What it holds is among the objects.
#[derive(Debug)]
struct Referred {
    referrers: BTreeSet<Identity>,
    state: State,
    /// Whether somebody is asking for it.
    is_asking: bool,
    /// Whether it changed since, so that the answer may be of before.
    is_outdated: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing is known of it yet.
    Unread,
    Known {
        resource_version: Arc<str>,
    },
    Missing,
    Withheld,
}

impl Stubs {
    pub(super) fn insert(&mut self, identity: Identity, stub: Stub) {
        self.0.insert(identity, stub);
    }

    pub(super) fn remove(&mut self, identity: &Identity) {
        self.0.remove(identity);
    }

    pub(super) fn get(&self, identity: &Identity) -> Option<&Stub> {
        self.0.get(identity)
    }

    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Identity> {
        self.0.keys().filter(move |identity| identity.kind == kind)
    }
}

impl Values {
    pub(super) const fn new(policy: SecretPolicy) -> Self {
        Self {
            policy,
            referred: BTreeMap::new(),
        }
    }

    /// Whether this is a kind that holds values.
    pub(super) const fn holds(kind: Kind) -> bool {
        matches!(kind, Kind::Secret | Kind::ConfigMap)
    }

    pub(super) fn any_unread(&self) -> bool {
        self.referred
            .values()
            .any(|referred| matches!(referred.state, State::Unread))
    }

    /// Whether something can be said of it.
    pub(super) fn is_read(&self, identity: &Identity) -> bool {
        let referred = self.referred.get(identity);
        referred.is_some_and(|referred| !matches!(referred.state, State::Unread))
    }

    /// Those whose values are held.
    pub(super) fn known(&self) -> impl Iterator<Item = &Identity> {
        self.referred
            .iter()
            .filter(|(_, referred)| matches!(referred.state, State::Known { .. }))
            .map(|(identity, _)| identity)
    }

    pub(super) fn referrers(&self, identity: &Identity) -> Vec<Identity> {
        let referred = self.referred.get(identity);
        referred
            .map(|referred| referred.referrers.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Notes a reference. The first one asks for it, also without a stub: the watch of Secrets may be behind that of
    /// what refers to them.
    pub(super) fn refer(
        &mut self,
        identity: &Identity,
        referrer: &Identity,
        stub: Option<&Stub>,
        objects: &mut Objects,
        directives: &mut Vec<Directive>,
    ) {
        let policy = self.policy;
        let value = self.referred.entry(identity.clone()).or_insert_with(|| {
            let is_usable = stub.is_none_or(|stub| is_usable(policy, identity, stub));
            if is_usable {
                directives.push(Directive::Fetch(identity.clone()));
            } else {
                objects.withhold(identity.clone(), UNLABELLED);
            }
            Referred {
                referrers: BTreeSet::new(),
                state: if is_usable { State::Unread } else { State::Withheld },
                is_asking: is_usable,
                is_outdated: false,
            }
        });
        value.referrers.insert(referrer.clone());
    }

    /// Takes a reference back. What nothing refers to is dropped.
    pub(super) fn forget(
        &mut self,
        identity: &Identity,
        referrer: &Identity,
        objects: &mut Objects,
        directives: &mut Vec<Directive>,
    ) {
        let Some(value) = self.referred.get_mut(identity) else {
            return;
        };
        value.referrers.remove(referrer);
        if !value.referrers.is_empty() {
            return;
        }
        if value.is_asking {
            directives.push(Directive::Forget(identity.clone()));
        }
        self.referred.remove(identity);
        objects.remove(identity);
    }

    /// Takes what the watch says of it: its stub, or that it is gone.
    pub(super) fn stub_changed(
        &mut self,
        identity: &Identity,
        stub: Option<&Stub>,
        objects: &mut Objects,
        directives: &mut Vec<Directive>,
    ) -> Change {
        let Some(referred) = self.referred.get_mut(identity) else {
            return Change::None;
        };
        let Some(stub) = stub else {
            referred.is_outdated = referred.is_asking;
            return referred.become_missing(identity, objects);
        };
        if !is_usable(self.policy, identity, stub) {
            referred.is_outdated = referred.is_asking;
            return referred.withhold(identity, UNLABELLED, objects);
        }
        let is_known = matches!(&referred.state, State::Known { resource_version } if *resource_version == stub.resource_version);
        if is_known {
            referred.is_outdated = false;
        } else if referred.is_asking {
            referred.is_outdated = true;
        } else {
            referred.ask(identity, directives);
        }
        Change::None
    }

    /// Takes an answer.
    pub(super) fn fetched(
        &mut self,
        identity: &Identity,
        fetched: Fetched,
        stubs: &Stubs,
        objects: &mut Objects,
        directives: &mut Vec<Directive>,
    ) -> Change {
        let Some(referred) = self.referred.get_mut(identity).filter(|it| it.is_asking) else {
            return Change::None;
        };
        let stub = stubs.get(identity);
        if let Fetched::Denied(why) = fetched {
            return match referred.state {
                // Better the value of before than none.
                State::Known { .. } => Change::None,
                _ => referred.withhold(identity, &why, objects),
            };
        }
        referred.is_asking = false;
        let is_outdated = std::mem::take(&mut referred.is_outdated);
        let is_of_now = matches!((&fetched, stub), (Fetched::Found { stub: found, .. }, Some(stub)) if found.resource_version == stub.resource_version);
        if is_outdated && !is_of_now {
            if stub.is_none_or(|stub| is_usable(self.policy, identity, stub)) {
                referred.ask(identity, directives);
            }
            return Change::None;
        }
        match fetched {
            Fetched::Found { stub, object } if is_usable(self.policy, identity, &stub) => {
                referred.state = State::Known {
                    resource_version: stub.resource_version.clone(),
                };
                let is_same = objects
                    .get(identity)
                    .is_some_and(|before| before.compiles_like(&object));
                match object {
                    // The status of what uses it tells which version of it is in use.
                    Object::Secret(values) => {
                        objects.insert_secret(identity.name.clone(), values, stub.resource_version);
                    }
                    object => objects.insert(identity.name.clone(), object),
                }
                if is_same {
                    Change::Metadata
                } else {
                    Change::Content
                }
            }
            Fetched::Found { .. } => referred.withhold(identity, UNLABELLED, objects),
            Fetched::Missing | Fetched::Denied(_) => referred.become_missing(identity, objects),
        }
    }
}

impl Referred {
    fn ask(&mut self, identity: &Identity, directives: &mut Vec<Directive>) {
        self.is_asking = true;
        directives.push(Directive::Fetch(identity.clone()));
    }

    fn become_missing(&mut self, identity: &Identity, objects: &mut Objects) -> Change {
        let was_there = objects.withheld(identity).is_some() || objects.get(identity).is_some();
        self.state = State::Missing;
        objects.remove(identity);
        if was_there { Change::Content } else { Change::None }
    }

    fn withhold(&mut self, identity: &Identity, why: &str, objects: &mut Objects) -> Change {
        self.state = State::Withheld;
        if objects.withheld(identity) == Some(why) {
            return Change::None;
        }
        objects.withhold(identity.clone(), why);
        Change::Content
    }
}

fn is_usable(policy: SecretPolicy, identity: &Identity, stub: &Stub) -> bool {
    policy == SecretPolicy::Any || identity.kind != Kind::Secret || stub.labelled
}
