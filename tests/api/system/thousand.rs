//! Many objects at once, and then none.

#![expect(clippy::panic, reason = "what helps a test may end it")]

use std::{
    collections::BTreeMap,
    env,
    pin::pin,
    time::{Duration, Instant},
};

use cluster::{ApiServer, System, make};
use futures_util::TryStreamExt as _;
use harness::credential_key;
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use resources::kinds::{Credential, CredentialStatus};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::people::refused_by_kubernetes;

const COUNT: usize = 1000;

/// How long it may take until all are ready that are there.
const SOON: Duration = Duration::from_secs(30);

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long nothing may be written afterwards; `ROUNDHOUSE_IDLE` is another number of seconds.
const IDLE: Duration = Duration::from_secs(15);

/// How long it takes until what is left of the counts of others is told.
const CALMING: Duration = Duration::from_secs(2);

/// How often a status may be written on the way there.
const PATCHES_MAX: usize = 3;

/// Verbs of requests that change something, as the API server's metrics name them.
const WRITES: [&str; 7] = [
    "POST",
    "PUT",
    "PATCH",
    "APPLY",
    "DELETE",
    "DELETECOLLECTION",
    "UPDATE",
];

/// What may be written while nothing happens: the Lease of the leader and that of the API server itself. A review is
/// a question.
const CALM: [&str; 3] = ["leases", "tokenreviews", "subjectaccessreviews"];

/// What is seen of the Credentials of a namespace.
struct Crowd {
    all: Api<Credential>,
    /// The version of what was seen last.
    version: String,
    /// How often each was written since it was made.
    patches: BTreeMap<String, usize>,
    /// Which are told to be ready, and to be served by every gateway.
    ready: BTreeMap<String, bool>,
    programmed: BTreeMap<String, bool>,
}

impl Crowd {
    /// Sees what happens from now on; there are none yet.
    async fn new(all: Api<Credential>) -> Self {
        let none = all.list_metadata(&ListParams::default()).await;
        let version = none.expect("they can be listed").metadata.resource_version;
        Self {
            all,
            version: version.unwrap_or_default(),
            patches: BTreeMap::new(),
            ready: BTreeMap::new(),
            programmed: BTreeMap::new(),
        }
    }

    fn see(&mut self, event: WatchEvent<Credential>) {
        let (credential, patches) = match event {
            WatchEvent::Added(credential) => (credential, 0),
            WatchEvent::Modified(credential) => (credential, 1),
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => return,
            WatchEvent::Error(error) => panic!("it cannot be watched: {error}"),
        };
        self.version = credential.metadata.resource_version.unwrap_or_default();
        let name = credential.metadata.name.expect("an object has a name");
        let status = credential.status.unwrap_or_default();
        *self.patches.entry(name.clone()).or_default() += patches;
        self.ready.insert(name.clone(), is_true(&status, "Ready"));
        self.programmed.insert(name, is_true(&status, "Programmed"));
    }

    /// Watches until all are `good`.
    async fn until(&mut self, good: impl Fn(&Self) -> &BTreeMap<String, bool>) {
        let all = |seen: &Self| good(seen).values().filter(|good| **good).count() == COUNT;
        // The API server ends the watch of whoever is slow, as this is on a busy machine; nothing is missed.
        while !all(self) {
            let watch = self.all.watch(&WatchParams::default(), &self.version).await;
            let mut events = pin!(watch.expect("they can be watched"));
            while !all(self) {
                let event = timeout(PATIENCE, events.try_next()).await;
                let event = event.unwrap_or_else(|_| {
                    let missing = good(self).iter().filter(|(_, good)| !**good);
                    let missing: Vec<_> = missing.take(5).collect();
                    panic!("nothing more is written; missing: {missing:?}")
                });
                let Ok(Some(event)) = event else { break };
                self.see(event);
            }
        }
    }
}

fn is_true(status: &CredentialStatus, kind: &str) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|condition| condition.type_ == kind && condition.status == "True")
}

