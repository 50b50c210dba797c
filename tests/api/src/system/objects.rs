//! Objects of a system's namespace.

use std::time::{Duration, Instant};

use harness::Fixture;
use http::Request;
use serde_json::Value;

use super::{PATIENCE, System};

impl System {
    /// Applies objects.
    pub fn apply(&self, fixture: &Fixture) {
        self.server.apply(&self.namespace, &fixture.yaml());
    }

    /// Applies objects, written as YAML.
    pub fn apply_yaml(&self, yaml: &str) {
        self.server.apply(&self.namespace, yaml);
    }

    /// Runs kubectl in the namespace and returns what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.server
            .kubectl(&[arguments, &["--namespace", &self.namespace]].concat())
    }

    /// Waits with `kubectl wait` until a condition is true, such as `Programmed` of `credential/a`.
    pub fn wait_for(&self, object: &str, condition: &str) {
        let condition = format!("--for=condition={condition}");
        let patience = format!("--timeout={}s", PATIENCE.as_secs());
        self.kubectl(&["wait", object, &condition, &patience]);
    }

    /// Puts another key into the Secret of a Credential of [`System::pool`], and returns the Secret's version.
    pub fn rotate(&self, credential: &str, key: &str) -> String {
        let name = format!("{credential}-key");
        self.apply(
            &Fixture::new()
                .namespace(&self.namespace)
                .secret(&name, &[("api-key", key)]),
        );
        self.kubectl(&[
            "get",
            "secret",
            &name,
            "--output=jsonpath={.metadata.resourceVersion}",
        ])
    }

    /// Waits as `docs/operator.md` says until every gateway uses this version of a Credential's Secret.
    pub fn wait_for_secret(&self, credential: &str, version: &str) {
        let object = format!("credential/{credential}");
        let observed = format!("--for=jsonpath={{.status.observedSecret.resourceVersion}}={version}");
        let patience = format!("--timeout={}s", PATIENCE.as_secs());
        self.kubectl(&["wait", &object, &observed, &patience]);
        self.wait_for(&object, "Programmed");
    }

    /// An object of ours, such as `credentials/a`; null when there is none.
    pub async fn object(&self, object: &str) -> Value {
        let namespace = &self.namespace;
        self.get(&format!(
            "/apis/roundhouse.dev/v1alpha1/namespaces/{namespace}/{object}"
        ))
        .await
    }

    /// The Events of an object, such as the Credential `a`.
    pub async fn events(&self, kind: &str, name: &str) -> Vec<Value> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
        let list = self.get(&path).await;
        let mut events = list["items"].as_array().cloned().unwrap_or_default();
        events.retain(|event| event["regarding"]["kind"] == kind && event["regarding"]["name"] == name);
        events
    }

    /// Waits until an object of ours is `good`, and returns it and how long that took.
    pub async fn until(&self, object: &str, what: &str, good: impl Fn(&Value) -> bool) -> (Value, Duration) {
        let started = Instant::now();
        loop {
            let found = self.object(object).await;
            if good(&found) {
                return (found, started.elapsed());
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{object}: {what}: not within {PATIENCE:?}: {found:#}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a condition of an object of ours has this status, or this status and reason: `False/SecretMissing`.
    pub async fn until_condition(&self, object: &str, condition: &str, expected: &str) -> (Value, Duration) {
        self.until(object, &format!("{condition} is {expected}"), |object| {
            said(object, condition).starts_with(expected)
        })
        .await
    }

    async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(Vec::new()).expect("the path is one");
        match self.client.request(request).await {
            Ok(object) => object,
            Err(kube::Error::Api(status)) if status.is_not_found() => Value::Null,
            Err(error) => crate::process::stop(&format!("{path}: {error}")),
        }
    }
}

/// What a condition of an object says: `STATUS/Reason`; the empty string when the object has none of it.
pub fn said(object: &Value, condition: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions
        .find(|found| found["type"] == condition)
        .map(|found| {
            let text = |field: &str| found[field].as_str().unwrap_or_default();
            format!("{}/{}", text("status"), text("reason"))
        })
        .unwrap_or_default()
}
