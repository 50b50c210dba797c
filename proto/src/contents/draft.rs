//! Contents that are being put together from what is received.

use std::{collections::BTreeMap, sync::Arc};

use snapshot::{CredentialSecret, Keyring, Secret, SecretVersion, Snapshot};

use super::{Contents, Versions};
use crate::{
    Invalid, Kind, ObjectKey, Refused,
    convert::{header_name, name},
    discovery::v1::{self, object::Object},
};

/// Contents that are being put together. Nothing of them is served before [`Draft::finish`].
#[derive(Default)]
pub(crate) struct Draft {
    snapshot: Snapshot,
    keyring: Keyring,
    digest_key: Option<Secret>,
    objects: BTreeMap<ObjectKey, Arc<str>>,
}

impl From<&Contents> for Draft {
    fn from(base: &Contents) -> Self {
        Self {
            snapshot: (*base.snapshot).clone(),
            keyring: (*base.keyring).clone(),
            digest_key: Some(base.digest_key.clone()),
            objects: base.versions.objects.clone(),
        }
    }
}

impl Draft {
    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is such an object.
    pub(crate) fn contains(&self, key: &ObjectKey) -> bool {
        self.objects.contains_key(key)
    }

    /// Adds an object, or puts it in the place of its former version.
    pub(crate) fn put(&mut self, key: &ObjectKey, version: String, object: Object) -> Result<(), Refused> {
        let version: Arc<str> = version.into();
        let refused = |invalid| Refused::Object {
            object: key.clone(),
            invalid,
        };
        if version.is_empty() {
            return Err(refused(Invalid::expected("version", "a text that is not empty")));
        }
        self.insert(version.clone(), object).map_err(refused)?;
        self.objects.insert(key.clone(), version);
        Ok(())
    }

    fn insert(&mut self, version: Arc<str>, object: Object) -> Result<(), Invalid> {
        match object {
            Object::Provider(message) => {
                let provider = snapshot::Provider::try_from(*message)?;
                self.snapshot
                    .providers
                    .insert(provider.name.clone(), Arc::new(provider));
            }
            Object::Credential(message) => {
                let credential = snapshot::Credential::try_from(message)?;
                self.snapshot
                    .credentials
                    .insert(credential.name.clone(), Arc::new(credential));
            }
            Object::Route(message) => {
                let route = snapshot::Route::try_from(message)?;
                self.snapshot.routes.insert(route.name.clone(), Arc::new(route));
            }
            Object::Client(message) => {
                let client = snapshot::Client::try_from(message)?;
                self.snapshot
                    .clients
                    .insert(client.name.clone(), Arc::new(client));
            }
            Object::CredentialSecret(message) => {
                let secret = CredentialSecret {
                    version: SecretVersion(version),
                    secret: Secret::new(message.value),
                };
                self.keyring
                    .credentials
                    .insert(name(&message.credential, "credential")?, secret);
            }
            Object::HeaderSecret(message) => {
                let provider = name(&message.provider, "provider")?;
                if header_name(&message.header, "header")?.as_str() != message.header {
                    return Err(Invalid::expected("header", "the name of a header in lower case"));
                }
                let value = Secret::new(message.value);
                self.keyring.headers.insert((provider, message.header), value);
            }
            Object::DigestKey(message) if message.value.is_empty() => {
                return Err(Invalid::expected("value", "a key that is not empty"));
            }
            Object::DigestKey(message) => self.digest_key = Some(Secret::new(message.value)),
        }
        Ok(())
    }

    /// Removes an object, and tells whether it was there.
    pub(crate) fn remove(&mut self, key: &ObjectKey) -> bool {
        if self.objects.remove(key).is_none() {
            return false;
        }
        // What is there has a name that was read once already.
        match key.kind {
            Kind::Provider => drop(key.name.parse().map(|name| self.snapshot.providers.remove(&name))),
            Kind::Credential => drop(
                key.name
                    .parse()
                    .map(|name| self.snapshot.credentials.remove(&name)),
            ),
            Kind::Route => drop(key.name.parse().map(|name| self.snapshot.routes.remove(&name))),
            Kind::Client => drop(key.name.parse().map(|name| self.snapshot.clients.remove(&name))),
            Kind::CredentialSecret => drop(
                key.name
                    .parse()
                    .map(|name| self.keyring.credentials.remove(&name)),
            ),
            Kind::HeaderSecret => {
                if let Some((provider, header)) = key.name.rsplit_once('/') {
                    drop(
                        provider
                            .parse()
                            .map(|provider| self.keyring.headers.remove(&(provider, header.to_owned()))),
                    );
                }
            }
            Kind::DigestKey => self.digest_key = None,
        }
        true
    }

    /// The contents, if names and versions have this digest.
    pub(crate) fn finish(mut self, version: String, digest: &[u8]) -> Result<Contents, Refused> {
        let versions = Versions {
            snapshot: version.as_str().into(),
            objects: self.objects,
        };
        if versions.digest() != *digest {
            return Err(Refused::Digest);
        }
        self.snapshot.version = version;
        Ok(Contents {
            snapshot: Arc::new(self.snapshot),
            keyring: Arc::new(self.keyring),
            digest_key: self.digest_key.ok_or(Refused::NoDigestKey)?,
            versions: Arc::new(versions),
        })
    }
}

/// Takes objects apart. `None` for one of a kind that this build does not know.
pub(crate) fn opened(message: v1::Object) -> Option<(ObjectKey, String, Object)> {
    let object = message.object?;
    let key = match &object {
        Object::Provider(it) => ObjectKey::new(Kind::Provider, it.name.as_str()),
        Object::Credential(it) => ObjectKey::new(Kind::Credential, it.name.as_str()),
        Object::Route(it) => ObjectKey::new(Kind::Route, it.name.as_str()),
        Object::Client(it) => ObjectKey::new(Kind::Client, it.name.as_str()),
        Object::CredentialSecret(it) => ObjectKey::new(Kind::CredentialSecret, it.credential.as_str()),
        Object::HeaderSecret(it) => ObjectKey::header(&it.provider, &it.header),
        Object::DigestKey(_) => ObjectKey::digest_key(),
    };
    Some((key, message.version, object))
}
