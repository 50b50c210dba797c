//! What people see with kubectl.

use cluster::ApiServer;
use proto::Reported;
use snapshot::{CredentialName, RestReason};

use super::world::World;

const OBJECTS: &str = r#"
{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {first: sk-first-0123456789}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: Provider, metadata: {name: openai}, spec: {dialect: OpenAI, url: "https://api.example.com/v1", models: [{name: m}]}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: Credential, metadata: {name: first}, spec: {providerRef: {name: openai}, apiKey: {secretRef: {name: keys, key: first}}}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: ModelRoute, metadata: {name: fast}, spec: {models: [fast], targets: [{providerRef: {name: openai}, model: m}, {providerRef: {name: gone}}]}}
"#;

/// Applies the objects and waits until all that can be is ready.
async fn world(namespace: &'static str, gateways: usize) -> World {
    let mut world = World::new(namespace, gateways).await;
    world.replica(None);
    world.apply(OBJECTS);
    world.wait(
        "condition=Ready",
        &["credential/first", "provider/openai", "mr/fast"],
    );
    world
}

/// The words of the line that is about an object.
fn row(listed: &str, name: &str) -> Vec<String> {
    let line = listed
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name));
    let words = line.map(|line| line.split_whitespace().map(ToOwned::to_owned).collect());
    words.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_tell_what_matters() {
    let world = world("status-columns", 3).await;
    world.until(&["get", "cred"], |listed| {
        row(listed, "first")
            .get(..5)
            .is_some_and(|row| row == ["first", "openai", "True", "Usable", "3/3"])
    });
    world.until(&["get", "prov"], |listed| {
        row(listed, "openai")[1..5] == ["OpenAI", "https://api.example.com/v1", "1/1", "True"]
    });
    let listed = world.kubectl(&["get", "mr"]);
    assert_eq!(
        row(&listed, "fast")[1..5],
        ["[\"fast\"]", "1", "True", "Usable"],
        "{listed}"
    );

    // The upstream refuses its key, as a gateway reports.
    let published = world.published("first").await;
    let credential = CredentialName::new("status-columns", "first").expect("it works as always");
    let served = &published.contents.snapshot().credentials[&credential];
    let refused = Reported {
        secret_version: served.secret_version.clone(),
        credential,
        rests: Some(RestReason::Unauthorized),
        until: None,
    };
    world.report(&refused).await;
    world.until(&["get", "cred"], |listed| {
        row(listed, "first")
            .get(2..5)
            .is_some_and(|row| row == ["False", "Unauthorized", "3/3"])
    });
    world.until(&["get", "prov"], |listed| {
        row(listed, "openai")[3..5] == ["0/1", "False"]
    });
    let described = world.until(&["describe", "cred", "first"], |described| {
        described.contains("Events:") && described.contains("Warning  Unauthorized")
    });
    assert!(described.contains("put a new one into its Secret"), "{described}");
    assert!(!described.contains("sk-first"), "{described}");
    // A new key ends it.
    world.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {first: sk-second-0123456789}}",
    );
    world.wait("condition=Ready", &["cred/first"]);
    world.until(&["describe", "cred", "first"], |described| {
        described.contains("Normal   Usable")
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_after_a_rotation_proves_that_all_gateways_have_the_new_key() {
    let world = world("status-rotation", 12).await;
    world.wait("condition=Programmed", &["cred/first", "prov/openai", "mr/fast"]);
    world.gateways.hear(11);
    let version = world.rotate();
    let observed = format!("jsonpath={{.status.observedSecret.resourceVersion}}={version}");
    world.wait(&observed, &["cred/first"]);
    // From here on Programmed is about the new key.
    let namespace = "--namespace=status-rotation";
    let waited = ApiServer::shared().try_kubectl(&[
        namespace,
        "wait",
        "--for=condition=Programmed",
        "--timeout=2s",
        "cred/first",
    ]);
    assert!(!waited.success, "one gateway is cut off: {waited:?}");
    world.until(&["get", "cred"], |listed| row(listed, "first")[4] == "11/12");
    let programmed = "--output=jsonpath={.status.conditions[?(@.type==\"Programmed\")].reason}";
    assert_eq!(
        world.kubectl(&["get", "cred", "first", programmed]),
        "Distributing"
    );

    world.gateways.hear(12);
    world.wait("condition=Programmed", &["cred/first"]);
    world.until(&["get", "cred"], |listed| row(listed, "first")[4] == "12/12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_gone_is_told_and_is_told_when_it_is_back() {
    let world = world("status-secret", 1).await;
    world.wait("condition=Programmed", &["cred/first"]);
    world.kubectl(&["delete", "secret", "keys"]);
    world.until(&["get", "cred"], |listed| {
        row(listed, "first")[2..4] == ["False", "SecretMissing"]
    });
    let missing = ApiServer::shared().try_kubectl(&[
        "--namespace=status-secret",
        "wait",
        "--for=condition=Programmed",
        "--timeout=1s",
        "cred/first",
    ]);
    assert!(!missing.success, "it is not served: {missing:?}");
    world.until(&["describe", "cred", "first"], |described| {
        described.contains("Warning  SecretMissing")
    });
    world.apply(OBJECTS);
    world.wait("condition=Programmed", &["cred/first"]);
    // An object that is made anew is told anew, and nothing of the former one.
    world.kubectl(&["delete", "cred", "first"]);
    world.apply(OBJECTS);
    world.wait("condition=Programmed", &["cred/first"]);
    let owners = world.kubectl(&[
        "get",
        "cred",
        "first",
        "--show-managed-fields",
        "--output=jsonpath={.metadata.managedFields[?(@.subresource==\"status\")].manager}",
    ]);
    assert_eq!(owners, "roundhouse-operator");
}
