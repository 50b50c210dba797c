//! Resources, written fluently.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use crate::Upstream;

/// The key of the client that [`Fixture::pool`] makes.
pub const CLIENT_KEY: &str = "rh-client-key-app-0123456789abcdef";

/// The key of the client that [`Fixture::admin`] makes.
pub const ADMIN_KEY: &str = "rh-admin-key-ops-0123456789abcdef";

/// The key of the upstream credential called `name`. The upstream finds the name in it again.
pub fn credential_key(name: &str) -> String {
    format!("sk-{name}-0123456789abcdef")
}

/// A set of manifests.
///
/// JSON is YAML, so objects are written as JSON documents. `spec` and `set` change the object added last;
/// [`Fixture::amend`] changes any.
#[derive(Clone, Debug)]
pub struct Fixture {
    namespace: String,
    objects: Vec<Value>,
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

impl Fixture {
    /// Starts with nothing, in the namespace `default`.
    pub fn new() -> Self {
        Self {
            namespace: "default".to_owned(),
            objects: Vec::new(),
        }
    }

    /// The usual: an `OpenAI` Provider `p` at `upstream` with the model `m`, one credential a name, and the client
    /// `app` with [`CLIENT_KEY`].
    pub fn pool<const N: usize>(upstream: &Upstream, credentials: [&str; N]) -> Self {
        let mut fixture = Self::new().provider("p", &upstream.url("/v1"), &["m"]);
        for name in credentials {
            fixture = fixture.credential("p", name);
        }
        fixture.client("app", CLIENT_KEY)
    }

    /// The same for Anthropic: Provider `claude`, model `claude-m`.
    pub fn anthropic<const N: usize>(upstream: &Upstream, credentials: [&str; N]) -> Self {
        let mut fixture = Self::new()
            .provider("claude", &upstream.url(""), &["claude-m"])
            .spec("dialect", json!("Anthropic"));
        for name in credentials {
            fixture = fixture.credential("claude", name);
        }
        fixture.client("app", CLIENT_KEY)
    }

    /// Objects added from here on are in `namespace`.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Adds an `OpenAI` Provider.
    #[must_use]
    pub fn provider(self, name: &str, url: &str, models: &[&str]) -> Self {
        let models: Vec<Value> = models.iter().map(|model| json!({ "name": model })).collect();
        let mut spec = json!({ "dialect": "OpenAI", "url": url });
        if !models.is_empty() {
            spec["models"] = models.into();
        }
        self.ours("Provider", name, &spec)
    }

    /// Adds an `OpenAI` Provider that is a Service of its namespace.
    #[must_use]
    pub fn provider_at(self, name: &str, service: &str, port: u16, models: &[&str]) -> Self {
        let models: Vec<Value> = models.iter().map(|model| json!({ "name": model })).collect();
        let service = json!({ "name": service, "port": port });
        let spec = json!({ "dialect": "OpenAI", "service": service, "models": models });
        self.ours("Provider", name, &spec)
    }

    /// Adds a Credential and the Secret that holds its [`credential_key`].
    #[must_use]
    pub fn credential(self, provider: &str, name: &str) -> Self {
        self.credential_with(provider, name, &credential_key(name))
    }

    /// Adds a Credential and the Secret that holds `key`.
    #[must_use]
    pub fn credential_with(self, provider: &str, name: &str, key: &str) -> Self {
        self.secret(&format!("{name}-key"), &[("api-key", key)]).ours(
            "Credential",
            name,
            &json!({
                "providerRef": { "name": provider },
                "apiKey": { "secretRef": { "name": format!("{name}-key"), "key": "api-key" } },
            }),
        )
    }

    /// Adds a `ClientKey` and its Secret.
    #[must_use]
    pub fn client(self, name: &str, key: &str) -> Self {
        self.secret(&format!("{name}-client"), &[("api-key", key)]).ours(
            "ClientKey",
            name,
            &json!({ "secretRef": { "name": format!("{name}-client"), "key": "api-key" } }),
        )
    }

    /// Adds the client `ops` with [`ADMIN_KEY`], which may use the admin routes.
    #[must_use]
    pub fn admin(self) -> Self {
        self.client("ops", ADMIN_KEY).spec("admin", json!(true))
    }

    /// Adds a `ModelRoute`.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "called with json!(…)")]
    pub fn route(self, name: &str, models: &[&str], targets: Value) -> Self {
        self.ours(
            "ModelRoute",
            name,
            &json!({ "models": models, "targets": targets }),
        )
    }

    /// Adds a Secret.
    #[must_use]
    pub fn secret(mut self, name: &str, data: &[(&str, &str)]) -> Self {
        let data: Map<String, Value> = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        self.objects.push(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "namespace": self.namespace },
            "stringData": data,
        }));
        self
    }

    /// Sets a field of the spec of the object added last.
    #[must_use]
    pub fn spec(self, field: &str, value: Value) -> Self {
        self.set(&format!("/spec/{field}"), value)
    }

    /// Sets what `pointer` (RFC 6901) names in the object added last.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let object = self.objects.last_mut().expect("an object was added before");
        put(object, pointer, value);
        self
    }

    /// Sets what `pointer` names in the object `kind`/`name`.
    #[must_use]
    pub fn amend(mut self, kind: &str, name: &str, pointer: &str, value: Value) -> Self {
        put(self.find(kind, name), pointer, value);
        self
    }

    /// Takes an object away.
    #[must_use]
    pub fn without(mut self, kind: &str, name: &str) -> Self {
        self.objects
            .retain(|object| object["kind"] != kind || object["metadata"]["name"] != name);
        self
    }

    /// The manifests as one file.
    pub fn yaml(&self) -> String {
        let documents: Vec<String> = self
            .objects
            .iter()
            .map(|object| format!("{object:#}\n"))
            .collect();
        format!("---\n{}", documents.join("---\n"))
    }

    /// Writes the manifests to `folder/resources.yaml`, replacing it at once.
    pub fn write(&self, folder: &Path) {
        let draft = folder.join(".resources.draft");
        fs::write(&draft, self.yaml()).expect("the folder is writable");
        fs::rename(&draft, folder.join("resources.yaml")).expect("the folder is writable");
    }

    fn ours(mut self, kind: &str, name: &str, spec: &Value) -> Self {
        self.objects.push(json!({
            "apiVersion": "roundhouse.dev/v1alpha1",
            "kind": kind,
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": spec,
        }));
        self
    }

    fn find(&mut self, kind: &str, name: &str) -> &mut Value {
        self.objects
            .iter_mut()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
            .expect("the object to amend was added before")
    }
}

/// Sets the member that `pointer` names, and makes the objects on the way.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for part in pointer.split('/').skip(1) {
        place = match part.parse::<usize>() {
            Ok(index) if place.is_array() => &mut place[index],
            _ => &mut place[part.replace("~1", "/").replace("~0", "~")],
        };
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_amended_in_place() {
        let fixture = Fixture::new()
            .provider("p", "http://127.0.0.1:1/v1", &["m"])
            .client("app", CLIENT_KEY)
            .spec("limits", json!({ "concurrency": 1 }))
            .amend("Provider", "p", "/spec/breaker/openFor", json!("1s"));
        let documents: Vec<Value> = fixture
            .yaml()
            .split("---\n")
            .skip(1)
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        assert_eq!(documents.len(), 3);
        assert_eq!(documents[0]["spec"]["breaker"]["openFor"], "1s");
        assert_eq!(documents[2]["spec"]["limits"]["concurrency"], 1);
        assert_eq!(documents[2]["metadata"]["namespace"], "default");
    }
}
