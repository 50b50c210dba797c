//! The authority that replicas keep together, with the rights that they have and no others.

use std::{sync::Arc, time::Duration};

use cluster::ApiServer;
use operator::authority::{self, AuthoritySettings, Presented};
use pool::{Clock, ManualClock, SystemClock};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::RIGHTS;

const PATIENCE: Duration = Duration::from_secs(60);

/// Replicas of one clock.
struct Replicas {
    server: &'static ApiServer,
    namespace: &'static str,
    clock: Arc<ManualClock>,
    presented: Vec<watch::Receiver<Option<Presented>>>,
    _tasks: JoinSet<()>,
}

impl Replicas {
    async fn start(namespace: &'static str, count: usize) -> Self {
        let server = ApiServer::shared();
        server.namespace(namespace);
        server.apply(namespace, RIGHTS);
        let clock = Arc::new(ManualClock::new(SystemClock::default().now()));
        let mut settings = AuthoritySettings::new("it", namespace, "cluster.local");
        settings.lives.look_every = Duration::from_millis(50);
        let client = server.client_of(namespace, "it-operator").await;
        let mut tasks = JoinSet::new();
        let mut presented = Vec::new();
        for _ in 0..count {
            let (sender, receiver) = authority::presented();
            let clock = Arc::clone(&clock) as Arc<dyn Clock>;
            let run = authority::run(client.clone(), settings.clone(), clock, sender);
            tasks.spawn(async move {
                run.await;
            });
            presented.push(receiver);
        }
        Self {
            server,
            namespace,
            clock,
            presented,
            _tasks: tasks,
        }
    }

    /// What gateways are told to trust, once there are so many.
    fn published(&self, count: usize) -> Vec<CertificateDer<'static>> {
        let get = [
            "get",
            "configmap",
            "it-discovery-ca",
            "--namespace",
            self.namespace,
            r"--output=jsonpath={.data.ca\.crt}",
        ];
        let text = self
            .server
            .until(&get, |text| text.matches("BEGIN CERTIFICATE").count() == count);
        CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .expect("certificates are published")
    }

    /// Waits until every replica presents a certificate that these gateways accept at the clock's time.
    async fn until_trusted(&mut self, trusted: &[CertificateDer<'static>]) {
        let clock = Arc::clone(&self.clock);
        for presented in &mut self.presented {
            let good = |it: &Option<Presented>| {
                it.as_ref()
                    .is_some_and(|it| is_trusted(it, trusted, clock.now().as_secs()))
            };
            let waited = timeout(PATIENCE, presented.wait_for(good)).await;
            assert!(waited.is_ok_and(|seen| seen.is_ok()), "a replica is not trusted");
        }
    }

    fn secret(&self, path: &str) -> String {
        let path = format!("--output=jsonpath={path}");
        let get = ["get", "secret", "it-discovery-ca", "--namespace", self.namespace];
        self.server.kubectl(&[&get[..], &[&path]].concat())
    }
}

fn is_trusted(presented: &Presented, trusted: &[CertificateDer<'static>], now: u64) -> bool {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.clone()).expect("it is an authority");
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
            .build()
            .expect("it can verify");
    let (leaf, chain) = presented.cert.split_first().expect("there is a certificate");
    let name = ServerName::try_from(format!("it-operator-discovery.{NAMESPACE}.svc")).expect("a name");
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    verifier.verify_server_cert(leaf, chain, &name, &[], now).is_ok()
}

const NAMESPACE: &str = "authority";
const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_keep_one_authority_and_replace_it_in_time() {
    let mut replicas = Replicas::start(NAMESPACE, 4).await;
    let first = replicas.published(1);
    replicas.until_trusted(&first).await;

    // A day later each has another certificate of the same authority.
    let before: Vec<_> = replicas
        .presented
        .iter_mut()
        .map(|presented| presented.borrow_and_update().clone())
        .collect();
    replicas.clock.step(13 * HOUR);
    for presented in &mut replicas.presented {
        timeout(PATIENCE, presented.changed())
            .await
            .expect("it is renewed")
            .expect("it runs");
    }
    replicas.until_trusted(&first).await;
    for (presented, before) in replicas.presented.iter().zip(before) {
        let now = presented.borrow().clone();
        assert!(!Arc::ptr_eq(&now.unwrap(), &before.unwrap()));
    }
    assert_eq!(replicas.published(1), first);

    // Two thirds of its life later there is a successor, which signs after an hour.
    replicas.clock.step(244 * 24 * HOUR);
    let both = replicas.published(2);
    assert_eq!(both[..1], first);
    replicas.until_trusted(&first).await;
    let noted = [
        "get",
        "secret",
        "it-discovery-ca",
        "--namespace",
        NAMESPACE,
        r"--output=jsonpath={.metadata.annotations.roundhouse\.dev/next-published-at}",
    ];
    replicas.server.until(&noted, |at| !at.is_empty());
    replicas.clock.step(HOUR);
    replicas.until_trusted(&both[1..]).await;
    assert_eq!(replicas.published(2).len(), 2, "the former is still trusted");
    assert_eq!(replicas.secret(r"{.data.next\.key}"), "");

    replicas.clock.step(122 * 24 * HOUR);
    assert_eq!(replicas.published(1), both[1..]);
    replicas.until_trusted(&both[1..]).await;

    // Nothing is written without need.
    let version = replicas.secret("{.metadata.resourceVersion}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(replicas.secret("{.metadata.resourceVersion}"), version);

    // What somebody deletes comes back; a key that somebody threw away is trusted no more.
    let delete = |kind| {
        let arguments = ["delete", kind, "it-discovery-ca", "--namespace", NAMESPACE];
        replicas.server.kubectl(&arguments);
    };
    delete("configmap");
    assert_eq!(replicas.published(1), both[1..]);
    delete("secret");
    let get = [
        "get",
        "secret",
        "it-discovery-ca",
        "--namespace",
        NAMESPACE,
        r"--output=jsonpath={.data.ca\.crt}",
    ];
    replicas.server.until(&get, |text| !text.is_empty());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let other = loop {
        let now = replicas.published(1);
        if now != both[1..] {
            break now;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the new one is not published"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    replicas.until_trusted(&other).await;
}
