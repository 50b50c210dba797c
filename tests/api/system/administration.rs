//! What administrators ask of gateways over HTTP, in a cluster.

use std::time::Duration;

use cluster::System;
use harness::{ADMIN_KEY, Answer, Client, eventually};
use serde_json::{Value, json};

use crate::people::refused_by_kubernetes;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What may be looked at.
const LOOKS: [&str; 4] = ["/p/v1/credentials", "/v1/quota", "/api/stats", "/auth/keys"];

/// What changes something.
const CHANGES: [&str; 3] = ["/p/v1/credentials", "/p/v1/credentials/delete", "/auth/keys"];

/// An operator and gateways with the Credential `a`, the client `app` and the administrator `ops`.
async fn system(namespace: &str, values: &str, gateways: usize) -> System {
    let mut system = System::start(namespace, values).await;
    system.add_operators(1).await;
    let window = json!([{"name": "daily", "duration": "24h", "requests": 100}]);
    let objects = system
        .pool(["a"])
        .amend("Credential", "a", "/spec/quota", json!({"windows": window}))
        .admin();
    system.apply(&objects);
    system.add_gateways(gateways).await;
    for object in ["credential/a", "clientkey/app", "clientkey/ops"] {
        system.wait_for(object, "Programmed");
    }
    system
}

/// Clients of all gateways with the administrator's key.
fn administrators(system: &System) -> Vec<Client> {
    let client = |gateway: &harness::Gateway| gateway.client_with(ADMIN_KEY);
    system.gateways().map(client).collect()
}

fn error_code(answer: &Answer) -> Value {
    answer.json()["error"]["code"].clone()
}

