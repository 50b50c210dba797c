//! Discovery against operators that do as they are told, over real connections.
#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

mod agreement;
mod following;
mod gateway;
mod keeping;
mod keys;
mod operator;
mod reports;

use std::{sync::Arc, time::Duration};

use proto::Contents;
use snapshot::{DigestKey, Secret};

use crate::source::FileSource;

/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The key that callers present.
const CLIENT_KEY: &str = "rh-client-key-0123456789";

/// Waits until `done`, and fails when that does not come.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let look = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, look).await;
    assert!(seen.is_ok(), "{what} did not come");
}

/// A Provider at `url`, with the model `m`, and its credentials: names and keys. One client.
fn contents(url: &str, credentials: &[(&str, &str)]) -> Contents {
    let mut text = format!(
        "apiVersion: roundhouse.dev/v1alpha1
kind: Provider
metadata: {{name: up}}
spec:
  dialect: OpenAI
  url: {url}
  models: [{{name: m}}]
---
apiVersion: roundhouse.dev/v1alpha1
kind: ClientKey
metadata: {{name: client}}
spec:
  secretRef: {{name: client, key: api-key}}
---
apiVersion: v1
kind: Secret
metadata: {{name: client}}
stringData: {{api-key: {CLIENT_KEY}}}
"
    );
    for (name, key) in credentials {
        text.push_str(&format!(
            "---
apiVersion: roundhouse.dev/v1alpha1
kind: Credential
metadata: {{name: {name}}}
spec:
  providerRef: {{name: up}}
  apiKey: {{secretRef: {{name: {name}}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{api-key: {key}}}
"
        ));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let key = Secret::new("installation");
    let source = FileSource::open(vec![folder.path().to_owned()], None, DigestKey::new(&key)).unwrap();
    let problems: Vec<_> = source.problems().collect();
    assert!(problems.is_empty(), "{problems:?}");
    let desired = source.desired().borrow().clone();
    Contents::new(Arc::clone(&desired.snapshot), Arc::clone(&desired.keyring), key)
}

/// Contents that nobody calls.
fn some(credentials: &[(&str, &str)]) -> Contents {
    contents("https://api.example.com/v1", credentials)
}

fn version(contents: &Contents) -> String {
    contents.versions().snapshot.to_string()
}
