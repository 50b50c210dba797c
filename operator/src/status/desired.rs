//! What is to be told of all objects.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use resources::{
    ConditionType, Identity, Kind, Object, ObjectConditions, SecretValues,
    kinds::{ClientKey, LastHandled},
};
use snapshot::{CredentialName, ObjectName, ProviderName, Timestamp};

use super::{
    board::{Board, Wanted},
    client, credential, fact,
    fleet::Fleet,
    measured::Reading,
    provider::{self, Counted},
    reports::Reports,
    route,
    told::Status,
};
use crate::{mint, published::Published};

/// All that statuses are made of.
pub(super) struct View<'a> {
    pub(super) published: &'a Published,
    pub(super) fleet: &'a Fleet<'a>,
    pub(super) reading: &'a Reading,
    pub(super) reports: &'a Reports,
    pub(super) handled: &'a BTreeMap<Identity, LastHandled>,
    pub(super) board: &'a Board,
    pub(super) now: Timestamp,
}

/// The conditions that are ours. Others may be there, of other owners.
const OURS: [ConditionType; 8] = [
    ConditionType::Accepted,
    ConditionType::ResolvedRefs,
    ConditionType::Ready,
    ConditionType::Programmed,
    ConditionType::CoolingDown,
    ConditionType::QuotaExhausted,
    ConditionType::Reconciling,
    ConditionType::Stalled,
];

/// What is to be told of each object. Credentials come first, then what counts them, then what leads there.
pub(super) fn wanted(view: &View<'_>) -> BTreeMap<Identity, Wanted> {
    let mut all = BTreeMap::new();
    let mut counted: HashMap<ObjectName, Counted> = HashMap::new();
    let mut ready_providers: HashMap<ObjectName, bool> = HashMap::new();
    for kind in [
        Kind::Credential,
        Kind::Provider,
        Kind::ModelRoute,
        Kind::ClientKey,
    ] {
        let of_kind = |conditions: &&ObjectConditions| conditions.identity.kind == kind;
        for conditions in view.published.conditions.iter().filter(of_kind) {
            let identity = &conditions.identity;
            let Some(object) = view.published.objects.get(identity) else {
                // It cannot be read, and that is all that is known of it.
                all.extend(
                    view.unreadable(conditions)
                        .map(|wanted| (identity.clone(), wanted)),
                );
                continue;
            };
            let Some(mut wanted) = view.object(conditions, object, &counted, &ready_providers) else {
                continue;
            };
            let is_ready = wanted.status.truth(ConditionType::Ready) == Some("True");
            match object {
                Object::Credential(credential) => {
                    let provider = &credential.spec.provider_ref.name;
                    if let Ok(provider) = ObjectName::new(identity.name.namespace(), provider) {
                        let counted = counted.entry(provider).or_default();
                        counted.total += 1;
                        counted.ready += u32::from(is_ready);
                    }
                }
                Object::Provider(_) => {
                    ready_providers.insert(identity.name.clone(), is_ready);
                }
                Object::ModelRoute(_) | Object::ClientKey(_) | Object::Secret(_) | Object::ConfigMap(_) => {}
            }
            if let Some(told) = &mut wanted.told {
                told.keep_ours();
            }
            all.insert(identity.clone(), wanted);
        }
    }
    all
}

