//! A namespace, what is published of it, and gateways that acknowledge that.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant as StdInstant},
};

use cluster::ApiServer;
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
};
use operator::{
    annotations::{self, Handled},
    events,
    gateways::Gateway,
    published::Published,
    status::{self, Gauges, Inputs, Outputs, Pace, Rates, Reading},
    store::{Store, StoreSettings},
    watch::Contact,
};
use pool::{Clock, SystemClock};
use prometheus::Registry;
use proto::{Contents, Reported};
use resources::{
    Object, Objects, Place, SecretValues,
    kinds::{ClientKey, Credential, ModelRoute, Provider},
};
use snapshot::{DigestKey, ObjectName};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// How often the namespace is read.
const LOOK: Duration = Duration::from_millis(100);

/// A namespace of its own, and who follows it.
pub(super) struct World {
    pub(super) namespace: &'static str,
    pub(super) client: Client,
    pub(super) gateways: Gateways,
    published: watch::Receiver<Option<Arc<Published>>>,
    tasks: JoinSet<()>,
    replicas: Vec<Replica>,
}

struct Replica {
    leads: watch::Sender<bool>,
    reports: mpsc::Sender<Reported>,
}

/// Gateways that acknowledge what is published, but for those that are cut off.
#[derive(Clone)]
pub(super) struct Gateways {
    all: Arc<Mutex<Vec<Gateway>>>,
    changed: watch::Sender<u64>,
    /// How many of them hear of changes.
    hearing: watch::Sender<usize>,
}

