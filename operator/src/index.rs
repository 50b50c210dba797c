//! All that was seen of the cluster, as plain synchronous code: [events](Event) in, [objects](Index::objects) to
//! compile and [directives](Directive) out.
//!
//! - An object is taken over once the Secrets and `ConfigMap`s that it names have been asked for; until then its former
//!   version stays. So nothing is ever said to lack a Secret that is merely on its way.
//! - Of Secrets and `ConfigMap`s only those that are referred to are read and kept.
//! - A listing in which much is missing is not believed before a second one says the same.

mod event;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use resources::{
    Condition, ConditionType, Identity, Kind, Object, ObjectConditions, Objects, Reason, references,
};
use snapshot::ObjectName;

pub use event::{Change, Content, Directive, Event, Fetched, Scope, Stub};
use values::{Stubs, Values};

/// Fewer missing objects are believed at once.
const MANY: usize = 10;

/// Which Secrets may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretPolicy {
    /// Any of the namespace.
    #[default]
    Any,
    /// Those with the label `roundhouse.dev/use: credential`.
    Labelled,
}

/// All that was seen of the cluster.
#[derive(Debug)]
pub struct Index {
    /// What was not listed yet.
    unlisted: BTreeSet<Scope>,
    /// Where much was missing when it was listed last.
    suspected: BTreeSet<Scope>,
    /// The objects of our kinds as they were seen last.
    seen: BTreeMap<Identity, Seen>,
    stubs: Stubs,
    values: Values,
    /// What compile is given.
    objects: Objects,
    directives: Vec<Directive>,
    is_synced: bool,
}

/// An object as it was seen last.
#[derive(Debug)]
struct Seen {
    /// The object, or why it cannot be understood.
    latest: Result<Object, String>,
    /// Whether compile is given this version.
    is_settled: bool,
    /// What it refers to, together with the version that compile is given.
    references: BTreeSet<Identity>,
}

impl Index {
    /// Knows nothing yet of what is to be listed.
    pub fn new(scopes: impl IntoIterator<Item = Scope>, policy: SecretPolicy) -> Self {
        Self {
            unlisted: scopes.into_iter().collect(),
            suspected: BTreeSet::new(),
            seen: BTreeMap::new(),
            stubs: Stubs::default(),
            values: Values::new(policy),
            objects: Objects::default(),
            directives: Vec::new(),
            is_synced: false,
        }
    }

    /// Takes what happened, and says what it changes.
    pub fn take(&mut self, event: Event) -> Change {
        let change = match event {
            Event::Applied(identity, content) => self.applied(&identity, content),
            Event::Deleted(identity) => self.deleted(&identity),
            Event::Relisted(scope, objects) => self.relisted(&scope, objects),
            Event::Fetched(identity, fetched) => {
                let asked = self.values.fetched(
                    &identity,
                    fetched,
                    &self.stubs,
                    &mut self.objects,
                    &mut self.directives,
                );
                asked.max(self.settle_referrers(&identity))
            }
        };
        self.is_synced = self.is_synced || (self.unlisted.is_empty() && !self.values.any_unread());
        change
    }

    /// Whether everything was listed and what it refers to was read, once. Before that nothing may be published.
    pub const fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// What is to be done since this was asked last.
    pub fn directives(&mut self) -> Vec<Directive> {
        std::mem::take(&mut self.directives)
    }

    /// What is to be compiled.
    pub const fn objects(&self) -> &Objects {
        &self.objects
    }

    /// What is said of the objects that cannot be understood, in order of kind and name.
    pub fn refused(&self) -> Vec<ObjectConditions> {
        let refused = |(identity, seen): (&Identity, &Seen)| {
            let why = seen.latest.as_ref().err()?;
            Some(ObjectConditions {
                identity: identity.clone(),
                conditions: vec![Condition {
                    kind: ConditionType::Accepted,
                    status: false,
                    reason: Reason::InvalidSpec,
                    message: format!("this version of Roundhouse does not understand it: {why}"),
                }],
            })
        };
        self.seen.iter().filter_map(refused).collect()
    }

    fn applied(&mut self, identity: &Identity, content: Content) -> Change {
        let latest = match content {
            Content::Stub(stub) => {
                self.stubs.insert(identity.clone(), stub);
                return self.revalue(identity);
            }
            Content::Object(object) => Ok(object),
            Content::Undecodable(why) => Err(why),
        };
        let before = self.seen.remove(identity);
        if let Err(why) = &latest {
            let is_news = before
                .as_ref()
                .is_none_or(|before| before.latest.as_ref().err() != Some(why));
            if is_news {
                tracing::warn!(object = %identity, %why, "an object cannot be understood, and is not used");
            }
        }
        let seen = Seen {
            latest,
            is_settled: false,
            references: before.map(|before| before.references).unwrap_or_default(),
        };
        self.seen.insert(identity.clone(), seen);
        self.settle(identity)
    }

