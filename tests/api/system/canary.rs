//! What is secret stays where it belongs.

mod forms;

use std::{fmt::Debug, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cluster::System;
use harness::{Answer, Client, Fixture, Reply, When, eventually};
use proto::admin::v1::{self, admin_client::AdminClient};
use serde_json::{Value, json};
use snapshot::{DigestKey, Secret};
use tonic::transport::Channel;

use self::forms::Canaries;
use crate::people::{by, channel, may, refused_by_kubernetes};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const NAMESPACE: &str = "canary";

/// Everything is on, and everything is logged.
const VALUES: &str = "{log: {level: trace}, gateway: {adminRoutes: ReadWrite}, clientKeys: {mint: true}}";

const FIRST: &str = "sk-canary-first-Zq7Xw2Vt9Lk4Rb8Nd3Hs6Gf";
const REPLACED: &str = "sk-canary-other-Pm5Tc1Yj8Fv0Ku3Wz6Qe9Bn";
const REJECTED: &str = "sk-canary-bad-Hd2Rx6Sg9Jm4Ln7Va1Ct8Wk0";
const BROKEN: &str = "sk-canary-odd-Uy3Ei7\nOp2As5Df8Gh1Jk4Lz6X";
const ADDED: &str = "sk-canary-api-Vb9Nm3Qw6Er0Ty2Ui5Op8As1";
const PEOPLES: &str = "sk-canary-grpc-Df4Gh7Jk0Lz3Xc6Vb9Nm2Qw5";
const HEADER: &str = "canary-header-Er8Ty1Ui4Op7As0Df3Gh6Jk9L";
const APP: &str = "rh-canary-app-Zx2Cv5Bn8Mq1We4Rt7Yu0Io3P";
const OPS: &str = "rh-canary-ops-As6Df9Gh2Jk5Lz8Xc1Vb4Nm7Q";
const WRONG: &str = "rh-canary-nobody-We0Rt3Yu6Io9Pa2Sd5Fg8Hj1";
const PROMPT: &str = "canary-prompt-Kl4Zx7Cv0Bn3Mq6We9Rt2Yu5I";
const TOKEN: &str = "canary-token-Op8Pa1Sd4Fg7Hj0Kl3Zx6Cv9Bn2";

/// What was said to clients and people, and where.
#[derive(Default)]
struct Told(Vec<(String, String)>);

impl Told {
    fn answer(&mut self, what: &str, answer: &Answer) {
        let text = format!("{} {:?}\n{}", answer.status, answer.headers, answer.text());
        self.0.push((what.to_owned(), text));
    }

    fn text(&mut self, what: &str, text: impl Into<String>) {
        self.0.push((what.to_owned(), text.into()));
    }

    fn debug(&mut self, what: &str, shown: &impl Debug) {
        self.text(what, format!("{shown:?}\n{shown:#?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_nowhere_but_where_they_belong() {
    let mut system = System::start(NAMESPACE, VALUES).await;
    system.add_operators(1).await;
    system.apply(&objects());
    system.add_gateways(2).await;
    for object in ["credential/a", "credential/b", "clientkey/app"] {
        system.wait_for(object, "Programmed");
    }
    let (mut told, mut canaries) = (Told::default(), Canaries::default());
    for (name, secret) in [
        ("the first key of a credential", FIRST),
        ("its second key", REPLACED),
        ("a key that is rejected", REJECTED),
        ("a key that cannot be sent", BROKEN),
        ("a key that was added over HTTP", ADDED),
        ("a key that was added over gRPC", PEOPLES),
        ("a header's value", HEADER),
        ("a caller's key", APP),
        ("an administrator's key", OPS),
        ("a wrong key", WRONG),
        ("a prompt", PROMPT),
        ("a wrong token", TOKEN),
    ] {
        canaries.add(name, secret);
    }
    calls(&system, &mut told).await;
    changes(&system, &mut told, &mut canaries).await;
    people(&system, &mut told, &mut canaries).await;
    upstream_errors(&system, &mut told).await;

    for (number, token) in system.tokens().iter().enumerate() {
        canaries.add(&format!("token {number} of a process"), token);
    }
    let digest_key = kept(&system, "roundhouse-digest-key", "digest-key");
    canaries.add("the key of the installation", &digest_key);
    canaries.add(
        "the authority's key",
        private(&kept(&system, "roundhouse-discovery-ca", "ca.key")),
    );
    let digest_key = DigestKey::new(&Secret::new(digest_key));
    for key in [APP, OPS] {
        let digest = digest_key.digest(key.as_bytes());
        canaries.add("the digest of a client key", digest.as_bytes());
    }
    look(&system, &mut told).await;
    system.terminate_gateway(0).await;
    let logs = system.logs();
    assert!(logs.contains("\"TRACE\""), "everything is logged");
    assert_eq!(refused_by_kubernetes(&system), Vec::<String>::new());
    told.text("the logs", logs);
    for (place, text) in &told.0 {
        let found = canaries.in_text(text);
        assert!(found.is_empty(), "{place}: {:#?}", &found[..found.len().min(5)]);
    }
}

fn objects() -> Fixture {
    let header =
        json!({"name": "x-secret", "valueFrom": {"secretKeyRef": {"name": "extra", "key": "value"}}});
    Fixture::new()
        .namespace(NAMESPACE)
        .secret("extra", &[("value", HEADER)])
        .provider_at("p", "upstream", 8000, &["m"])
        .spec("headers", json!([header]))
        .credential_with("p", "a", FIRST)
        .credential_with("p", "b", REJECTED)
        .spec("priority", json!(1))
        .credential_with("p", "odd", BROKEN)
        .client("app", APP)
        .client("twin", APP)
        .client("ops", OPS)
        .spec("admin", json!(true))
}

/// Clients of a gateway with every way to present a key.
fn callers(client: &Client) -> Vec<Client> {
    let with = |name: &str| client.clone().with(name, APP);
    vec![
        client.clone().bearer(APP),
        with("x-api-key"),
        with("api-key"),
        with("x-goog-api-key"),
    ]
}

async fn calls(system: &System, told: &mut Told) {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": PROMPT}]});
    for gateway in system.gateways() {
        for client in callers(&gateway.anonymous()) {
            let answer = client.post("/v1/chat/completions", &body).await.expect(200);
            told.answer("a call", &answer);
        }
        let streamed = gateway.client_with(APP).chat_stream("m").await.finish().await;
        told.answer("a stream", &streamed);
        let query = format!("/v1/models?key={APP}");
        told.answer("models", &gateway.anonymous().get(&query).await.expect(200));
        let wrong = gateway.client_with(WRONG).chat("m").await.expect(401);
        told.answer("a wrong key", &wrong);
        let broken = gateway.client_with(APP).request("POST", "/v1/chat/completions");
        let broken = broken.body(format!("{{\"model\":\"m\",\"messages\":\"{PROMPT}"));
        told.answer("a broken body", &broken.send().await.expect(400));
    }
}

/// What administrators do over HTTP, and what kubectl does.
async fn changes(system: &System, told: &mut Told, canaries: &mut Canaries) {
    let ops = system.gateway(0).client_with(OPS);
    let credentials = "/p/v1/credentials";
    for (what, path, body, status) in [
        (
            "a new credential",
            credentials,
            json!({"name": "added", "api_key": ADDED}),
            201,
        ),
        (
            "a taken name",
            credentials,
            json!({"name": "added", "api_key": ADDED}),
            409,
        ),
        (
            "a key in the wrong place",
            credentials,
            json!({"name": ADDED, "api_key": ADDED}),
            400,
        ),
        (
            "a key as a member",
            credentials,
            json!({"api_key": {ADDED: 1}}),
            400,
        ),
        (
            "a key that cannot be sent",
            credentials,
            json!({"name": "no", "api_key": BROKEN}),
            400,
        ),
        (
            "a Provider that is none",
            "/q/v1/credentials",
            json!({"api_key": ADDED}),
            404,
        ),
    ] {
        told.answer(what, &ops.post(path, &body).await.expect(status));
    }
    let minted = ops
        .post("/auth/keys", &json!({"name": "issued"}))
        .await
        .expect(201)
        .json();
    let issued = minted["key"].as_str().expect("the only answer with the key");
    canaries.add("a key that was minted over HTTP", issued);
    for gateway in system.gateways() {
        let client = gateway.client_with(issued);
        eventually("the new key works", PATIENCE, || async {
            (client.chat("m").await.status == 200).then_some(())
        })
        .await;
    }
    let deleted = ops
        .post("/p/v1/credentials/delete", &json!({"name": "added"}))
        .await;
    told.answer("a deletion", &deleted.expect(200));

    system.apply(
        &Fixture::new()
            .namespace(NAMESPACE)
            .secret("a-key", &[("api-key", REPLACED)]),
    );
    let tool = json!({
        "apiVersion": "roundhouse.dev/v1alpha1", "kind": "ClientKey", "metadata": {"name": "tool"},
        "spec": {"target": {"name": "tool-key"}, "rotation": {"every": "1h", "overlap": "2m"}},
    });
    system.apply_yaml(&tool.to_string());
    system.wait_for("clientkey/tool", "Ready");
    canaries.add("a key that was minted", kept(system, "tool-key", "api-key"));
    let aged = "roundhouse.dev/issued-at=2026-01-01T00:00:00Z";
    system.kubectl(&["annotate", "--overwrite", "secret", "tool-key", aged]);
    let replaced = [
        "get",
        "secret",
        "tool-key",
        "--output=jsonpath={.data.api-key-previous}",
    ];
    eventually("the minted key is replaced", PATIENCE, || async {
        (!system.kubectl(&replaced).is_empty()).then_some(())
    })
    .await;
    canaries.add("the key that took its place", kept(system, "tool-key", "api-key"));
    eventually("the other key of a credential is used", PATIENCE, || async {
        system.gateway(1).client_with(APP).chat("m").await.expect(200);
        let seen = system.upstream().last();
        seen.header("authorization").contains(REPLACED).then_some(())
    })
    .await;
}

/// What people do over gRPC.
async fn people(system: &System, told: &mut Told, canaries: &mut Canaries) {
    let server = system.server();
    may(server, NAMESPACE, "alice", "get,list,create,patch,delete");
    let alice = server.token(NAMESPACE, "alice", &["roundhouse-admin"]);
    canaries.add("a person's token", &alice);
    let channel: Channel = channel(system).await;
    let mut admin = AdminClient::new(channel);
    let named = |name: &str| {
        let (namespace, name) = (NAMESPACE.to_owned(), name.to_owned());
        Some(v1::ObjectName { namespace, name })
    };
    let add = |name: &str, secret: &str| v1::AddCredentialRequest {
        provider: named("p"),
        name: name.to_owned(),
        secret: Some(v1::Secret {
            value: secret.as_bytes().to_vec(),
        }),
        user_id: String::new(),
    };
    let request = add("peoples", PEOPLES);
    told.debug("what is asked", &request);
    told.debug(
        "an addition",
        &admin
            .add_credential(by(&alice, request.clone()))
            .await
            .expect("it is added"),
    );
    told.debug(
        "a taken name",
        &admin
            .add_credential(by(&alice, request))
            .await
            .expect_err("it is taken"),
    );
    let broken = admin.add_credential(by(&alice, add("no", BROKEN))).await;
    told.debug("a key that cannot be sent", &broken.expect_err("it is refused"));
    let nobody = admin.add_credential(by(TOKEN, add("no", PEOPLES))).await;
    told.debug("a wrong token", &nobody.expect_err("it is refused"));
    let issue = v1::IssueClientKeyRequest {
        namespace: NAMESPACE.to_owned(),
        name: "theirs".to_owned(),
        ..v1::IssueClientKeyRequest::default()
    };
    let issued = admin
        .issue_client_key(by(&alice, issue))
        .await
        .expect("it is issued");
    told.debug("a new client key", &issued);
    let key = issued.into_inner().key.expect("the only answer with the key");
    canaries.add("a key that was minted over gRPC", key.value);
    let revoke = v1::RevokeClientKeyRequest {
        client_key: named("theirs"),
    };
    told.debug(
        "its end",
        &admin
            .revoke_client_key(by(&alice, revoke))
            .await
            .expect("it is revoked"),
    );
    let list = v1::ListCredentialsRequest::default();
    let list = v1::ListCredentialsRequest {
        namespace: NAMESPACE.to_owned(),
        ..list
    };
    told.debug(
        "the credentials",
        &admin.list_credentials(by(&alice, list)).await.expect("a list"),
    );
    let usage = v1::GetUsageRequest {
        namespace: NAMESPACE.to_owned(),
        dimensions: vec![v1::Dimension::Client.into(), v1::Dimension::Credential.into()],
        ..v1::GetUsageRequest::default()
    };
    told.debug(
        "what was used",
        &admin.get_usage(by(&alice, usage)).await.expect("an answer"),
    );
    let gateways = admin.list_gateways(by(&alice, v1::ListGatewaysRequest {})).await;
    told.debug("the gateways", &gateways.expect("a list"));
}

/// Upstreams say the key back when they do not like it.
async fn upstream_errors(system: &System, told: &mut Told) {
    let client = system.gateway(0).client_with(APP);
    for (status, kind, code) in [
        (400, "invalid_request_error", "invalid_value"),
        (500, "server_error", "oops"),
        (429, "requests", "rate_limit_exceeded"),
        (401, "invalid_request_error", "invalid_api_key"),
    ] {
        system.upstream().behave();
        system.upstream().on_each(When::any(), move |seen| {
            let (key, header) = (seen.header("authorization"), seen.header("x-secret"));
            let message = format!(
                "Incorrect API key provided: {key} with {header}. Key: {}",
                &key[7..]
            );
            Reply::error(status, kind, code, &message).header("x-echo", key)
        });
        let answer = client.chat("m").await;
        assert_ne!(answer.status, 200);
        told.answer(&format!("an upstream's {status}"), &answer);
    }
    let (credential, _) = system
        .until("credentials/a", "its rest is told", |credential| {
            credential["status"]["rests"][0]["reason"].is_string()
        })
        .await;
    told.text("a credential that rests", credential.to_string());
}

/// Whatever can be looked at.
async fn look(system: &System, told: &mut Told) {
    let ops = system.gateway(1).client_with(OPS);
    for path in [
        "/p/v1/credentials",
        "/v1/quota",
        "/api/stats",
        "/auth/keys",
        "/v1/models",
    ] {
        told.answer(path, &ops.get(path).await.expect(200));
    }
    let mut listeners = vec![("operator", system.operator(0).admin())];
    listeners.extend(system.gateways().map(|gateway| ("gateway", gateway.admin())));
    for (process, listener) in listeners {
        for path in ["/metrics", "/readyz", "/debug/snapshot", "/debug/conditions"] {
            told.answer(&format!("{path} of the {process}"), &listener.get(path).await);
        }
    }
    for kind in [
        "roundhouse",
        "events",
        "configmaps",
        "leases",
        "pods",
        "serviceaccounts",
    ] {
        let found = system.kubectl(&["get", kind, "--output=json", "--show-managed-fields"]);
        let list: Value = serde_json::from_str(&found).expect("a list");
        assert_ne!(list["items"], json!([]), "there are {kind}");
        told.text(kind, found);
    }
    let contents = system.redis().contents().await;
    assert!(!contents.is_empty(), "the store holds something");
    told.debug("the store", &contents);
}

/// A value of a Secret.
fn kept(system: &System, secret: &str, key: &str) -> Vec<u8> {
    let value = format!("--output=go-template={{{{index .data {key:?}}}}}");
    let text = system.kubectl(&["get", "secret", secret, &value]);
    let value = STANDARD.decode(text);
    value.expect("the values of Secrets are base64")
}

/// What is secret in a key on P-256 in PKCS #8: 32 bytes after a head that is always the same. The public key follows.
fn private(pem: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(pem);
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let bytes = STANDARD.decode(lines.collect::<String>());
    bytes.expect("a PEM file holds base64")[36..68].to_vec()
}
