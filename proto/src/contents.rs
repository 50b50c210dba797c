//! All that is served, with the version of every object.

mod draft;

use std::{collections::BTreeMap, sync::Arc};

use prost::Message;
use sha2::{Digest, Sha256};
use snapshot::{DigestKey, Keyring, ProviderName, Secret, Snapshot};

use crate::{
    Invalid, Kind, ObjectKey,
    discovery::v1::{self, object::Object},
    invalid::Within,
};

pub(crate) use draft::{Draft, opened};

/// All that is served, with the version of every object. Cheap to clone; printing it shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    snapshot: Arc<Snapshot>,
    keyring: Arc<Keyring>,
    digest_key: Secret,
    versions: Arc<Versions>,
}

/// Names and versions of all objects of one snapshot. Holds no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The version of the snapshot; empty before the first.
    pub snapshot: Arc<str>,
    /// The version of each object.
    pub objects: BTreeMap<ObjectKey, Arc<str>>,
}

impl Contents {
    /// Takes what was compiled. `digest_key` is the key of the installation, under which the keys of clients were
    /// hashed.
    ///
    /// Versions of objects are keyed hashes of their content: whoever sees them learns nothing of it. They are equal
    /// in every process of one build that has the same objects and the same key.
    pub fn new(snapshot: Arc<Snapshot>, keyring: Arc<Keyring>, digest_key: Secret) -> Self {
        let key = DigestKey::new(&digest_key);
        let mut contents = Self {
            snapshot,
            keyring,
            digest_key,
            versions: Arc::default(),
        };
        let version = |at: ObjectKey| Some((at.clone(), contents.version(&key, &at)?));
        let versions = Versions {
            snapshot: contents.snapshot.version.as_str().into(),
            objects: contents.keys().filter_map(version).collect(),
        };
        contents.versions = Arc::new(versions);
        contents
    }

    /// What may be served.
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The secrets that go with it.
    pub const fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Hashes what callers present.
    pub fn digest_key(&self) -> DigestKey {
        DigestKey::new(&self.digest_key)
    }

    /// Names and versions of all objects.
    pub const fn versions(&self) -> &Arc<Versions> {
        &self.versions
    }

    fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        let Snapshot {
            version: _,
            providers,
            credentials,
            routes,
            clients,
        } = &*self.snapshot;
        let Keyring {
            credentials: secrets,
            headers,
        } = &*self.keyring;
        let key = ObjectKey::new;
        providers
            .keys()
            .map(move |name| key(Kind::Provider, name.as_str()))
            .chain(
                credentials
                    .keys()
                    .map(move |name| key(Kind::Credential, name.as_str())),
            )
            .chain(routes.keys().map(move |name| key(Kind::Route, name.as_str())))
            .chain(clients.keys().map(move |name| key(Kind::Client, name.as_str())))
            .chain(
                secrets
                    .keys()
                    .map(move |name| key(Kind::CredentialSecret, name.as_str())),
            )
            .chain(
                headers
                    .keys()
                    .map(|(provider, header)| ObjectKey::header(provider.as_str(), header)),
            )
            .chain([ObjectKey::digest_key()])
    }

    fn version(&self, key: &DigestKey, at: &ObjectKey) -> Option<Arc<str>> {
        Some(match self.value(at)? {
            Object::CredentialSecret(_) => self
                .keyring
                .credentials
                .get(&at.name.parse().ok()?)?
                .version
                .0
                .clone(),
            Object::HeaderSecret(v1::HeaderSecret { value, .. })
            | Object::DigestKey(v1::DigestKey { value }) => key.version(&Secret::new(value)).0,
            Object::Provider(message) => content_version(key, &*message),
            Object::Credential(message) => content_version(key, &message),
            Object::Route(message) => content_version(key, &message),
            Object::Client(message) => content_version(key, &message),
        })
    }

    /// An object as it is sent; `None` when there is none.
    pub(crate) fn object(&self, at: &ObjectKey) -> Option<v1::Object> {
        Some(v1::Object {
            version: self.versions.objects.get(at)?.to_string(),
            object: Some(self.value(at)?),
        })
    }

    fn value(&self, at: &ObjectKey) -> Option<Object> {
        let snapshot = &self.snapshot;
        Some(match at.kind {
            Kind::Provider => {
                let provider = snapshot.providers.get(&at.name.parse().ok()?)?;
                Object::Provider(Box::new((&**provider).into()))
            }
            Kind::Credential => {
                Object::Credential((&**snapshot.credentials.get(&at.name.parse().ok()?)?).into())
            }
            Kind::Route => Object::Route((&**snapshot.routes.get(&at.name.parse().ok()?)?).into()),
            Kind::Client => Object::Client((&**snapshot.clients.get(&at.name.parse().ok()?)?).into()),
            Kind::CredentialSecret => Object::CredentialSecret(v1::CredentialSecret {
                credential: at.name.to_string(),
                value: self
                    .keyring
                    .credentials
                    .get(&at.name.parse().ok()?)?
                    .secret
                    .expose()
                    .to_vec(),
            }),
            Kind::HeaderSecret => {
                let (provider, header) = at.name.rsplit_once('/')?;
                let place: (ProviderName, String) = (provider.parse().ok()?, header.to_owned());
                Object::HeaderSecret(v1::HeaderSecret {
                    value: self.keyring.headers.get(&place)?.expose().to_vec(),
                    provider: provider.to_owned(),
                    header: place.1,
                })
            }
            Kind::DigestKey => Object::DigestKey(v1::DigestKey {
                value: self.digest_key.expose().to_vec(),
            }),
        })
    }
}

/// A keyed hash of what is sent. No key of a client begins like this, so that none hashes to a version.
fn content_version(key: &DigestKey, message: &impl Message) -> Arc<str> {
    const BEGINNING: &[u8] = b"\0object\0";
    let mut bytes = Vec::with_capacity(BEGINNING.len() + message.encoded_len());
    bytes.extend_from_slice(BEGINNING);
    bytes.extend(message.encode_to_vec());
    // A header's literal value may be in it.
    let bytes = Secret::new(bytes);
    let half = key
        .digest(bytes.expose())
        .as_bytes()
        .iter()
        .take(16)
        .fold(0u128, |half, byte| half << 8 | u128::from(*byte));
    format!("{half:032x}").into()
}

impl Versions {
    /// SHA-256 over names and versions, as `SnapshotBegin` has it.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.snapshot.as_bytes());
        for (key, version) in &self.objects {
            part(&i32::from(v1::Kind::from(key.kind)).to_le_bytes());
            part(key.name.as_bytes());
            part(version.as_bytes());
        }
        hash.finalize().into()
    }

    /// What a gateway that has these objects says first. `node` is its name for people.
    pub fn subscribe(&self, node: &str) -> v1::Subscribe {
        let known = |(key, version): (&ObjectKey, &Arc<str>)| v1::KnownObject {
            key: Some(key.into()),
            version: version.to_string(),
        };
        v1::Subscribe {
            node: node.to_owned(),
            version: self.snapshot.to_string(),
            objects: self.objects.iter().map(known).collect(),
        }
    }
}

impl TryFrom<v1::Subscribe> for Versions {
    type Error = Invalid;

    /// What the gateway has. Its `node` is not looked at.
    fn try_from(message: v1::Subscribe) -> Result<Self, Invalid> {
        let known =
            |(index, known)| <(ObjectKey, Arc<str>)>::try_from(known).within(&format!("objects[{index}]"));
        Ok(Self {
            snapshot: message.version.into(),
            objects: message
                .objects
                .into_iter()
                .enumerate()
                .map(known)
                .collect::<Result<_, _>>()?,
        })
    }
}