    fn deleted(&mut self, identity: &Identity) -> Change {
        if Values::holds(identity.kind) {
            self.stubs.remove(identity);
            return self.revalue(identity);
        }
        let Some(seen) = self.seen.remove(identity) else {
            return Change::None;
        };
        self.refer(identity, &seen.references, &BTreeSet::new());
        self.objects.remove(identity);
        Change::Content
    }

    fn relisted(&mut self, scope: &Scope, listed: Vec<(Identity, Content)>) -> Change {
        let names: BTreeSet<&ObjectName> = listed.iter().map(|(identity, _)| &identity.name).collect();
        let known: Vec<Identity> = if Values::holds(scope.kind) {
            let known: BTreeSet<&Identity> = self.stubs.of(scope.kind).chain(self.values.known()).collect();
            known
                .into_iter()
                .filter(|identity| scope.holds(identity))
                .cloned()
                .collect()
        } else {
            let known = self.seen.keys().filter(|identity| scope.holds(identity));
            known.cloned().collect()
        };
        let known_before = known.len();
        let mut missing: Vec<Identity> = known
            .into_iter()
            .filter(|identity| !names.contains(&identity.name))
            .collect();
        let is_much = missing.len() >= MANY && missing.len() * 2 >= known_before;
        if is_much && self.suspected.insert(scope.clone()) {
            let (missing_count, known_count) = (missing.len(), known_before);
            tracing::warn!(listing = %scope, missing = missing_count, known = known_count, "much is missing in a listing; listing once more before it goes");
            self.directives.push(Directive::Relist(scope.clone()));
            missing.clear();
        } else {
            self.suspected.remove(scope);
        }
        self.unlisted.remove(scope);
        let mut change = Change::None;
        for identity in missing {
            change = change.max(self.deleted(&identity));
        }
        for (identity, content) in listed {
            change = change.max(self.applied(&identity, content));
        }
        change
    }

    /// Takes a Secret or `ConfigMap` as its stub says that it is.
    fn revalue(&mut self, identity: &Identity) -> Change {
        let change = self.values.stub_changed(
            identity,
            self.stubs.get(identity),
            &mut self.objects,
            &mut self.directives,
        );
        change.max(self.settle_referrers(identity))
    }

    fn settle_referrers(&mut self, identity: &Identity) -> Change {
        let mut change = Change::None;
        for referrer in self.values.referrers(identity) {
            change = change.max(self.settle(&referrer));
        }
        change
    }

    /// Gives compile the latest version of an object, unless something that it refers to has to be read first.
    fn settle(&mut self, identity: &Identity) -> Change {
        let Some(seen) = self.seen.get_mut(identity) else {
            return Change::None;
        };
        if seen.is_settled {
            return Change::None;
        }
        let namespace = identity.name.namespace();
        let wanted = match &seen.latest {
            Ok(object) => references(namespace, object),
            Err(_) => BTreeSet::new(),
        };
        let before = std::mem::take(&mut seen.references);
        let both: BTreeSet<Identity> = before.union(&wanted).cloned().collect();
        self.refer(identity, &before, &both);
        let is_settled = wanted.iter().all(|wanted| self.values.is_read(wanted));
        let references = if is_settled {
            self.refer(identity, &both, &wanted);
            wanted
        } else {
            both
        };
        let Some(seen) = self.seen.get_mut(identity) else {
            return Change::None;
        };
        seen.references = references;
        seen.is_settled = is_settled;
        if !is_settled {
            return Change::None;
        }
        let Ok(object) = &seen.latest else {
            self.objects.remove(identity);
            return Change::Content;
        };
        let change = match self.objects.get(identity) {
            Some(before) if before.compiles_like(object) => Change::Metadata,
            _ => Change::Content,
        };
        self.objects.insert(identity.name.clone(), object.clone());
        change
    }

    /// Notes that an object refers to `after` and no longer to what else is in `before`.
    fn refer(&mut self, referrer: &Identity, before: &BTreeSet<Identity>, after: &BTreeSet<Identity>) {
        for value in after.difference(before) {
            self.values.refer(
                value,
                referrer,
                self.stubs.get(value),
                &mut self.objects,
                &mut self.directives,
            );
        }
        for value in before.difference(after) {
            self.values
                .forget(value, referrer, &mut self.objects, &mut self.directives);
        }
    }
}

impl Scope {
    /// All that is to be listed: every kind in each of the namespaces, or in all.
    pub fn all(namespaces: Option<&[String]>) -> Vec<Self> {
        let of = |namespace: Option<&String>| {
            Kind::ALL.map(|kind| Self {
                kind,
                namespace: namespace.map(|name| name.as_str().into()),
            })
        };
        match namespaces {
            None => of(None).into(),
            Some(namespaces) => namespaces.iter().flat_map(|name| of(Some(name))).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