impl View<'_> {
    fn object(
        &self,
        conditions: &ObjectConditions,
        object: &Object,
        counted: &HashMap<ObjectName, Counted>,
        ready_providers: &HashMap<ObjectName, bool>,
    ) -> Option<Wanted> {
        let identity = &conditions.identity;
        let facts = fact::compiled(conditions);
        let spread = self.fleet.spread(identity);
        let now = self.now;
        let snapshot = self.published.contents.snapshot();
        let (told, status, metadata) = match object {
            Object::Provider(object) => {
                let told = self.told(
                    identity,
                    &object.metadata,
                    object.status.clone().map(Status::Provider),
                );
                let before = match &told {
                    Some(Status::Provider(before)) => Some(before),
                    _ => None,
                };
                let counted = counted.get(&identity.name).copied().unwrap_or_default();
                let status = provider::status(object, before, facts, &spread, counted, now);
                (told, Status::Provider(status), &object.metadata)
            }
            Object::Credential(object) => {
                let told = self.told(
                    identity,
                    &object.metadata,
                    object.status.clone().map(Status::Credential),
                );
                let before = match &told {
                    Some(Status::Credential(before)) => Some(before),
                    _ => None,
                };
                let name = CredentialName::from(identity.name.clone());
                let secret = &object.spec.api_key.secret_ref.name;
                let secret = ObjectName::new(name.namespace(), secret).ok();
                let secret_version = secret.and_then(|secret| self.published.objects.secret_version(&secret));
                let quota = snapshot
                    .credentials
                    .get(&name)
                    .map(|served| Arc::clone(&served.quota));
                let known = credential::Known {
                    name: &name,
                    before,
                    facts,
                    spread,
                    quota: quota.as_deref().unwrap_or_default(),
                    secret_version: secret_version.map(|version| &**version),
                    reading: self.reading,
                    told: self.reports.of(&name, snapshot),
                    handled: self.handled.get(identity),
                    now,
                };
                let status = credential::status(object, known);
                (told, Status::Credential(status), &object.metadata)
            }
            Object::ModelRoute(object) => {
                let told = self.told(
                    identity,
                    &object.metadata,
                    object.status.clone().map(Status::ModelRoute),
                );
                let before = match &told {
                    Some(Status::ModelRoute(before)) => Some(before),
                    _ => None,
                };
                let (mut resolved, mut ready) = (0, 0);
                for target in &object.spec.targets {
                    let provider = ObjectName::new(identity.name.namespace(), &target.provider_ref.name).ok();
                    let Some(provider) = provider else { continue };
                    resolved += u32::from(
                        snapshot
                            .providers
                            .contains_key(&ProviderName::from(provider.clone())),
                    );
                    ready += u32::from(ready_providers.get(&provider) == Some(&true));
                }
                let status = route::status(object, before, facts, &spread, (resolved, ready), now);
                (told, Status::ModelRoute(status), &object.metadata)
            }
            Object::ClientKey(object) => {
                let told = self.told(
                    identity,
                    &object.metadata,
                    object.status.clone().map(Status::ClientKey),
                );
                let before = match &told {
                    Some(Status::ClientKey(before)) => Some(before),
                    _ => None,
                };
                let key = mint::facts(object, self.secret_of(&identity.name, object));
                let handled = self.handled.get(identity);
                let status = client::status(object, before, facts, &spread, key, handled, now);
                (told, Status::ClientKey(status), &object.metadata)
            }
            Object::Secret(_) | Object::ConfigMap(_) => return None,
        };
        Some(Wanted {
            uid: metadata.uid.clone(),
            told,
            status,
        })
    }

    /// The Secret that a client's key is in.
    fn secret_of(&self, name: &ObjectName, object: &ClientKey) -> Option<&SecretValues> {
        let kept_in = object.spec.kept_in()?.name;
        let secret = Identity {
            kind: Kind::Secret,
            name: ObjectName::new(name.namespace(), &kept_in).ok()?,
        };
        match self.published.objects.get(&secret)? {
            Object::Secret(values) => Some(values),
            _ => None,
        }
    }

    /// What is to be told of an object that cannot be read. What is told of it at present cannot be read either.
    fn unreadable(&self, conditions: &ObjectConditions) -> Option<Wanted> {
        let told = self.board.written(&conditions.identity, None).cloned();
        let mut facts = fact::compiled(conditions);
        fact::unready(&mut facts);
        let before = told.as_ref().map_or(&[][..], Status::conditions);
        let conditions_told = fact::conditions(facts, before, None, self.now);
        Some(Wanted {
            uid: None,
            status: Status::of_conditions(conditions.identity.kind, conditions_told)?,
            told,
        })
    }

    /// What is told of an object at present: what was seen, or what was written since.
    fn told(&self, identity: &Identity, metadata: &ObjectMeta, seen: Option<Status>) -> Option<Status> {
        let written = self.board.written(identity, metadata.resource_version.as_deref());
        written.cloned().or(seen)
    }
}

impl Status {
    /// Leaves out what others own, so that it is compared with what is ours.
    fn keep_ours(&mut self) {
        let is_ours = |condition: &Condition| OURS.iter().any(|ours| ours.as_str() == condition.type_);
        let conditions = match self {
            Self::Provider(status) => &mut status.conditions,
            Self::Credential(status) => &mut status.conditions,
            Self::ModelRoute(status) => &mut status.conditions,
            Self::ClientKey(status) => &mut status.conditions,
        };
        conditions.retain(is_ours);
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    }
}
