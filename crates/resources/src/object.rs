//! Objects of all kinds, by identity.

use std::{collections::BTreeMap, fmt, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use snapshot::{ObjectName, Secret};

use crate::{
    Minted,
    kinds::{ClientKey, Credential, ModelRoute, Provider},
};

/// The kinds of object that may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An upstream endpoint.
    Provider,
    /// An account or key of a Provider.
    Credential,
    /// Which upstreams serve a model name.
    ModelRoute,
    /// A caller.
    ClientKey,
    /// A core `v1` Secret.
    Secret,
    /// A core `v1` `ConfigMap`.
    ConfigMap,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Provider,
        Self::Credential,
        Self::ModelRoute,
        Self::ClientKey,
        Self::Secret,
        Self::ConfigMap,
    ];

    /// The value of the `kind` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "Provider",
            Self::Credential => "Credential",
            Self::ModelRoute => "ModelRoute",
            Self::ClientKey => "ClientKey",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// The value of the `apiVersion` field.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Provider | Self::Credential | Self::ModelRoute | Self::ClientKey => {
                "roundhouse.dev/v1alpha1"
            }
            Self::Secret | Self::ConfigMap => "v1",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which object: its kind and `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub name: ObjectName,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// One object, valid by its schema. Cheap to clone.
#[derive(Clone, PartialEq)]
pub enum Object {
    /// An upstream endpoint.
    Provider(Arc<Provider>),
    /// An account or key of a Provider.
    Credential(Arc<Credential>),
    /// Which upstreams serve a model name.
    ModelRoute(Arc<ModelRoute>),
    /// A caller.
    ClientKey(Arc<ClientKey>),
    /// Secret values.
    Secret(Arc<SecretValues>),
    /// Plain values.
    ConfigMap(Arc<BTreeMap<String, String>>),
}

impl Object {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Provider(_) => Kind::Provider,
            Self::Credential(_) => Kind::Credential,
            Self::ModelRoute(_) => Kind::ModelRoute,
            Self::ClientKey(_) => Kind::ClientKey,
            Self::Secret(_) => Kind::Secret,
            Self::ConfigMap(_) => Kind::ConfigMap,
        }
    }

    /// Whether [`crate::compile()`] sees no difference to `other`, an object of the same name: only status, annotations
    /// or versions differ, if anything does.
    pub fn compiles_like(&self, other: &Self) -> bool {
        // Labels select Credentials, and the older one of two client keys with one value keeps it.
        let described = |a: &ObjectMeta, b: &ObjectMeta| {
            a.labels == b.labels && a.creation_timestamp == b.creation_timestamp
        };
        match (self, other) {
            (Self::Provider(a), Self::Provider(b)) => a.spec == b.spec && described(&a.metadata, &b.metadata),
            (Self::Credential(a), Self::Credential(b)) => {
                a.spec == b.spec && described(&a.metadata, &b.metadata)
            }
            (Self::ModelRoute(a), Self::ModelRoute(b)) => {
                a.spec == b.spec && described(&a.metadata, &b.metadata)
            }
            (Self::ClientKey(a), Self::ClientKey(b)) => {
                a.spec == b.spec && described(&a.metadata, &b.metadata)
            }
            (Self::Secret(a), Self::Secret(b)) => a == b,
            (Self::ConfigMap(a), Self::ConfigMap(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for Object {
    /// Writes the kind alone: a spec may hold what should not be printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())
    }
}

/// The values of one Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretValues {
    /// Its values by key.
    pub values: BTreeMap<String, SecretValue>,
    /// What it says of a client key that was minted into it; `None` when none was. Files have no such Secrets.
    pub minted: Option<Minted>,
}

/// One value of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretValue {
    /// The value itself.
    Known(Secret),
    /// The value names variables or files that are not there; the text says which and why.
    Unexpanded(String),
}

impl SecretValues {
    /// Takes the `data` and metadata of a Secret from an API server. A value that still holds `${NAME}` was meant
    /// for a file and is not a key.
    pub fn from_cluster(data: impl IntoIterator<Item = (String, Vec<u8>)>, metadata: &ObjectMeta) -> Self {
        let values = data.into_iter().map(|(key, bytes)| {
            let reference = std::str::from_utf8(&bytes)
                .ok()
                .and_then(crate::manifest::first_reference);
            let value = match reference {
                Some(reference) => SecretValue::Unexpanded(format!(
                    "it holds {reference}, which only files expand; put the value itself into the Secret"
                )),
                None => SecretValue::Known(Secret::new(bytes)),
            };
            (key, value)
        });
        Self {
            values: values.collect(),
            minted: Minted::of(metadata),
        }
    }
}

impl From<BTreeMap<String, SecretValue>> for SecretValues {
    fn from(values: BTreeMap<String, SecretValue>) -> Self {
        Self { values, minted: None }
    }
}

/// Objects by name: what [`crate::compile()`] starts from.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    present: BTreeMap<Identity, Object>,
    withheld: BTreeMap<Identity, Arc<str>>,
    /// Of Secrets from an API server: the `metadata.resourceVersion` that their values were read with.
    secret_versions: BTreeMap<ObjectName, Arc<str>>,
}

impl Objects {
    /// Puts an object in, in the place of one of the same kind and name.
    pub fn insert(&mut self, name: ObjectName, object: Object) {
        let kind = object.kind();
        let identity = Identity { kind, name };
        self.withheld.remove(&identity);
        self.present.insert(identity, object);
    }

    /// Puts the values of a Secret in, with the `metadata.resourceVersion` of the read that brought them, which the
    /// status of what uses them tells.
    pub fn insert_secret(&mut self, name: ObjectName, values: Arc<SecretValues>, resource_version: Arc<str>) {
        self.secret_versions.insert(name.clone(), resource_version);
        self.insert(name, Object::Secret(values));
    }

    /// Takes an object out.
    pub fn remove(&mut self, identity: &Identity) -> Option<Object> {
        self.withheld.remove(identity);
        if identity.kind == Kind::Secret {
            self.secret_versions.remove(&identity.name);
        }
        self.present.remove(identity)
    }

    /// The `metadata.resourceVersion` that the values of a Secret were read with; `None` for one of a file.
    pub fn secret_version(&self, name: &ObjectName) -> Option<&Arc<str>> {
        self.secret_versions.get(name)
    }

    /// Takes out a Secret or `ConfigMap` that exists and may not be used. `why` goes on from "it cannot be used:" in the
    /// conditions of what refers to it.
    pub fn withhold(&mut self, identity: Identity, why: impl Into<Arc<str>>) {
        self.remove(&identity);
        self.withheld.insert(identity, why.into());
    }

    /// Why a Secret or `ConfigMap` that exists may not be used.
    pub fn withheld(&self, identity: &Identity) -> Option<&str> {
        self.withheld.get(identity).map(|why| &**why)
    }

    /// The object of this kind and name.
    pub fn get(&self, identity: &Identity) -> Option<&Object> {
        self.present.get(identity)
    }

    /// All objects in order of kind and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Identity, &Object)> {
        self.present.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    pub(crate) fn secret(&self, namespace: &str, name: &str) -> Option<&SecretValues> {
        match self.present.get(&identity(Kind::Secret, namespace, name)?)? {
            Object::Secret(values) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn config_map(&self, namespace: &str, name: &str) -> Option<&BTreeMap<String, String>> {
        match self.present.get(&identity(Kind::ConfigMap, namespace, name)?)? {
            Object::ConfigMap(values) => Some(values),
            _ => None,
        }
    }
}

impl Extend<(ObjectName, Object)> for Objects {
    fn extend<T: IntoIterator<Item = (ObjectName, Object)>>(&mut self, objects: T) {
        for (name, object) in objects {
            self.insert(name, object);
        }
    }
}

pub(crate) fn identity(kind: Kind, namespace: &str, name: &str) -> Option<Identity> {
    let name = ObjectName::new(namespace, name).ok()?;
    Some(Identity { kind, name })
}
