//! Client keys that are minted and replaced, and that end.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cluster::System;
use harness::{Client, eventually};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::people::refused_by_kubernetes;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const ISSUED_AT: &str = "roundhouse.dev/issued-at";
const PREVIOUS_VALID_UNTIL: &str = "roundhouse.dev/previous-valid-until";

/// A Secret: its values, and its annotations.
struct Minted {
    data: Value,
    annotations: Value,
}

impl Minted {
    /// What the Secret `tool-key` holds; `None` while there is none.
    fn of(system: &System) -> Option<Self> {
        let found = system.kubectl(&["get", "secret", "tool-key", "--ignore-not-found", "--output=json"]);
        let secret: Value = serde_json::from_str(&found).ok()?;
        Some(Self {
            data: secret["data"].clone(),
            annotations: secret["metadata"]["annotations"].clone(),
        })
    }

    fn key(&self, name: &str) -> Option<String> {
        let key = STANDARD.decode(self.data[name].as_str()?).expect("it is base64");
        Some(String::from_utf8(key).expect("a minted key is text"))
    }
}

/// Waits until the Secret is as wanted.
async fn until<T>(system: &System, what: &str, wanted: impl Fn(&Minted) -> Option<T>) -> T {
    eventually(what, PATIENCE, || async {
        Minted::of(system).as_ref().and_then(&wanted)
    })
    .await
}

/// Clients of all gateways with this key.
fn clients(system: &System, key: &str) -> Vec<Client> {
    let client = |gateway: &harness::Gateway| gateway.client_with(key);
    system.gateways().map(client).collect()
}

/// Waits until a key is answered with this status at every gateway.
async fn until_answered(clients: &[Client], status: u16) {
    for client in clients {
        eventually(
            &format!("the key is answered with {status}"),
            PATIENCE,
            || async { (client.chat("m").await.status == status).then_some(()) },
        )
        .await;
    }
}

fn annotate(system: &System, annotation: &str, moment: Timestamp) {
    let annotation = format!("{annotation}={moment}");
    system.kubectl(&["annotate", "--overwrite", "secret", "tool-key", &annotation]);
}

fn from_now(seconds: i64) -> Timestamp {
    let moment = Timestamp::now() + SignedDuration::from_secs(seconds);
    Timestamp::from_second(moment.as_second()).expect("it can be written")
}

async fn system(namespace: &str, values: &str) -> System {
    let mut system = System::start(namespace, values).await;
    system.add_operators(1).await;
    system.apply(&system.pool(["a"]));
    system.add_gateways(2).await;
    system.wait_for("credential/a", "Programmed");
    system
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_minted_and_replaced_and_the_one_before_ends_in_time_without_an_operator() {
    let mut system = system("minting", "clientKeys: {mint: true}").await;
    let spec = json!({"target": {"name": "tool-key"}, "rotation": {"every": "1h", "overlap": "2m"}});
    let tool = json!({
        "apiVersion": "roundhouse.dev/v1alpha1", "kind": "ClientKey", "metadata": {"name": "tool"}, "spec": spec,
    });
    system.apply_yaml(&tool.to_string());
    let first = until(&system, "a key is minted", |secret| secret.key("api-key")).await;
    until_answered(&clients(&system, &first), 200).await;
    system.wait_for("clientkey/tool", "Programmed");
    let (object, _) = system.until_condition("clientkeys/tool", "Ready", "True").await;
    assert_eq!(object["status"]["secretName"], "tool-key", "{object}");
    assert!(object["status"]["nextRotationTime"].is_string(), "{object}");
    assert!(
        !object.to_string().contains(&first),
        "a key is in an object's status"
    );

    // The Secret is the state: the key is as old as it says.
    annotate(&system, ISSUED_AT, from_now(-7200));
    let (second, previous) = until(&system, "the key is replaced", |secret| {
        Some((secret.key("api-key")?, secret.key("api-key-previous")?))
    })
    .await;
    assert_eq!(previous, first);
    assert_ne!(second, first);
    until_answered(&clients(&system, &second), 200).await;
    for client in clients(&system, &first) {
        client.chat("m").await.expect(200);
    }

    let end = from_now(12);
    annotate(&system, PREVIOUS_VALID_UNTIL, end);
    let known = end.as_microsecond().to_string();
    for gateway in system.gateways() {
        eventually("the gateway knows the end", PATIENCE, || async {
            let snapshot = gateway.admin().get("/debug/snapshot").await.expect(200);
            snapshot.text().contains(&known).then_some(())
        })
        .await;
    }
    system.kill_operator(0);
    for client in clients(&system, &first) {
        eventually("the former key ends", PATIENCE, || async {
            (client.chat("m").await.status == 401).then_some(())
        })
        .await;
        let ended = Timestamp::now();
        assert!(ended >= end, "it ended at {ended}, and not at {end}");
    }
    for client in clients(&system, &second) {
        client.chat("m").await.expect(200);
    }

    system.start_operator(0).await;
    until(&system, "the former key goes", |secret| {
        let is_gone = secret.key("api-key-previous").is_none()
            && secret.annotations.get(PREVIOUS_VALID_UNTIL).is_none();
        is_gone.then_some(())
    })
    .await;
    assert_eq!(
        until(&system, "the key stays", |secret| secret.key("api-key")).await,
        second
    );
    let logs = system.logs();
    assert!(
        !logs.contains(&first) && !logs.contains(&second),
        "a key was logged"
    );
    assert_eq!(refused_by_kubernetes(&system), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_ends_when_its_time_is_over() {
    const KEY: &str = "rh-client-key-brief-0123456789abcdef";
    let system = system("expiry", "").await;
    let end = from_now(10);
    let brief = system
        .pool(["a"])
        .client("brief", KEY)
        .spec("expiresAt", json!(end.to_string()));
    system.apply(&brief);
    let clients = clients(&system, KEY);
    until_answered(&clients, 200).await;
    until_answered(&clients, 401).await;
    let ended = Timestamp::now();
    assert!(ended >= end, "it ended at {ended}, and not at {end}");
    let (object, _) = system
        .until_condition("clientkeys/brief", "Ready", "False/Expired")
        .await;
    assert_eq!(object["status"]["expiresAt"], end.to_string(), "{object}");
    // Without the right to mint nothing is minted, and nothing is tried.
    let tool = json!({
        "apiVersion": "roundhouse.dev/v1alpha1", "kind": "ClientKey", "metadata": {"name": "tool"},
        "spec": {"target": {"name": "tool-key"}},
    });
    system.apply_yaml(&tool.to_string());
    system
        .until_condition("clientkeys/tool", "Ready", "False/SecretMissing")
        .await;
    assert!(Minted::of(&system).is_none());
    assert_eq!(refused_by_kubernetes(&system), Vec::<String>::new());
}
