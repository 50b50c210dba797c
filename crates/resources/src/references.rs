//! Which Secrets and `ConfigMap`s an object refers to: what [`crate::compile()`] needs beside it.

use std::collections::BTreeSet;

use crate::{
    Identity, Kind, Object,
    kinds::{CaKind, CredentialSpec, ProviderSpec, SecretKeyReference},
    object::identity,
};

/// The Secrets and `ConfigMap`s of `namespace`, its own, that an object refers to.
///
/// A name that no Secret can have is left out. What asks for objects by name puts them into a path, where
/// `..%2Fother` would be another place.
pub fn references(namespace: &str, object: &Object) -> BTreeSet<Identity> {
    let named = |kind, name: &str| is_name(name).then(|| identity(kind, namespace, name)).flatten();
    let secret = |reference: &SecretKeyReference| named(Kind::Secret, &reference.name);
    match object {
        Object::Provider(provider) => {
            let ProviderSpec { headers, tls, .. } = &provider.spec;
            let values = headers.iter().filter_map(|header| header.value_from.as_ref());
            let certificates = tls.iter().filter_map(|tls| tls.ca_ref.as_ref());
            values
                .filter_map(|from| secret(&from.secret_key_ref))
                .chain(certificates.filter_map(|reference| match reference.kind {
                    CaKind::Secret => named(Kind::Secret, &reference.name),
                    CaKind::ConfigMap => named(Kind::ConfigMap, &reference.name),
                }))
                .collect()
        }
        Object::Credential(credential) => {
            let CredentialSpec { api_key, .. } = &credential.spec;
            secret(&api_key.secret_ref).into_iter().collect()
        }
        Object::ClientKey(client) => {
            let kept_in = client.spec.kept_in();
            kept_in
                .and_then(|reference| secret(&reference))
                .into_iter()
                .collect()
        }
        Object::ModelRoute(_) | Object::Secret(_) | Object::ConfigMap(_) => BTreeSet::new(),
    }
}

/// Whether an API server would take it as the name of an object: a DNS subdomain.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        ends(part.as_bytes().first()) && ends(part.as_bytes().last())
    };
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    name.len() <= 253 && name.bytes().all(is_plain) && name.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::{ClientKey, Credential, ModelRoute, Provider};

    fn spec<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("a spec of the kind")
    }

    /// What an object of namespace `team` refers to.
    fn referred(object: &Object) -> Vec<String> {
        references("team", object)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn provider(fields: Value) -> Object {
        Object::Provider(Arc::new(Provider::new("it", spec(fields))))
    }

    fn credential(secret: &str) -> Object {
        let fields = json!({"providerRef": {"name": "p"}, "apiKey": {"secretRef": {"name": secret}}});
        Object::Credential(Arc::new(Credential::new("it", spec(fields))))
    }

    #[test]
    fn every_place_that_names_a_secret_is_seen() {
        let provider_of_both = provider(json!({
            "dialect": "OpenAI",
            "headers": [
                {"name": "x-a", "value": "plain"},
                {"name": "x-b", "valueFrom": {"secretKeyRef": {"name": "header"}}},
            ],
            "tls": {"caRef": {"kind": "ConfigMap", "name": "roots"}},
        }));
        assert_eq!(
            referred(&provider_of_both),
            ["Secret team/header", "ConfigMap team/roots"]
        );
        let roots = json!({"kind": "Secret", "name": "roots.example"});
        let provider = provider(json!({"dialect": "OpenAI", "tls": {"caRef": roots}}));
        assert_eq!(referred(&provider), ["Secret team/roots.example"]);
        assert_eq!(referred(&credential("key")), ["Secret team/key"]);
        let client = ClientKey::new("it", spec(json!({"secretRef": {"name": "key", "key": "a"}})));
        assert_eq!(
            referred(&Object::ClientKey(Arc::new(client))),
            ["Secret team/key"]
        );
        let minted = ClientKey::new("it", spec(json!({"target": {"name": "minted"}})));
        assert_eq!(
            referred(&Object::ClientKey(Arc::new(minted))),
            ["Secret team/minted"]
        );
        let route = json!({"models": ["m"], "targets": [{"providerRef": {"name": "p"}}]});
        let route = Object::ModelRoute(Arc::new(ModelRoute::new("it", spec(route))));
        assert_eq!(referred(&route), [""; 0]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_in_a_path_refers_to_nothing() {
        for name in [
            "..",
            "a..b",
            "x?limit=1",
            "..%2Fother%2Fsecrets%2Fkey",
            "a#b",
            "A",
            "-a",
            "a-",
            "a b",
            "",
        ] {
            assert_eq!(referred(&credential(name)), [""; 0], "{name}");
        }
        assert!(is_name("a.b-c.9") && !is_name(&"a".repeat(254)));
    }
}