impl World {
    /// Makes the namespace, with so many gateways and no operator yet.
    pub(super) async fn new(namespace: &'static str, gateways: usize) -> Self {
        let server = ApiServer::shared();
        server.namespace(namespace);
        let client = server.client().await;
        let (sender, published) = watch::channel(None);
        let gateways = Gateways::new(gateways);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(client.clone(), namespace, sender));
        tasks.spawn(gateways.clone().acknowledge(published.clone()));
        Self {
            namespace,
            client,
            gateways,
            published,
            tasks,
            replicas: Vec::new(),
        }
    }

    /// Starts a replica that leads, or believes so.
    pub(super) fn replica(&mut self, redis: Option<u16>) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let store = redis.map(|port| {
            let settings = StoreSettings {
                address: format!("redis://127.0.0.1:{port}").parse().expect("an address"),
                password_file: None,
                prefix: "roundhouse".to_owned(),
            };
            Store::open(settings, Arc::clone(&clock)).expect("it works as always")
        });
        let (leads, leading) = watch::channel(true);
        let (reports, reported) = mpsc::channel(64);
        let (read, readings) = watch::channel(if store.is_some() {
            Reading::Away
        } else {
            Reading::NoStore
        });
        let (handle, handled) = watch::channel(Handled::default());
        let (events, notes) = events::channel();
        if let Some(store) = store.clone() {
            let pace = Pace {
                states: Duration::from_millis(200),
                usage: Duration::from_millis(500),
            };
            let published = self.published.clone();
            let follow = status::follow(store, published, leading.clone(), Arc::clone(&clock), pace, read);
            self.tasks.spawn(follow);
        }
        let published = self.published.clone();
        self.tasks.spawn(annotations::run(
            self.client.clone(),
            store,
            published,
            leading.clone(),
            handle,
            events.clone(),
        ));
        let contact = Contact::default();
        let party = contact.party("Events");
        let told = events::run(self.client.clone(), party, "operator-0".to_owned(), notes);
        self.tasks.spawn(told);
        let gateways = Arc::clone(&self.gateways.all);
        let inputs = Inputs {
            publications: self.published.clone(),
            gateways: Box::new(move || gateways.lock().expect("nobody panicked").clone()),
            gateways_changed: self.gateways.changed.subscribe(),
            reports: reported,
            readings,
            handled,
            leads: leading,
        };
        let outputs = Outputs {
            client: self.client.clone(),
            party: contact.party("statuses"),
            events,
            gauges: Gauges::new(&Registry::new()).expect("the registry is new"),
        };
        self.tasks
            .spawn(status::run(inputs, outputs, clock, Rates::default()));
        self.replicas.push(Replica { leads, reports });
    }

    /// Lets a replica lead no more.
    pub(super) fn depose(&self, replica: usize) {
        self.replicas[replica].leads.send_replace(false);
    }

    /// Tells all replicas what a gateway reports.
    pub(super) async fn report(&self, reported: &Reported) {
        for replica in &self.replicas {
            replica
                .reports
                .send(reported.clone())
                .await
                .expect("it works as always");
        }
    }

    /// What is published, once it has a Credential.
    pub(super) async fn published(&self, credential: &str) -> Arc<Published> {
        let name = snapshot::CredentialName::new(self.namespace, credential).expect("it works as always");
        let mut published = self.published.clone();
        let has = |published: &Option<Arc<Published>>| {
            let snapshot = published.as_ref().map(|published| published.contents.snapshot());
            snapshot.is_some_and(|snapshot| snapshot.credentials.contains_key(&name))
        };
        let published = timeout(PATIENCE, published.wait_for(has))
            .await
            .expect("it works as always")
            .expect("it works as always")
            .clone();
        published.expect("it was waited for")
    }

    /// Applies objects, given as YAML or JSON.
    pub(super) fn apply(&self, objects: &str) {
        ApiServer::shared().apply(self.namespace, objects);
    }

    /// Changes the key that [`super::people::OBJECTS`] and the like use, and gives the version of the Secret.
    pub(super) fn rotate(&self) -> String {
        self.apply(
            "{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {first: sk-second-0123456789}}",
        );
        self.kubectl(&[
            "get",
            "secret",
            "keys",
            "--output=jsonpath={.metadata.resourceVersion}",
        ])
    }

    /// Waits for a condition of objects, or what else `kubectl wait --for` takes.
    pub(super) fn wait(&self, condition: &str, objects: &[&str]) {
        let condition = format!("--for={condition}");
        self.kubectl(&[&["wait", &condition, "--timeout=60s"], objects].concat());
    }

    /// kubectl in this namespace.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> String {
        let namespace = format!("--namespace={}", self.namespace);
        ApiServer::shared().kubectl(&[&[namespace.as_str()], arguments].concat())
    }

    /// Asks until the answer is good.
    pub(super) fn until(&self, arguments: &[&str], good: impl Fn(&str) -> bool) -> String {
        let namespace = format!("--namespace={}", self.namespace);
        ApiServer::shared().until(&[&[namespace.as_str()], arguments].concat(), good)
    }

    /// Counts from now on how often each Credential is changed.
    pub(super) async fn count(&mut self) -> Arc<Mutex<BTreeMap<String, usize>>> {
        let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let api: Api<Credential> = Api::namespaced(self.client.clone(), self.namespace);
        let list = api
            .list(&ListParams::default())
            .await
            .expect("it works as always");
        let version = list.metadata.resource_version.expect("it works as always");
        let counting = Arc::clone(&counts);
        let params = WatchParams::default().timeout(290);
        let mut events = api
            .watch(&params, &version)
            .await
            .expect("it works as always")
            .boxed();
        self.tasks.spawn(async move {
            while let Some(event) = events.try_next().await.expect("it works as always") {
                if let WatchEvent::Modified(object) = event {
                    *counting
                        .lock()
                        .expect("nobody panicked")
                        .entry(object.name_any())
                        .or_default() += 1;
                }
            }
        });
        counts
    }
}

impl Gateways {
    fn new(count: usize) -> Self {
        let gateway = |at| Gateway {
            node: format!("gateway-{at}"),
            is_connected: true,
            acked: Arc::default(),
            refusal: None,
            last_seen: StdInstant::now(),
        };
        Self {
            all: Arc::new(Mutex::new((0..count).map(gateway).collect())),
            changed: watch::Sender::new(0),
            hearing: watch::Sender::new(count),
        }
    }

