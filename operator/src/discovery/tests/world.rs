//! A running server, and what is published.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pool::{Clock, ManualClock};
use prometheus::Registry;
use proto::{Contents, Reported};
use resources::{Object, Objects, Place, SecretValues, compile, kinds};
use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use snapshot::{DigestKey, ObjectName, Secret, Timestamp};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    authority::{Presented, testing},
    discovery::{AUDIENCE, Discovery, DiscoverySettings, service},
    gateways::Gateways,
    identity::{
        Reviewer,
        tests::{Reviews, accepted, token},
    },
    published::Published,
    refusals::Refusals,
    serve::{ServeSettings, Services, serve},
};

/// How long anything may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a port of its own.
pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) authority: CertificateDer<'static>,
    pub(super) presented: watch::Sender<Option<Presented>>,
    pub(super) publish: watch::Sender<Option<Arc<Published>>>,
    pub(super) gateways: Gateways,
    pub(super) reports: mpsc::Receiver<Reported>,
    pub(super) reviews: Reviews,
    pub(super) clock: Arc<ManualClock>,
    pub(super) shutdown: CancellationToken,
    pub(super) registry: Registry,
    serving: JoinSet<()>,
}

impl World {
    /// Nothing is published yet, and tokens are those of the gateways' pod `pod-1`.
    pub(super) async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut DiscoverySettings, &mut ServeSettings)) -> Self {
        let registry = Registry::new();
        let (gateways, reports) = Gateways::new(&registry).unwrap();
        let refusals = Refusals::new(&registry).unwrap();
        let reviews = Reviews::default();
        reviews.says(accepted("here:it-gateway", "pod-1"));
        let clock = Arc::new(ManualClock::new(
            Timestamp::EPOCH + Duration::from_secs(1_700_000_000),
        ));
        let shutdown = CancellationToken::new();
        let (publish, publications) = watch::channel(None);
        let (mut settings, mut serving) = (DiscoverySettings::new("it", "here"), ServeSettings::default());
        change(&mut settings, &mut serving);
        let services = Services::new().unwrap().with(service(Discovery {
            publications,
            gateways: gateways.clone(),
            reviewer: Reviewer::new(reviews.client(), AUDIENCE, Arc::clone(&clock) as Arc<dyn Clock>),
            refusals: refusals.clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            shutdown: shutdown.clone(),
            settings,
        }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (authority, leaf) = testing::issue();
        let (presented, seen) = watch::channel(Some(leaf));
        let served = serve(
            listener,
            seen,
            services.into_router(),
            refusals,
            serving,
            shutdown.clone(),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { served.await.expect("TLS can be served") });
        Self {
            address,
            authority,
            presented,
            publish,
            gateways,
            reports,
            reviews,
            clock,
            shutdown,
            registry,
            serving: tasks,
        }
    }

    /// A token that lasts for so long.
    pub(super) fn token(&self, lasts: Duration) -> String {
        token(self.clock.now() + lasts)
    }

    pub(super) fn publish(&self, contents: &Contents) {
        self.publish.send_replace(Some(Arc::new(Published {
            contents: contents.clone(),
            conditions: Arc::default(),
            objects: Arc::default(),
        })));
    }

    /// Waits until the one gateway is as it should be.
    pub(super) async fn until(&self, what: &str, good: impl Fn(&[crate::gateways::Gateway]) -> bool) {
        let mut waited = Duration::ZERO;
        while !good(&self.gateways.list()) {
            assert!(waited < PATIENCE, "{what}: {:?}", self.gateways.list());
            sleep(Duration::from_millis(10)).await;
            waited += Duration::from_millis(10);
        }
    }

    /// Waits until the server has ended.
    pub(super) async fn ended(mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.serving.join_next()).await;
        ended.expect("it ends").expect("it ran").expect("it ends well");
    }

    /// The value of a metric; 0 when there is none yet.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}

fn spec<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_str(&value.to_string()).expect("a spec of the kind")
}

/// What comes of a Provider with these credentials and their keys.
pub(super) fn contents(keys: &[(&str, &str)]) -> Contents {
    let mut objects = Objects::default();
    let mut put = |name: &str, object| {
        objects.insert(ObjectName::new("default", name).expect("a name"), object);
    };
    let up = json!({"dialect": "OpenAI", "url": "https://api.example.com/v1"});
    put(
        "up",
        Object::Provider(Arc::new(kinds::Provider::new("up", spec(&up)))),
    );
    for (name, key) in keys {
        let fields = json!({"providerRef": {"name": "up"}, "apiKey": {"secretRef": {"name": name}}});
        let credential = kinds::Credential::new(name, spec(&fields));
        put(name, Object::Credential(Arc::new(credential)));
        let values = [("api-key".to_owned(), key.as_bytes().to_vec())];
        put(
            name,
            Object::Secret(Arc::new(SecretValues::from_cluster(
                values,
                &ObjectMeta::default(),
            ))),
        );
    }
    let installation = Secret::new("the key of the installation");
    let place = Place::Cluster { allow_private: false };
    let compiled = compile(&objects, &DigestKey::new(&installation), place);
    assert_eq!(compiled.keyring.credentials.len(), keys.len(), "all are usable");
    Contents::new(
        Arc::new(compiled.snapshot),
        Arc::new(compiled.keyring),
        installation,
    )
}
