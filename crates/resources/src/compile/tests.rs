//! Objects in, snapshot and conditions out.

mod endpoint;
mod minted;
mod windows;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use snapshot::{
    Auth, CredentialName, DigestKey, HeaderSource, ObjectName, ProviderName, Scheme, Secret, Timestamp,
};

use super::{Compiled, Place, compile};
use crate::{ConditionType, Kind, Object, Objects, Reason, SecretValues, kinds};

/// Objects in the namespace `default`, written fluently.
#[derive(Clone, Default)]
struct World(Objects);

fn merged(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

fn spec<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a spec of the kind")
}

impl World {
    fn with(mut self, name: &str, object: Object) -> Self {
        self.0
            .insert(ObjectName::new("default", name).expect("a name"), object);
        self
    }

    /// An `OpenAI` Provider at api.example.com, with other fields in the place of its own.
    fn provider(self, name: &str, fields: Value) -> Self {
        let mut base = json!({"dialect": "OpenAI"});
        if fields.get("service").is_none() {
            base = merged(base, json!({"url": "https://api.example.com/v1"}));
        }
        let object = kinds::Provider::new(name, spec(merged(base, fields)));
        self.with(name, Object::Provider(Arc::new(object)))
    }

    /// A Credential of the Provider `up` with the key of the Secret of its own name.
    fn credential(self, name: &str, fields: Value) -> Self {
        let base = json!({"providerRef": {"name": "up"}, "apiKey": {"secretRef": {"name": name}}});
        let mut object = kinds::Credential::new(name, spec(merged(base, fields)));
        object.metadata.labels = Some(BTreeMap::from([("tier".to_owned(), name.to_owned())]));
        self.with(name, Object::Credential(Arc::new(object)))
    }

    fn secret(self, name: &str, key: &str) -> Self {
        let values = [("api-key".to_owned(), key.as_bytes().to_vec())];
        let values = SecretValues::from_cluster(values, &ObjectMeta::default());
        self.with(name, Object::Secret(Arc::new(values)))
    }

    fn route(self, name: &str, fields: Value) -> Self {
        let base = json!({"models": ["*"], "targets": [{"providerRef": {"name": "up"}}]});
        let object = kinds::ModelRoute::new(name, spec(merged(base, fields)));
        self.with(name, Object::ModelRoute(Arc::new(object)))
    }

    fn client(self, name: &str, fields: Value) -> Self {
        self.client_since(name, None, fields)
    }

    fn client_since(self, name: &str, since: Option<&str>, fields: Value) -> Self {
        let base = if fields.get("target").is_some() {
            json!({})
        } else {
            json!({"secretRef": {"name": name}})
        };
        let mut object = kinds::ClientKey::new(name, spec(merged(base, fields)));
        object.metadata.creation_timestamp = since
            .map(|time| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time.parse().expect("a time")));
        self.with(name, Object::ClientKey(Arc::new(object)))
    }

    fn compile(&self) -> Compiled {
        self.compile_in(Place::Standalone)
    }

    fn compile_in(&self, place: Place) -> Compiled {
        compile(&self.0, &DigestKey::new(&Secret::new("installation")), place)
    }

    fn version(&self) -> String {
        self.compile().snapshot.version
    }
}

/// The reason of the condition that is false, or of the last.
fn reason(compiled: &Compiled, kind: Kind, name: &str) -> Reason {
    let object = compiled
        .conditions
        .iter()
        .find(|object| object.identity.kind == kind && object.identity.name.name() == name)
        .expect("every object has conditions");
    let bad = object.conditions.iter().find(|condition| !condition.status);
    bad.or(object.conditions.last()).expect("at least one").reason
}

fn provider(compiled: &Compiled) -> &snapshot::Provider {
    let name = ProviderName::new("default", "up").expect("a name");
    compiled
        .snapshot
        .providers
        .get(&name)
        .expect("the Provider is in the snapshot")
}

fn message(compiled: &Compiled) -> String {
    let conditions = compiled.conditions.iter().flat_map(|object| &object.conditions);
    let messages: Vec<&str> = conditions.map(|condition| condition.message.as_str()).collect();
    messages.join(" ")
}

const CLUSTER: Place = Place::Cluster { allow_private: false };