    /// From now on only the first so many hear of changes.
    pub(super) fn hear(&self, count: usize) {
        self.hearing.send_replace(count);
    }

    async fn acknowledge(self, mut published: watch::Receiver<Option<Arc<Published>>>) {
        let mut hearing = self.hearing.subscribe();
        loop {
            let versions = published
                .borrow_and_update()
                .as_ref()
                .map(|published| Arc::clone(published.contents.versions()));
            let count = *hearing.borrow_and_update();
            for at in 0..count {
                let Some(versions) = &versions else { break };
                let is_news = {
                    let mut all = self.all.lock().expect("nobody panicked");
                    let gateway = &mut all[at];
                    let is_news = !Arc::ptr_eq(&gateway.acked, versions);
                    gateway.acked = Arc::clone(versions);
                    gateway.last_seen = StdInstant::now();
                    is_news
                };
                if is_news {
                    sleep(Duration::from_millis(5)).await;
                    self.changed.send_modify(|changed| *changed += 1);
                }
            }
            tokio::select! {
                changed = published.changed() => if changed.is_err() { return },
                _ = hearing.changed() => {}
            }
        }
    }
}

/// Reads the namespace again and again, and publishes what it comes to.
async fn follow(client: Client, namespace: &'static str, sender: watch::Sender<Option<Arc<Published>>>) {
    let mut before = Vec::new();
    loop {
        let (objects, versions) = objects(&client, namespace).await;
        if versions != before {
            let key = snapshot::Secret::new("key of the installation");
            let place = Place::Cluster { allow_private: false };
            let compiled = resources::compile(&objects, &DigestKey::new(&key), place);
            let contents = Contents::new(Arc::new(compiled.snapshot), Arc::new(compiled.keyring), key);
            let known = sender
                .borrow()
                .as_ref()
                .map(|published| published.contents.clone());
            sender.send_replace(Some(Arc::new(Published {
                contents: known.filter(|known| *known == contents).unwrap_or(contents),
                conditions: compiled.conditions.into(),
                objects: Arc::new(objects),
            })));
            before = versions;
        }
        sleep(LOOK).await;
    }
}

async fn objects(client: &Client, namespace: &str) -> (Objects, Vec<String>) {
    let mut objects = Objects::default();
    let mut versions = Vec::new();
    let mut note = |object: &dyn Fn() -> (Option<String>, Option<String>)| {
        let (uid, version) = object();
        versions.push(format!("{uid:?}{version:?}"));
    };
    macro_rules! take {
        ($kind:ident) => {
            for object in list::<$kind>(client, namespace).await {
                note(&|| (object.meta().uid.clone(), object.resource_version()));
                objects.insert(name(&object), Object::$kind(Arc::new(object)));
            }
        };
    }
    take!(Provider);
    take!(Credential);
    take!(ModelRoute);
    take!(ClientKey);
    for secret in list::<Secret>(client, namespace).await {
        note(&|| (secret.meta().uid.clone(), secret.resource_version()));
        let (name, version) = (name(&secret), secret.resource_version().unwrap_or_default());
        let data = secret.data.unwrap_or_default();
        let values = SecretValues::from_cluster(
            data.into_iter().map(|(key, value)| (key, value.0)),
            &secret.metadata,
        );
        objects.insert_secret(name, Arc::new(values), version.into());
    }
    (objects, versions)
}

async fn list<K>(client: &Client, namespace: &str) -> Vec<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.list(&ListParams::default())
        .await
        .expect("it works as always")
        .items
}

fn name(object: &impl Resource<DynamicType = ()>) -> ObjectName {
    ObjectName::new(
        &object.namespace().expect("it works as always"),
        &object.name_any(),
    )
    .expect("it works as always")
}
