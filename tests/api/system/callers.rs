//! Who is let in at an operator's own listener, with tokens of the API server.

use std::{collections::BTreeMap, net::SocketAddr};

use cluster::{ApiServer, System};
use futures_util::stream::{self, StreamExt as _};
use harness::{ADMIN_KEY, CLIENT_KEY};
use jiff::Timestamp;
use proto::{
    Versions,
    admin::v1::{self, admin_client::AdminClient, delegated_client::DelegatedClient},
    discovery::v1::{StreamRequest, discovery_client::DiscoveryClient, stream_request::Message},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Request, Status, metadata::MetadataValue, transport::Channel};

use crate::people::{by, channel, may, refused_by_kubernetes};

const HERE: &str = "callers";
const ELSEWHERE: &str = "callers-elsewhere";
const DISCOVERY: &str = "roundhouse-discovery";
const PEOPLE: &str = "roundhouse-admin";

/// Keys of administrators that must not help here.
const ELSEWHERES_KEY: &str = "rh-admin-key-elsewhere-0123456789abcdef";
const FORMER_KEY: &str = "rh-admin-key-former-0123456789abcdef";

/// How often everything is tried: a refusal is told once nevertheless.
const TIMES: usize = 3;

/// What comes of asking to be told what is to be served.
async fn discover(channel: &Channel, token: &str) -> Result<(), Status> {
    let subscribe = Message::Subscribe(Versions::default().subscribe("somebody"));
    let first = StreamRequest {
        message: Some(subscribe),
    };
    let request = by(token, stream::iter([first]).chain(stream::pending()));
    let mut answers = DiscoveryClient::new(channel.clone()).stream(request).await?;
    answers.get_mut().message().await.map(drop)
}

/// What comes of asking for the credentials of a namespace.
async fn list(channel: &Channel, token: &str, namespace: &str) -> Result<(), Status> {
    let request = v1::ListCredentialsRequest {
        namespace: namespace.to_owned(),
        ..v1::ListCredentialsRequest::default()
    };
    let mut client = AdminClient::new(channel.clone());
    client.list_credentials(by(token, request)).await.map(drop)
}

/// What comes of asking for the deletion of a credential that was not made through the API, on behalf of a client key.
async fn delete(channel: &Channel, token: &str, key: Option<&str>, namespace: &str) -> Result<(), Status> {
    let name = v1::ObjectName {
        namespace: namespace.to_owned(),
        name: "a".to_owned(),
    };
    let mut request: Request<_> = by(
        token,
        v1::DeleteCredentialRequest {
            credential: Some(name),
        },
    );
    if let Some(key) = key {
        let key = MetadataValue::from_bytes(key.as_bytes());
        request
            .metadata_mut()
            .insert_bin(operator::admin::CLIENT_KEY_METADATA, key);
    }
    let mut client = DelegatedClient::new(channel.clone());
    client.delete_credential(request).await.map(drop)
}

fn code(answer: Result<(), Status>) -> Code {
    answer.map_or_else(|status| status.code(), |()| Code::Ok)
}

/// What somebody is answered who does not encrypt.
async fn in_the_clear(operator: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(operator).await.expect("it listens");
    let request = b"POST /roundhouse.admin.v1.Admin/ListCredentials HTTP/1.1\r\nhost: operator\r\n\r\n";
    stream.write_all(request).await.expect("it is taken");
    let mut answer = Vec::new();
    // That the other side resets the connection is an answer too.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// How often a refusal was told, by reason.
fn told(log: &str) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("the log is JSON");
        if line["message"] == "refused" {
            let reason = line["reason"].as_str().expect("a refusal has a reason");
            *told.entry(reason.to_owned()).or_default() += 1;
        }
    }
    told
}