#[test]
fn keys_are_presented_the_way_of_the_dialect() {
    let header = |name| Auth::Header(http::HeaderName::from_static(name));
    let cases = [
        (json!({}), Auth::Bearer),
        (json!({"dialect": "Anthropic"}), header("x-api-key")),
        (json!({"azure": {}}), header("api-key")),
        (
            json!({"dialect": "Anthropic", "auth": {"type": "Bearer"}}),
            Auth::Bearer,
        ),
        (
            json!({"auth": {"type": "Header", "header": "X-Key"}}),
            header("x-key"),
        ),
        (json!({"auth": {"type": "None"}}), Auth::None),
    ];
    for (fields, expected) in cases {
        let compiled = World::default().provider("up", fields).compile();
        assert_eq!(provider(&compiled).auth, expected);
    }
}

#[test]
fn a_provider_without_auth_has_an_anonymous_credential_of_its_own() {
    let fields = json!({"auth": {"type": "None"}});
    let compiled = World::default()
        .provider("up", fields.clone())
        .provider("down", fields)
        .compile();
    let names: Vec<String> = compiled
        .snapshot
        .credentials
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["default/down:anonymous", "default/up:anonymous"]);
    assert!(
        compiled.keyring.credentials.is_empty(),
        "there is no key to present"
    );
}

#[test]
fn what_is_not_written_has_the_defaults_of_the_snapshot() {
    let compiled = World::default()
        .provider("up", json!({}))
        .route("all", json!({}))
        .compile();
    let provider = provider(&compiled);
    assert_eq!(provider.timeouts, snapshot::Timeouts::default());
    assert_eq!(provider.breaker, snapshot::Breaker::default());
    assert_eq!(provider.selection, snapshot::Selection::default());
    assert_eq!(provider.apis.len(), 4);
    assert_eq!(provider.endpoint.scheme, Scheme::Https);
    let route = compiled.snapshot.routes.values().next().expect("one route");
    assert_eq!(route.retry, snapshot::Retry::default());
    assert_eq!(route.stream, snapshot::StreamPolicy::default());
    assert_eq!(route.fallback_on.len(), 3);
}

#[test]
fn a_credential_comes_with_its_secret_labels_and_limits() {
    let fields = json!({
        "weight": 3,
        "priority": 1,
        "models": {"allow": ["gpt-*"], "deny": ["gpt-5"]},
        "limits": {"concurrency": 2, "requestsPerMinute": 60, "tokensPerMinute": 100_000},
        "suspend": true,
    });
    let world = World::default()
        .provider("up", json!({}))
        .credential("one", fields)
        .secret("one", "sk-canary\r\n\n");
    let compiled = world.compile();
    let name = CredentialName::new("default", "one").expect("a name");
    let credential = compiled.snapshot.credentials.get(&name).expect("in the snapshot");
    assert_eq!(
        (credential.weight, credential.priority, credential.suspended),
        (3, 1, true)
    );
    assert_eq!(credential.labels.get("tier").map(String::as_str), Some("one"));
    assert!(credential.models.allows("gpt-4") && !credential.models.allows("gpt-5"));
    assert_eq!(credential.limits.requests_per_minute, Some(60));
    let secret = compiled.keyring.credentials.get(&name).expect("in the keyring");
    assert_eq!(
        secret.secret.expose(),
        b"sk-canary",
        "newlines at the end are not part of a key"
    );
    assert_eq!(secret.version, credential.secret_version);
    assert!(message(&compiled).contains("suspended"));
}

#[test]
fn a_credential_that_cannot_be_used_is_left_out_alone() {
    let world = World::default()
        .provider("up", json!({}))
        .credential("one", json!({}))
        .secret("one", "sk-1")
        .credential("two", json!({}))
        .credential("three", json!({"providerRef": {"name": "gone"}}))
        .secret("three", "sk-3");
    let compiled = world.compile();
    assert_eq!(compiled.snapshot.credentials.len(), 1);
    assert_eq!(reason(&compiled, Kind::Credential, "one"), Reason::Resolved);
    assert_eq!(reason(&compiled, Kind::Credential, "two"), Reason::SecretMissing);
    assert_eq!(
        reason(&compiled, Kind::Credential, "three"),
        Reason::ProviderNotFound
    );
}

#[test]
fn literals_meant_for_files_are_not_keys_in_a_cluster() {
    let world = World::default()
        .provider("up", json!({}))
        .provider("other", json!({"url": "${BASE}/v1"}))
        .credential("one", json!({}))
        .secret("one", "${OPENAI_API_KEY}");
    let compiled = world.compile_in(CLUSTER);
    assert_eq!(
        reason(&compiled, Kind::Provider, "other"),
        Reason::UnexpandedVariable
    );
    assert_eq!(
        reason(&compiled, Kind::Credential, "one"),
        Reason::UnexpandedVariable
    );
    assert!(message(&compiled).contains("${BASE}") && message(&compiled).contains("${OPENAI_API_KEY}"));
}

