//! Gateways are who the API server says they are, with the one right that asking needs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use cluster::ApiServer;
use futures_util::stream::{self, StreamExt};
use operator::{
    authority::{self, AuthoritySettings},
    discovery::{AUDIENCE, Discovery, DiscoverySettings, service},
    gateways::Gateways,
    identity::Reviewer,
    published::Published,
    refusals::Refusals,
    serve::{ServeSettings, Services, serve},
};
use pool::{Clock, SystemClock};
use prometheus::Registry;
use proto::{
    Contents, Follower, Versions,
    discovery::v1::{StreamRequest, discovery_client::DiscoveryClient, stream_request::Message},
};
use snapshot::{Keyring, Secret, Snapshot};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig},
};

use super::{RIGHTS, token};

const NAMESPACE: &str = "tokens";
const PATIENCE: Duration = Duration::from_secs(60);

const OBJECTS: &str = r"
{apiVersion: v1, kind: ServiceAccount, metadata: {name: it-gateway}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: tokens-it-operator}
rules: [{apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: tokens-it-operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tokens-it-operator}
subjects: [{kind: ServiceAccount, name: it-operator, namespace: tokens}]
---
apiVersion: v1
kind: Pod
metadata: {name: it-gateway-1}
spec:
  serviceAccountName: it-gateway
  automountServiceAccountToken: false
  containers: [{name: gateway, image: none.invalid/none}]
";

/// Starts the server part of an operator, and gives its address and what it knows of gateways.
async fn start(server: &ApiServer, contents: Contents, tasks: &mut JoinSet<()>) -> (SocketAddr, Gateways) {
    let client = server.client_of(NAMESPACE, "it-operator").await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let registry = Registry::new();
    let (gateways, _reports) = Gateways::new(&registry).expect("the registry is new");
    let refusals = Refusals::new(&registry).expect("the registry is new");
    let (sender, presented) = authority::presented();
    let settings = AuthoritySettings::new("it", NAMESPACE, "cluster.local");
    let keep = authority::run(client.clone(), settings, Arc::clone(&clock), sender);
    tasks.spawn(async move {
        keep.await;
    });
    let shutdown = CancellationToken::new();
    let (publish, publications) = watch::channel(Some(Arc::new(Published {
        contents,
        conditions: Arc::default(),
        objects: Arc::default(),
    })));
    let services = Services::new()
        .expect("the protocol can be described")
        .with(service(Discovery {
            publications,
            gateways: gateways.clone(),
            reviewer: Reviewer::new(client, AUDIENCE, Arc::clone(&clock)),
            refusals: refusals.clone(),
            clock,
            shutdown: shutdown.clone(),
            settings: DiscoverySettings::new("it", NAMESPACE),
        }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let router = services.into_router();
    tasks.spawn(async move {
        let settings = ServeSettings::default();
        let end = serve(listener, presented, router, refusals, settings, shutdown).await;
        end.expect("TLS can be served");
        drop(publish);
    });
    (address, gateways)
}

/// Connects with a token, and takes what is to be served.
async fn subscribe(channel: &Channel, token: Option<&str>) -> Result<Contents, Status> {
    let first = StreamRequest {
        message: Some(Message::Subscribe(Versions::default().subscribe("claimed"))),
    };
    let mut request = Request::new(stream::iter([first]).chain(stream::pending()));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("it fits a header");
        request.metadata_mut().insert("authorization", value);
    }
    let mut responses = DiscoveryClient::new(channel.clone())
        .stream(request)
        .await?
        .into_inner();
    let mut follower = Follower::new(None);
    loop {
        let message = responses.message().await?.expect("the stream goes on");
        if let Some(contents) = follower.accept(message).expect("it can be taken") {
            return Ok(contents);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_of_the_gateways_is_let_in_and_nobody_else() {
    let server = ApiServer::shared();
    server.namespace(NAMESPACE);
    server.apply(NAMESPACE, RIGHTS);
    server.apply(NAMESPACE, OBJECTS);
    let contents = Contents::new(
        Arc::new(Snapshot {
            version: "v1".to_owned(),
            ..Snapshot::default()
        }),
        Arc::new(Keyring::default()),
        Secret::new("the key of the installation"),
    );
    let mut tasks = JoinSet::new();
    let (address, gateways) = start(server, contents.clone(), &mut tasks).await;
    let get = [
        "get",
        "configmap",
        "it-discovery-ca",
        "--namespace",
        NAMESPACE,
        r"--output=jsonpath={.data.ca\.crt}",
    ];
    let authority = server.until(&get, |text| text.contains("BEGIN CERTIFICATE"));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority))
        .domain_name(format!("it-operator-discovery.{NAMESPACE}.svc"));
    let channel = Channel::from_shared(format!("https://{address}"))
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect()
        .await
        .expect("the certificate is good");

    let audience = format!("--audience={AUDIENCE}");
    let pod = ["--bound-object-kind=Pod", "--bound-object-name=it-gateway-1"];
    let good = token(
        server,
        NAMESPACE,
        "it-gateway",
        &[&[&*audience][..], &pod].concat(),
    );
    let (said, signature) = good.rsplit_once('.').expect("it is signed");
    let forged = format!("{said}.{}", signature.chars().rev().collect::<String>());
    let cases = [
        ("no token", None, Code::Unauthenticated),
        ("another signature", Some(forged), Code::Unauthenticated),
        (
            "a token for the API server",
            Some(token(server, NAMESPACE, "it-gateway", &pod)),
            Code::Unauthenticated,
        ),
        (
            "a token for administrators",
            Some(token(
                server,
                NAMESPACE,
                "it-gateway",
                &["--audience=roundhouse-admin"],
            )),
            Code::Unauthenticated,
        ),
        (
            "another account",
            Some(token(server, NAMESPACE, "it-operator", &[&audience])),
            Code::PermissionDenied,
        ),
    ];
    for (what, token, code) in cases {
        let refused = subscribe(&channel, token.as_deref()).await.err();
        assert_eq!(refused.map(|status| status.code()), Some(code), "{what}");
    }
    assert!(gateways.list().is_empty());

    assert_eq!(subscribe(&channel, Some(&good)).await.unwrap(), contents);
    let node = gateways.list().first().map(|gateway| gateway.node.clone());
    assert_eq!(node.as_deref(), Some("it-gateway-1"), "its pod says who it is");
    let unbound = token(server, NAMESPACE, "it-gateway", &[&audience]);
    assert_eq!(subscribe(&channel, Some(&unbound)).await.unwrap(), contents);
    let nodes: Vec<_> = gateways.list().into_iter().map(|it| it.node).collect();
    assert_eq!(nodes, ["claimed", "it-gateway-1"]);

    // The token of a pod ends with the pod; both sides remember it for some seconds.
    server.kubectl(&[
        "delete",
        "pod",
        "it-gateway-1",
        "--namespace",
        NAMESPACE,
        "--force",
        "--grace-period=0",
    ]);
    let begun = Instant::now();
    while subscribe(&channel, Some(&good)).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the token is still accepted");
        sleep(Duration::from_millis(500)).await;
    }
    let refused = subscribe(&channel, Some(&good)).await.err();
    assert_eq!(refused.map(|status| status.code()), Some(Code::Unauthenticated));
}
