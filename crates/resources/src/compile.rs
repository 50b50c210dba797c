//! Objects to what a gateway serves. Pure: equal objects give equal results on every process.
//!
//! What is wrong with one object is said in that object's conditions and keeps only what cannot work
//! without it out of the snapshot.

mod client;
mod credential;
mod endpoint;
mod provider;
mod route;
mod secret;
mod version;
mod window;

use std::{collections::BTreeMap, sync::Arc};

use snapshot::{DigestKey, Keyring, ObjectName, ProviderName, Snapshot};

use crate::{
    Condition, ConditionType, Identity, Kind, Object, ObjectConditions, Objects, Reason,
    condition::Refusal,
    kinds::{Credential, ModelRoute},
};
use version::Version;

/// The result of [`compile()`].
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What may be served.
    pub snapshot: Snapshot,
    /// The secrets that go with it.
    pub keyring: Keyring,
    /// What is true of each object, in order of kind and name. Secrets and `ConfigMap`s have none.
    pub conditions: Vec<ObjectConditions>,
}

/// Where the objects are used, which decides the addresses that they may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One process on a machine: loopback and private addresses are allowed.
    Standalone,
    /// A cluster.
    Cluster {
        /// Whether private addresses and plain HTTP are allowed without `service`.
        allow_private: bool,
    },
}

/// Makes what a gateway serves from objects that are valid by their schema.
pub fn compile(objects: &Objects, key: &DigestKey, place: Place) -> Compiled {
    let mut compiling = Compiling {
        objects,
        key,
        compiled: Compiled::default(),
        version: Version::new(),
        unusable: BTreeMap::new(),
    };
    // In order of kind: Providers come before what refers to them.
    for (identity, object) in objects.iter() {
        let name = &identity.name;
        let verdict = match object {
            Object::Provider(provider) => compiling.provider(name, provider, place),
            Object::Credential(credential) => compiling.credential(name, credential),
            Object::ModelRoute(route) => compiling.route(name, route),
            Object::ClientKey(_) | Object::Secret(_) | Object::ConfigMap(_) => continue,
        };
        compiling.conclude(identity, verdict);
    }
    for (identity, verdict) in client::compile(&mut compiling, place) {
        compiling.conclude(&identity, verdict);
    }
    let mut compiled = compiling.compiled;
    compiled.conditions.sort_by(|a, b| a.identity.cmp(&b.identity));
    compiled.snapshot.version = compiling.version.finish();
    compiled
}

/// What is said of an object: what it lacks, and a remark when it lacks nothing.
#[derive(Default)]
pub(crate) struct Verdict {
    accepted: Option<Refusal>,
    resolved: Option<Refusal>,
    remark: &'static str,
}

impl Verdict {
    fn good() -> Self {
        Self::default()
    }

    fn refused(refusal: Refusal) -> Self {
        Self {
            accepted: Some(refusal),
            ..Self::default()
        }
    }

    fn unresolved(refusal: Refusal) -> Self {
        Self {
            resolved: Some(refusal),
            ..Self::default()
        }
    }
}

struct Compiling<'a> {
    objects: &'a Objects,
    key: &'a DigestKey,
    compiled: Compiled,
    version: Version,
    /// Providers that exist and are not in the snapshot.
    unusable: BTreeMap<ObjectName, Reason>,
}