#[test]
fn header_values_come_from_the_spec_or_a_secret_and_never_print() {
    let headers = json!([
        {"name": "X-Team", "value": "canary-literal"},
        {"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "one", "key": "api-key"}}},
    ]);
    let compiled = World::default()
        .provider("up", json!({"headers": headers}))
        .secret("one", "canary-secret\n")
        .compile();
    let provider = provider(&compiled);
    assert!(matches!(&provider.headers[0].source, HeaderSource::Literal(value) if value == "canary-literal"));
    assert!(matches!(&provider.headers[1].source, HeaderSource::Keyring));
    let at = (provider.name.clone(), "x-token".to_owned());
    assert_eq!(
        compiled.keyring.headers.get(&at).map(Secret::expose),
        Some(&b"canary-secret"[..])
    );
    let printed = format!("{compiled:?} {:#?}", compiled.snapshot);
    assert!(!printed.contains("canary"), "{printed}");
}

#[test]
fn a_provider_that_lacks_a_header_is_not_used_and_says_so_to_what_needs_it() {
    let headers =
        json!([{"name": "x-token", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "api-key"}}}]);
    let world = World::default()
        .provider("up", json!({"headers": headers}))
        .credential("one", json!({}))
        .secret("one", "sk-1")
        .route("all", json!({}));
    let compiled = world.compile();
    assert_eq!(reason(&compiled, Kind::Provider, "up"), Reason::SecretMissing);
    assert_eq!(
        reason(&compiled, Kind::Credential, "one"),
        Reason::ProviderNotUsable
    );
    assert_eq!(
        reason(&compiled, Kind::ModelRoute, "all"),
        Reason::ProviderNotUsable
    );
    assert!(compiled.snapshot.providers.is_empty());
}

#[test]
fn a_route_serves_by_the_targets_that_exist_and_keeps_its_names_without_any() {
    let target =
        |name: &str| json!({"providerRef": {"name": name}, "model": "m", "weight": 2, "priority": 1});
    let world = World::default()
        .provider("up", json!({}))
        .route("half", json!({"targets": [target("gone"), target("up")]}))
        .route("none", json!({"targets": [target("gone")]}));
    let compiled = world.compile();
    let targets: Vec<usize> = compiled
        .snapshot
        .routes
        .values()
        .map(|route| route.targets.len())
        .collect();
    assert_eq!(targets, [1, 0], "a name must not fall through to a wider glob");
    assert_eq!(
        reason(&compiled, Kind::ModelRoute, "half"),
        Reason::ProviderNotFound
    );
}

#[test]
fn of_two_clients_with_one_key_the_older_keeps_it() {
    let key = "canary-canary-canary-canary";
    let cases = [
        (None, None, "a"),
        (Some("2026-01-02T00:00:00Z"), Some("2026-01-01T00:00:00Z"), "b"),
        (Some("2026-01-01T00:00:00Z"), Some("2026-01-02T00:00:00Z"), "a"),
    ];
    for (a, b, holder) in cases {
        let world = World::default()
            .client_since("a", a, json!({}))
            .client_since("b", b, json!({}))
            .secret("a", key)
            .secret("b", key);
        let compiled = world.compile();
        let clients: Vec<&str> = compiled.snapshot.clients.keys().map(|name| name.name()).collect();
        assert_eq!(clients, [holder]);
        let other = if holder == "a" { "b" } else { "a" };
        assert_eq!(reason(&compiled, Kind::ClientKey, other), Reason::DuplicateKey);
    }
}

#[test]
fn a_client_is_known_by_a_digest_and_keeps_its_end() {
    let key = "canary-canary-canary-canary";
    let fields = json!({"admin": true, "expiresAt": "1971-01-01T00:00:00Z", "models": {"allow": ["gpt-*"]}});
    let compiled = World::default()
        .client("me", fields)
        .secret("me", &format!("{key}\n"))
        .compile();
    let client = compiled
        .snapshot
        .clients
        .values()
        .next()
        .expect("an expired key stays, to be told as such");
    assert_eq!(
        client.expires_at,
        Some(Timestamp::from_micros(365 * 24 * 3600 * 1_000_000))
    );
    assert!(client.admin);
    let digest = DigestKey::new(&Secret::new("installation")).digest(key.as_bytes());
    assert_eq!(client.keys, [digest.into()]);
    assert!(!format!("{compiled:?}").contains("canary"));
}

