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

use dialect::{Api, Dialect};
use proto::Contents;
use snapshot::{
    Auth, Breaker, CallLimits, Client, Consumers, Credential, CredentialSecret, DigestKey, Endpoint, Keyring,
    Model, ModelFilter, Provider, Scheme, Secret, Selection, Snapshot, Timeouts, Tls, WhenStoreIsAway,
};

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
    let installation = Secret::new("installation");
    let digests = DigestKey::new(&installation);
    let uri: http::Uri = url.parse().unwrap();
    let provider = Provider {
        name: "default/up".parse().unwrap(),
        dialect: Dialect::OpenAi,
        apis: vec![Api::ChatCompletions],
        endpoint: Endpoint {
            scheme: if uri.scheme_str() == Some("https") {
                Scheme::Https
            } else {
                Scheme::Http
            },
            host: uri.host().unwrap().into(),
            port: uri.port_u16().unwrap_or(443),
            path: uri.path().into(),
            service: false,
        },
        auth: Auth::Bearer,
        headers: Vec::new(),
        tls: Tls::default(),
        models: vec![Model {
            name: "m".into(),
            upstream_name: None,
            max_input_tokens: None,
            max_output_tokens: None,
        }],
        consumers: Consumers::Same,
        timeouts: Timeouts::default(),
        concurrency: None,
        breaker: Breaker::default(),
        error_rules: Vec::new(),
        selection: Selection::default(),
        azure: None,
    };
    let client = Client {
        name: "default/client".parse().unwrap(),
        keys: vec![digests.digest(CLIENT_KEY.as_bytes()).into()],
        admin: false,
        models: Vec::new(),
        limits: CallLimits::default(),
        when_store_is_away: WhenStoreIsAway::Share,
        budgets: Vec::new(),
        expires_at: None,
        debug_headers: false,
    };
    let mut keyring = Keyring::default();
    let mut snapshot = Snapshot {
        version: String::new(),
        providers: [(provider.name.clone(), Arc::new(provider))].into(),
        clients: [(client.name.clone(), Arc::new(client))].into(),
        ..Snapshot::default()
    };
    for (name, key) in credentials {
        let secret = Secret::new(*key);
        let held = CredentialSecret {
            version: digests.version(&secret),
            secret,
        };
        let credential = Credential {
            name: format!("default/{name}").parse().unwrap(),
            provider: "default/up".parse().unwrap(),
            secret_version: held.version.clone(),
            labels: std::collections::BTreeMap::default(),
            weight: 1,
            priority: 0,
            models: ModelFilter::default(),
            limits: CallLimits::default(),
            quota: Arc::default(),
            suspended: false,
        };
        keyring.credentials.insert(credential.name.clone(), held);
        snapshot
            .credentials
            .insert(credential.name.clone(), Arc::new(credential));
    }
    named(snapshot, keyring)
}

/// Under a version that is made of the content, as compile does it.
fn named(mut snapshot: Snapshot, keyring: Keyring) -> Contents {
    let installation = || Secret::new("installation");
    snapshot.version.clear();
    let keyring = Arc::new(keyring);
    let unnamed = Contents::new(Arc::new(snapshot.clone()), keyring.clone(), installation());
    let hash = unnamed.versions().digest();
    let version = hash
        .iter()
        .take(8)
        .fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    snapshot.version = format!("{version:016x}");
    Contents::new(Arc::new(snapshot), keyring, installation())
}

/// Contents that nobody calls.
fn some(credentials: &[(&str, &str)]) -> Contents {
    contents("https://api.example.com/v1", credentials)
}

fn version(contents: &Contents) -> String {
    contents.versions().snapshot.to_string()
}