/// The names and sources of the credentials of `p` in a listing.
async fn listed(administrator: &Client) -> Vec<(String, String)> {
    let listing = administrator.get("/p/v1/credentials").await.expect(200).json();
    let entries = listing["credentials"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let entry = |entry: &Value| (text(&entry["name"]), text(&entry["source"]));
    entries.iter().map(entry).collect()
}

/// Waits until a gateway lists exactly these.
async fn until_listed(administrator: &Client, expected: &[(&str, &str)]) {
    let expected = expected.iter();
    let expected: Vec<_> = expected
        .map(|(name, source)| ((*name).to_owned(), (*source).to_owned()))
        .collect();
    eventually(&format!("{expected:?} are listed"), PATIENCE, || async {
        (listed(administrator).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_for_administrators_are_not_there_unless_wanted() {
    let system = system("routes-disabled", "", 1).await;
    let administrator = &administrators(&system)[0];
    for path in LOOKS {
        administrator.get(path).await.expect(404);
    }
    for path in CHANGES.iter().chain(&["/v1/quota/reset"]) {
        administrator.post(path, &json!({})).await.expect(404);
    }
    system.gateway(0).client().chat("m").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_for_looking_change_nothing() {
    let system = system("routes-read-only", "gateway: {adminRoutes: ReadOnly}", 1).await;
    let (administrator, caller) = (&administrators(&system)[0], system.gateway(0).client());
    for path in LOOKS {
        administrator.get(path).await.expect(200);
        let refused = caller.get(path).await.expect(403);
        assert_eq!(error_code(&refused), "admin_key_required", "{path}");
    }
    for path in CHANGES.iter().chain(&["/v1/quota/reset"]) {
        let refused = administrator.post(path, &json!({})).await.expect(403);
        assert_eq!(error_code(&refused), "admin_routes_read_only", "{path}");
    }
    assert_eq!(
        listed(administrator).await,
        [("routes-read-only/a".to_owned(), "cluster".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_changes_objects_through_any_gateway() {
    let namespace = "routes-read-write";
    let values = "{gateway: {adminRoutes: ReadWrite}, clientKeys: {mint: true}}";
    let system = system(namespace, values, 2).await;
    let administrators = administrators(&system);
    let [one, other] = &administrators[..] else {
        panic!("there are two gateways")
    };
    quotas_are_shared(&system, one, other).await;
    credentials_come_and_go(&system, one, other).await;
    keys_are_minted(&system, one).await;
    assert_eq!(refused_by_kubernetes(&system), Vec::<String>::new());
}

async fn quotas_are_shared(system: &System, one: &Client, other: &Client) {
    for client in system.clients() {
        client.chat("m").await.expect(200);
    }
    let used = async |administrator: &Client| {
        let quota = administrator.get("/v1/quota").await.expect(200).json();
        let window = &quota["providers"][0]["credentials"][0]["windows"][0];
        assert_eq!(window["requests_limit"], 100, "{quota}");
        window["requests"].as_u64().expect("a number")
    };
    let counted = async |administrator: &Client| {
        let stats = administrator.get("/api/stats").await.expect(200).json();
        (stats["complete"] == true && stats.to_string().contains("\"requests\":2")).then_some(())
    };
    for administrator in [one, other] {
        eventually("both calls are counted", PATIENCE, || async {
            (used(administrator).await == 2).then_some(())
        })
        .await;
        eventually("both calls are told", PATIENCE, || counted(administrator)).await;
    }
    other.post("/v1/quota/reset", &json!({})).await.expect(200);
    eventually("the quota begins anew", PATIENCE, || async {
        (used(one).await == 0).then_some(())
    })
    .await;
}

async fn credentials_come_and_go(system: &System, one: &Client, other: &Client) {
    let namespace = system.namespace();
    let name = |bare: &str| format!("{namespace}/{bare}");
    let (a, b) = (name("a"), name("b"));
    let b_key = harness::credential_key("b");
    let addition = json!({"name": "b", "api_key": b_key});
    let added = one.post("/p/v1/credentials", &addition).await.expect(201).json();
    assert_eq!(added["name"], b, "{added}");
    assert_eq!(listed(one).await.len(), 2, "it is served when the answer comes");
    until_listed(other, &[(&a, "cluster"), (&b, "api")]).await;
    for client in system.clients() {
        eventually("the new credential is used", PATIENCE, || async {
            client.chat("m").await.expect(200);
            (system.upstream().last().credential() == "b").then_some(())
        })
        .await;
    }
    let taken = other.post("/p/v1/credentials", &addition).await.expect(409);
    assert_eq!(error_code(&taken), "name_taken");
    let object = system.object("credentials/b").await;
    assert_eq!(object["metadata"]["labels"]["roundhouse.dev/made-by"], "api");
    let kept_in = object["spec"]["apiKey"]["secretRef"]["name"].as_str();
    let kept_in = kept_in.expect("it names a Secret").to_owned();
    let owner = system.kubectl(&[
        "get",
        "secret",
        &kept_in,
        "--output=jsonpath={.metadata.ownerReferences[0].uid}",
    ]);
    assert_eq!(object["metadata"]["uid"], *owner, "its Secret goes with it");

    let applied = one.post("/p/v1/credentials/delete", &json!({"name": "a"})).await;
    let applied = applied.expect(403);
    assert_eq!(error_code(&applied), "change_not_possible", "{}", applied.text());
    let deletion = json!({"name": "b"});
    other
        .post("/p/v1/credentials/delete", &deletion)
        .await
        .expect(200);
    until_listed(one, &[(&a, "cluster")]).await;
    assert_eq!(system.object("credentials/b").await, Value::Null);
    assert_ne!(system.object("credentials/a").await, Value::Null);
    assert!(!system.logs().contains(&b_key), "a key was logged");
}

async fn keys_are_minted(system: &System, one: &Client) {
    let minted = one.post("/auth/keys", &json!({"name": "tool"})).await;
    let minted = minted.expect(201).json();
    let key = minted["key"].as_str().expect("the only answer with the key");
    for gateway in system.gateways() {
        let client = gateway.client_with(key);
        eventually("the new key works", PATIENCE, || async {
            let answer = client.chat("m").await;
            (answer.status == 200).then_some(())
        })
        .await;
        let listing = gateway.client_with(ADMIN_KEY).get("/auth/keys").await.expect(200);
        assert!(
            listing.text().contains("routes-read-write/tool"),
            "{}",
            listing.text()
        );
        assert!(!listing.text().contains(key), "a key is told once");
        let refused = client.get("/auth/keys").await.expect(403);
        assert_eq!(error_code(&refused), "admin_key_required");
    }
    assert!(!system.logs().contains(key), "a key was logged");
}