#[test]
fn the_version_changes_with_what_is_served_and_with_nothing_else() {
    let base = World::default()
        .provider("up", json!({}))
        .credential("one", json!({}))
        .secret("one", "sk-1")
        .client("me", json!({}))
        .secret("me", "canary-canary-canary-canary");
    let version = base.version();
    assert_eq!(base.version(), version, "equal objects give equal versions");
    let same = [
        base.clone().secret("unused", "x"),
        base.clone().secret("one", "sk-1\n"),
        base.clone().credential("bad", json!({})),
    ];
    for world in same {
        assert_eq!(world.version(), version);
    }
    let headers = json!([{"name": "a", "valueFrom": {"secretKeyRef": {"name": "one", "key": "api-key"}}}]);
    let with_header = base.clone().provider("up", json!({"headers": headers}));
    let ca = |text: &str| {
        let values = BTreeMap::from([("ca.crt".to_owned(), format!("-----BEGIN CERTIFICATE-----{text}"))]);
        let caref = json!({"tls": {"caRef": {"kind": "ConfigMap", "name": "ca"}}});
        base.clone()
            .provider("up", caref)
            .with("ca", Object::ConfigMap(Arc::new(values)))
    };
    let different = [
        base.clone().secret("one", "sk-2"),
        base.clone().secret("me", "canary-canary-canary-other"),
        base.clone().credential("one", json!({"weight": 2})),
        base.clone().provider("up", json!({"consumers": "All"})),
        base.clone().route("all", json!({})),
        with_header.clone(),
        with_header.secret("one", "sk-2"),
        ca("a"),
        ca("b"),
    ];
    let mut versions: Vec<String> = different.iter().map(World::version).collect();
    versions.push(version);
    versions.sort();
    let count = versions.len();
    versions.dedup();
    assert_eq!(versions.len(), count, "each of these is another state");
}

#[test]
fn every_object_has_conditions_in_order() {
    let world = World::default()
        .route("all", json!({}))
        .client("me", json!({}))
        .provider("up", json!({}))
        .credential("one", json!({}));
    let compiled = world.compile();
    let names: Vec<String> = compiled
        .conditions
        .iter()
        .map(|object| object.identity.to_string())
        .collect();
    let expected = [
        "Provider default/up",
        "Credential default/one",
        "ModelRoute default/all",
        "ClientKey default/me",
    ];
    assert_eq!(names, expected);
    for object in &compiled.conditions {
        assert!(
            object
                .get(ConditionType::Accepted)
                .is_some_and(|accepted| accepted.status)
        );
    }
}

#[test]
fn a_secret_that_may_not_be_used_is_missing_and_the_condition_says_why() {
    let mut world = World::default()
        .provider("up", json!({}))
        .credential("one", json!({}))
        .secret("one", "a key");
    let secret = world.0.iter().map(|(identity, _)| identity.clone()).last();
    world
        .0
        .withhold(secret.expect("Secrets come last"), "it has no label");
    let compiled = world.compile();
    assert_eq!(reason(&compiled, Kind::Credential, "one"), Reason::SecretMissing);
    assert!(
        message(&compiled).contains("Secret one cannot be used: it has no label"),
        "{}",
        message(&compiled)
    );
    let usable = world.secret("one", "a key").compile();
    assert_eq!(reason(&usable, Kind::Credential, "one"), Reason::Resolved);
}

#[test]
fn only_what_compile_looks_at_makes_objects_differ() {
    let object = |change: fn(&mut kinds::Credential)| {
        let fields = json!({"providerRef": {"name": "up"}, "apiKey": {"secretRef": {"name": "key"}}});
        let mut credential = kinds::Credential::new("one", spec(fields));
        change(&mut credential);
        Object::Credential(Arc::new(credential))
    };
    let before = object(|_| ());
    assert!(before.compiles_like(&object(|it| {
        it.metadata.resource_version = Some("2".to_owned());
        it.metadata.annotations = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        it.status = Some(kinds::CredentialStatus::default());
    })));
    let differing: [fn(&mut kinds::Credential); 3] = [
        |it| it.spec.weight = 7,
        |it| it.metadata.labels = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())])),
        |it| it.metadata.creation_timestamp = Some(serde_json::from_str("\"2026-01-02T03:04:05Z\"").unwrap()),
    ];
    for change in differing {
        assert!(!before.compiles_like(&object(change)));
    }
}