impl Compiling<'_> {
    fn conclude(&mut self, identity: &Identity, verdict: Verdict) {
        let fine = |kind, reason, message: &str| Condition {
            kind,
            status: true,
            reason,
            message: message.to_owned(),
        };
        let mut conditions = Vec::new();
        if let Some(refusal) = verdict.accepted {
            // What it refers to does not matter before it is valid by itself.
            conditions.push(refusal.condition(ConditionType::Accepted));
        } else {
            conditions.push(fine(ConditionType::Accepted, Reason::Valid, verdict.remark));
            conditions.push(match verdict.resolved {
                Some(refusal) => refusal.condition(ConditionType::ResolvedRefs),
                None => fine(ConditionType::ResolvedRefs, Reason::Resolved, ""),
            });
        }
        self.compiled.conditions.push(ObjectConditions {
            identity: identity.clone(),
            conditions,
        });
    }

    fn provider(&mut self, name: &ObjectName, object: &crate::kinds::Provider, place: Place) -> Verdict {
        let built = match provider::compile(self.objects, name, &object.spec, place) {
            Ok(built) => built,
            Err(verdict) => {
                let reason = verdict.accepted.as_ref().or(verdict.resolved.as_ref());
                let reason = reason.map_or(Reason::InvalidSpec, |refusal| refusal.reason);
                self.unusable.insert(name.clone(), reason);
                return verdict;
            }
        };
        self.version.object(Kind::Provider, name, &object.spec);
        let provider = built.provider;
        if let Some(ca) = &provider.tls.ca {
            self.version.part(ca.as_bytes());
        }
        for (header, secret) in built.headers {
            self.version.part(self.key.version(&secret).0.as_bytes());
            let at = (provider.name.clone(), header);
            self.compiled.keyring.headers.insert(at, secret);
        }
        if provider.auth == snapshot::Auth::None {
            let anonymous = credential::anonymous(&provider.name);
            if let Some(anonymous) = anonymous {
                self.compiled
                    .snapshot
                    .credentials
                    .insert(anonymous.name.clone(), Arc::new(anonymous));
            }
        }
        self.compiled
            .snapshot
            .providers
            .insert(provider.name.clone(), Arc::new(provider));
        Verdict::good()
    }

    fn credential(&mut self, name: &ObjectName, object: &Credential) -> Verdict {
        let quota = object.spec.quota.as_ref();
        let windows = quota.map(|quota| &*quota.windows).unwrap_or_default();
        let quota = match window::compile(windows, "spec.quota.windows") {
            Ok(quota) => quota,
            Err(refusal) => return Verdict::refused(refusal),
        };
        let provider = match self.provider_of(name, &object.spec.provider_ref.name) {
            Ok(provider) => provider,
            Err(refusal) => return Verdict::unresolved(refusal),
        };
        let takes_no_key = self
            .compiled
            .snapshot
            .providers
            .get(&provider)
            .is_some_and(|it| it.auth == snapshot::Auth::None);
        if takes_no_key {
            let message = format!("Provider {} has auth type None and takes no key", provider.name());
            return Verdict::unresolved(Refusal::new(Reason::ProviderTakesNoKey, message));
        }
        let secret = match secret::key(self.objects, name.namespace(), &object.spec.api_key.secret_ref) {
            Ok(secret) => secret,
            Err(refusal) => return Verdict::unresolved(refusal),
        };
        let version = self.key.version(&secret);
        let credential = credential::compile(name, object, provider, version.clone(), quota);
        self.version.object(Kind::Credential, name, &object.spec);
        self.version.part(version.0.as_bytes());
        for (label, value) in &credential.labels {
            self.version.part(label.as_bytes());
            self.version.part(value.as_bytes());
        }
        let remark = if credential.suspended {
            "suspended: it is not used"
        } else {
            ""
        };
        self.compiled.keyring.credentials.insert(
            credential.name.clone(),
            snapshot::CredentialSecret { version, secret },
        );
        self.compiled
            .snapshot
            .credentials
            .insert(credential.name.clone(), Arc::new(credential));
        Verdict {
            remark,
            ..Verdict::good()
        }
    }

    fn route(&mut self, name: &ObjectName, object: &ModelRoute) -> Verdict {
        let mut missing = Vec::new();
        let mut targets = Vec::new();
        for target in &object.spec.targets {
            match self.provider_of(name, &target.provider_ref.name) {
                Ok(provider) => targets.push(route::target(target, provider)),
                Err(refusal) => missing.push(refusal),
            }
        }
        // A route without targets stays: its names must not fall through to a wider glob.
        let route = route::compile(name, &object.spec, targets);
        self.version.object(Kind::ModelRoute, name, &object.spec);
        for target in &route.targets {
            self.version.part(target.provider.as_str().as_bytes());
        }
        self.compiled
            .snapshot
            .routes
            .insert(route.name.clone(), Arc::new(route));
        match missing.split_first() {
            None => Verdict::good(),
            Some((first, others)) => {
                let mut messages = vec![first.message.clone()];
                messages.extend(others.iter().map(|refusal| refusal.message.clone()));
                messages.dedup();
                Verdict::unresolved(Refusal::new(first.reason, messages.join("; ")))
            }
        }
    }

    /// The Provider that an object refers to, if it is in the snapshot.
    fn provider_of(&self, referrer: &ObjectName, name: &str) -> Result<ProviderName, Refusal> {
        let namespace = referrer.namespace();
        let provider = ObjectName::new(namespace, name).ok();
        if let Some(provider) = &provider {
            let name = ProviderName::from(provider.clone());
            if self.compiled.snapshot.providers.contains_key(&name) {
                return Ok(name);
            }
            if let Some(reason) = self.unusable.get(provider) {
                let message = format!("Provider {} cannot be used: {reason}", provider.name());
                return Err(Refusal::new(Reason::ProviderNotUsable, message));
            }
        }
        let message = format!("there is no Provider {name} in namespace {namespace}");
        Err(Refusal::new(Reason::ProviderNotFound, message))
    }
}

#[cfg(test)]
mod tests;