async fn system() -> System {
    let server = ApiServer::shared();
    server.namespace(ELSEWHERE);
    let values = format!("watchNamespaces: [{HERE}, {ELSEWHERE}]");
    let mut system = System::start(HERE, &values).await;
    system.add_operators(1).await;
    let objects = system
        .pool(["a"])
        .admin()
        .client("former", FORMER_KEY)
        .spec("admin", json!(true))
        .spec("expiresAt", json!("2026-01-01T00:00:00Z"));
    system.apply(&objects);
    let elsewhere = harness::Fixture::new()
        .namespace(ELSEWHERE)
        .client("elsewhere", ELSEWHERES_KEY)
        .spec("admin", json!(true));
    server.apply(ELSEWHERE, &elsewhere.yaml());
    for client in [
        "callers/app",
        "callers/ops",
        "callers/former",
        "callers-elsewhere/elsewhere",
    ] {
        system
            .operator(0)
            .says(&format!("ClientKey {client} ResolvedRefs=True"))
            .await;
    }
    may(server, HERE, "alice", "list,get,patch");
    may(server, HERE, "mallory", "watch");
    may(server, ELSEWHERE, "alice", "list,get,patch");
    system
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one list of all who are refused")]
async fn whoever_is_not_known_is_refused_and_that_is_told_once() {
    let system = system().await;
    let (server, channel) = (system.server(), channel(&system).await);
    let gateway = "roundhouse-gateway";
    let token = |account: &str, audience: &str| server.token(HERE, account, &[audience]);
    let (good, alice) = (token(gateway, DISCOVERY), token("alice", PEOPLE));
    let now = Timestamp::now().as_second();
    let ending = |token: &str, end: i64| server.token_ending(token, end);
    let (over, alices_over) = (ending(&good, now - 600), ending(&alice, now - 600));
    let (who, no) = (Code::Unauthenticated, Code::PermissionDenied);

    let apart = server.token(HERE, "alice", &[]);
    let others = token("alice", DISCOVERY);
    let discovery = [
        ("nobody", String::new(), who),
        ("an invention", "an-invention".to_owned(), who),
        ("another audience", token(gateway, PEOPLE), who),
        ("the API server's audience", server.token(HERE, gateway, &[]), who),
        ("a token that has ended", over.clone(), who),
        ("another account", others.clone(), no),
        (
            "the same signature on one that has not",
            ending(&good, now + 600),
            Code::Ok,
        ),
        ("a gateway", good.clone(), Code::Ok),
    ];
    let elsewheres = server.token(ELSEWHERE, "alice", &[PEOPLE]);
    let administration = [
        ("nobody", String::new(), who),
        ("another audience", others.clone(), who),
        ("the API server's audience", apart, who),
        ("a token that has ended", alices_over, who),
        ("the token of a gateway", good.clone(), who),
        ("a gateway's token for people", token(gateway, PEOPLE), no),
        ("somebody who may not", token("mallory", PEOPLE), no),
        ("somebody of another namespace", elsewheres, no),
        (
            "the same signature on one that has not",
            ending(&alice, now + 600),
            Code::Ok,
        ),
        ("somebody who may", alice.clone(), Code::Ok),
    ];
    let delegated = [
        ("nobody", "", Some(ADMIN_KEY), HERE, who),
        ("a token that has ended", &over, Some(ADMIN_KEY), HERE, who),
        ("a person", &alice, Some(ADMIN_KEY), HERE, who),
        ("another account", &others, Some(ADMIN_KEY), HERE, no),
        ("a gateway alone", &good, None, HERE, no),
        (
            "an invented key",
            &good,
            Some("rh-0123456789abcdef0123456789"),
            HERE,
            no,
        ),
        ("the key of no administrator", &good, Some(CLIENT_KEY), HERE, no),
        ("a key that has ended", &good, Some(FORMER_KEY), HERE, no),
        ("another namespace's key", &good, Some(ELSEWHERES_KEY), HERE, no),
        (
            "a key for another namespace",
            &good,
            Some(ADMIN_KEY),
            ELSEWHERE,
            no,
        ),
        // It is let in: what it asks for is what cannot be done.
        (
            "an administrator",
            &good,
            Some(ADMIN_KEY),
            HERE,
            Code::FailedPrecondition,
        ),
    ];
    for _ in 0..TIMES {
        for (who, token, expected) in &discovery {
            assert_eq!(
                code(discover(&channel, token).await),
                *expected,
                "discovery: {who}"
            );
        }
        for (who, token, expected) in &administration {
            assert_eq!(code(list(&channel, token, HERE).await), *expected, "admin: {who}");
        }
        for (who, token, key, namespace, expected) in delegated {
            let answer = delete(&channel, token, key, namespace).await;
            assert_eq!(code(answer), expected, "delegated: {who}");
        }
        let answer = in_the_clear(system.operator(0).grpc()).await;
        assert!(
            !answer.starts_with(b"HTTP"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }

    let log = system.operator(0).log();
    let expected = [
        "no_token",
        "other_account",
        "permission_denied",
        "plaintext",
        "token_not_accepted",
        "unauthenticated",
    ];
    let expected: BTreeMap<_, _> = expected.map(|reason| (reason.to_owned(), 1)).into();
    assert_eq!(told(&log), expected, "{log}");
    for secret in [
        &*good,
        &*over,
        &*alice,
        ADMIN_KEY,
        CLIENT_KEY,
        FORMER_KEY,
        ELSEWHERES_KEY,
    ] {
        assert!(!log.contains(secret), "a token or key was logged");
    }
    assert_eq!(refused_by_kubernetes(&system), Vec::<String>::new());
    let reviewed = system.operator(0).metrics().await;
    let refusals = reviewed.sum("roundhouse_operator_refusals_total", &[("reason", "plaintext")]);
    assert!(
        (refusals - 3.0).abs() < 0.1,
        "every refusal is counted: {refusals}"
    );
}
