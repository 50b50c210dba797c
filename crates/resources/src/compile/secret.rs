//! Values of Secrets and `ConfigMap`s that objects refer to.

use snapshot::Secret;

use crate::{
    Kind, Objects, Reason, SecretValue,
    condition::Refusal,
    kinds::{CaKind, CaReference, SecretKeyReference},
    object::identity,
};

/// A value that goes into a header: newlines at its end are taken off, other control characters are not
/// allowed.
pub(super) fn key(
    objects: &Objects,
    namespace: &str,
    reference: &SecretKeyReference,
) -> Result<Secret, Refusal> {
    let SecretKeyReference { name, key } = reference;
    let secret = value(objects, namespace, name, key)?;
    let refuse = |reason, what: &str| Err(Refusal::new(reason, format!("key {key} of Secret {name} {what}")));
    let Ok(text) = std::str::from_utf8(secret.expose()) else {
        return refuse(Reason::InvalidKey, "is not UTF-8 text");
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return refuse(Reason::EmptyKey, "is empty");
    }
    if text.chars().any(char::is_control) {
        return refuse(
            Reason::InvalidKey,
            "contains a control character, such as a newline inside it",
        );
    }
    if text.trim() != text {
        return refuse(Reason::InvalidKey, "begins or ends with a space");
    }
    Ok(Secret::new(text))
}

/// Certificates in PEM.
pub(super) fn certificates(
    objects: &Objects,
    namespace: &str,
    reference: &CaReference,
) -> Result<String, Refusal> {
    let CaReference { kind, name, key } = reference;
    let text = match kind {
        CaKind::Secret => {
            let secret = value(objects, namespace, name, key)?;
            String::from_utf8(secret.expose().to_vec()).unwrap_or_default()
        }
        CaKind::ConfigMap => {
            let Some(values) = objects.config_map(namespace, name) else {
                let message = withheld(objects, Kind::ConfigMap, namespace, name)
                    .unwrap_or_else(|| format!("there is no ConfigMap {name} in namespace {namespace}"));
                return Err(Refusal::new(Reason::ConfigMapMissing, message));
            };
            let message = || format!("ConfigMap {name} has no key {key}");
            let text = values.get(key);
            text.cloned()
                .ok_or_else(|| Refusal::new(Reason::KeyMissing, message()))?
        }
    };
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(text);
    }
    let message = format!("key {key} of {kind:?} {name} holds no certificate in PEM");
    Err(Refusal::new(Reason::InvalidKey, message))
}

fn value(objects: &Objects, namespace: &str, name: &str, key: &str) -> Result<Secret, Refusal> {
    let Some(values) = objects.secret(namespace, name) else {
        let message = withheld(objects, Kind::Secret, namespace, name)
            .unwrap_or_else(|| format!("there is no usable Secret {name} in namespace {namespace}"));
        return Err(Refusal::new(Reason::SecretMissing, message));
    };
    match values.values.get(key) {
        Some(SecretValue::Known(secret)) => Ok(secret.clone()),
        Some(SecretValue::Unexpanded(why)) => Err(Refusal::new(
            Reason::UnexpandedVariable,
            format!("key {key} of Secret {name}: {why}"),
        )),
        None => Err(Refusal::new(
            Reason::KeyMissing,
            format!("Secret {name} has no key {key}"),
        )),
    }
}

fn withheld(objects: &Objects, kind: Kind, namespace: &str, name: &str) -> Option<String> {
    let why = objects.withheld(&identity(kind, namespace, name)?)?;
    Some(format!("{kind} {name} cannot be used: {why}"))
}
