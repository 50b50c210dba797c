//! Objects as they are kept.

use base64::{Engine, prelude::BASE64_STANDARD};
use resources::{Identity, Kind};
use serde::Serialize;
use snapshot::Secret;

use crate::failure::Failure;

/// An object and the Secret that goes with it, as YAML: documents of JSON, so that no value needs quoting.
///
/// The value is in base64: it is nothing to be expanded, whatever it holds.
pub(super) fn with_secret(
    identity: &Identity,
    spec: &impl Serialize,
    value: &Secret,
) -> Result<Secret, Failure> {
    let secret_name = secret_name(identity);
    let namespace = identity.name.namespace();
    let secret = Object {
        api_version: Kind::Secret.api_version(),
        kind: Kind::Secret.as_str(),
        metadata: Metadata {
            name: &secret_name,
            namespace,
        },
        data: Some(Data {
            api_key: BASE64_STANDARD.encode(value.expose()),
        }),
        spec: None::<()>,
    };
    let object = Object {
        api_version: identity.kind.api_version(),
        kind: identity.kind.as_str(),
        metadata: Metadata {
            name: identity.name.name(),
            namespace,
        },
        data: None,
        spec: Some(spec),
    };
    let text = write(&secret).and_then(|secret| Ok([secret, write(&object)?].concat()));
    text.map(Secret::new).map_err(|error| {
        tracing::error!(%error, "an object cannot be written");
        Failure::internal()
    })
}

/// Where the secret of an object is kept.
#[derive(Serialize)]
pub(super) struct SecretRef {
    name: String,
    key: &'static str,
}

impl SecretRef {
    /// Of the Secret that goes with an object.
    pub(super) fn of(identity: &Identity) -> Self {
        Self {
            name: secret_name(identity),
            key: API_KEY,
        }
    }
}

/// The only key of such Secrets.
const API_KEY: &str = "api-key";

fn secret_name(identity: &Identity) -> String {
    format!(
        "api-{}-{}",
        identity.kind.as_str().to_lowercase(),
        identity.name.name()
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a, S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<S>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Data {
    api_key: String,
}

fn write<S: Serialize>(object: &Object<'_, S>) -> serde_json::Result<Vec<u8>> {
    let mut text = b"---\n".to_vec();
    serde_json::to_writer_pretty(&mut text, object)?;
    text.push(b'\n');
    Ok(text)
}