/// How often each thing was written so far, by what the API server calls it.
fn writes(server: &ApiServer) -> BTreeMap<String, f64> {
    let metrics = server.kubectl(&["get", "--raw", "/metrics"]);
    let is = |line: &str, label: &str, values: &[&str]| {
        values
            .iter()
            .any(|value| line.contains(&format!("{label}=\"{value}\"")))
    };
    metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{"))
        .filter(|line| is(line, "verb", &WRITES) && !is(line, "resource", &CALM))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(labels, count)| (labels.to_owned(), count.parse().expect("a count is a number")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_credentials_are_soon_ready_and_then_nothing_is_written() {
    // One of its own: what is written is counted for the whole server.
    let server: &ApiServer = Box::leak(Box::new(ApiServer::start_defined()));
    let mut system = System::start_on(server, "thousand", "").await;
    system.add_operators(1).await;
    system.add_gateways(1).await;
    system.apply(&system.pool([]));
    system.wait_for("provider/p", "Programmed");

    let client = server.client().await;
    let name = |number: usize| format!("c{number}");
    let secrets = (0..COUNT).map(|number| {
        let key = credential_key(&name(number));
        json!({"metadata": {"name": name(number)}, "stringData": {"api-key": key}})
    });
    make(&client, "/api/v1/namespaces/thousand/secrets", secrets).await;

    let all: Api<Credential> = Api::namespaced(client.clone(), system.namespace());
    let mut crowd = Crowd::new(all).await;
    let started = Instant::now();
    let credentials = (0..COUNT).map(|number| {
        json!({
            "apiVersion": "roundhouse.dev/v1alpha1",
            "kind": "Credential",
            "metadata": {"name": name(number)},
            "spec": {"providerRef": {"name": "p"}, "apiKey": {"secretRef": {"name": name(number)}}},
        })
    });
    let path = "/apis/roundhouse.dev/v1alpha1/namespaces/thousand/credentials";
    let making = async {
        make(&client, path, credentials).await;
        started.elapsed()
    };
    let telling = async {
        crowd.until(|seen| &seen.ready).await;
        started.elapsed()
    };
    let (made, ready) = tokio::join!(making, telling);
    crowd.until(|seen| &seen.programmed).await;
    let programmed = started.elapsed();
    let (provider, _) = system
        .until("providers/p", "all its credentials are ready", |provider| {
            provider["status"]["credentials"]["summary"] == "1000/1000"
        })
        .await;
    let most = crowd.patches.values().copied().max().unwrap_or_default();
    let memory = system.operator(0).memory() >> 20;
    println!(
        "made within {made:?}, Ready after {ready:?}, Programmed after {programmed:?}, all told after {:?}; {} patches, \
         at most {most} of one; {memory} MiB",
        started.elapsed(),
        crowd.patches.values().sum::<usize>(),
    );
    let took = ready.saturating_sub(made);
    assert!(took < SOON, "all were ready {took:?} after all were made");
    assert!(most <= PATCHES_MAX, "{most} patches of one object");
    assert!(memory <= 100, "{memory} MiB");
    assert_eq!(provider["status"]["credentials"]["total"], COUNT, "{provider}");

    let seconds = env::var("ROUNDHOUSE_IDLE").ok();
    let idle = seconds.map_or(IDLE, |seconds| {
        Duration::from_secs(seconds.parse().expect("ROUNDHOUSE_IDLE is a number of seconds"))
    });
    let mut before = BTreeMap::new();
    let settled = Instant::now();
    while before != writes(server) {
        assert!(settled.elapsed() < PATIENCE, "it is still writing");
        before = writes(server);
        sleep(CALMING).await;
    }
    sleep(idle).await;
    let mut written = writes(server);
    written.retain(|what, count| before.get(what) != Some(count));
    assert!(written.is_empty(), "written while nothing happened: {written:#?}");
    assert_eq!(refused_by_kubernetes(&system), Vec::<String>::new());
    system.gateway(0).client().chat("m").await.expect(200);
}
