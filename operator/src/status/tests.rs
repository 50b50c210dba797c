//! Objects, gateways, store and reports in; statuses out.

mod credentials;
mod fleets;
mod gauges;
mod others;
mod writes;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant as StdInstant,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pool::{CredentialState, Resting};
use proto::{Contents, Reported, Versions};
use resources::{
    Identity, Kind, Object, Objects, Place, SecretValues,
    kinds::{CredentialStatus, LastHandled},
};
use serde::de::DeserializeOwned;
use snapshot::{CredentialName, DigestKey, ObjectName, RestReason, Secret, Timestamp};
use tokio::time::Instant;

use super::{
    Measured, Rates, Reading,
    board::{Board, Wanted},
    desired::{self, View},
    fleet::Fleet,
    reports::Reports,
    told::Status,
};
use crate::{gateways::Gateway, published::Published};

/// All that statuses are made of.
struct World {
    objects: Objects,
    gateways: Vec<Gateway>,
    reading: Reading,
    reports: Reports,
    handled: BTreeMap<Identity, LastHandled>,
    now: Timestamp,
}

const PROVIDER: &str = r#"{"metadata": {"name": "p", "namespace": "n", "generation": 3, "resourceVersion": "5", "uid": "u"},
    "spec": {"dialect": "OpenAI", "url": "https://api.example.com/v1", "models": [{"name": "m"}]}}"#;
const CREDENTIAL: &str = r#"{"metadata": {"name": "c", "namespace": "n", "generation": 7, "resourceVersion": "6", "uid": "v"},
    "spec": {"providerRef": {"name": "p"}, "apiKey": {"secretRef": {"name": "s", "key": "k"}}}}"#;

fn read<T: DeserializeOwned>(json: &str) -> Arc<T> {
    Arc::new(serde_json::from_str(json).expect("a good object"))
}

fn name(name: &str) -> ObjectName {
    ObjectName::new("n", name).expect("a name")
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000)
}

impl World {
    /// A Provider with a Credential and its Secret, and no gateway.
    fn new() -> Self {
        let mut world = Self {
            objects: Objects::default(),
            gateways: Vec::new(),
            reading: Reading::NoStore,
            reports: Reports::default(),
            handled: BTreeMap::new(),
            now: at(0),
        };
        world.objects.insert(name("p"), Object::Provider(read(PROVIDER)));
        world
            .objects
            .insert(name("c"), Object::Credential(read(CREDENTIAL)));
        world.secret("sk-first", "10");
        world
    }

    fn secret(&mut self, value: &str, version: &str) {
        let values = SecretValues::from_cluster(
            [("k".to_owned(), value.as_bytes().to_vec())],
            &ObjectMeta::default(),
        );
        self.objects
            .insert_secret(name("s"), Arc::new(values), version.into());
    }

    /// Changes a text in the Credential.
    fn credential(&mut self, from: &str, to: &str) {
        let json = CREDENTIAL.replace(from, to);
        assert_ne!(json, CREDENTIAL);
        self.objects.insert(name("c"), Object::Credential(read(&json)));
    }

    fn published(&self) -> Published {
        let key = Secret::new("key of the installation");
        let place = Place::Cluster { allow_private: false };
        let compiled = resources::compile(&self.objects, &DigestKey::new(&key), place);
        Published {
            contents: Contents::new(Arc::new(compiled.snapshot), Arc::new(compiled.keyring), key),
            conditions: compiled.conditions.into(),
            objects: Arc::new(self.objects.clone()),
        }
    }

    /// So many gateways that have all of this moment, and so many that have nothing.
    fn gateways(&mut self, current: usize, empty: usize) {
        let versions = Arc::clone(self.published().contents.versions());
        let all = (0..current)
            .map(|_| versions.clone())
            .chain((0..empty).map(|_| Arc::new(Versions::default())));
        self.gateways = all.enumerate().map(|(at, acked)| gateway(at, acked)).collect();
    }

    fn report(&mut self, rests: Option<RestReason>, until: Option<Timestamp>) {
        let published = self.published();
        let credential = CredentialName::from(name("c"));
        let reported = Reported {
            secret_version: published.contents.snapshot().credentials[&credential]
                .secret_version
                .clone(),
            credential,
            rests,
            until,
        };
        self.reports.take(reported, self.now, Instant::now());
    }

    /// The store says that it rests.
    fn measure(&mut self, rests: &[(Option<&str>, RestReason, Timestamp)]) {
        let credential = CredentialName::from(name("c"));
        let state = CredentialState {
            name: credential.clone(),
            in_flight: 0,
            reserved_tokens: 0,
            rests: rests
                .iter()
                .map(|(model, reason, until)| Resting {
                    model: model.map(Into::into),
                    reason: *reason,
                    until: *until,
                })
                .collect(),
            windows: Vec::new(),
        };
        self.reading = Reading::Known(Arc::new(Measured {
            began: Instant::now(),
            credentials: HashMap::from([(credential, state)]),
            usage: Arc::default(),
        }));
    }

    fn wanted(&self, published: &Published, board: &Board) -> BTreeMap<Identity, Wanted> {
        let fleet = Fleet::new(published.contents.versions(), &self.gateways, StdInstant::now());
        desired::wanted(&View {
            published,
            fleet: &fleet,
            reading: &self.reading,
            reports: &self.reports,
            handled: &self.handled,
            board,
            now: self.now,
        })
    }

    fn status(&self, kind: Kind, of: &str) -> Status {
        let identity = Identity { kind, name: name(of) };
        let mut wanted = self.wanted(&self.published(), &Board::new(Rates::default(), Instant::now()));
        wanted.remove(&identity).expect("it has a status").status
    }

    fn of_credential(&self) -> CredentialStatus {
        match self.status(Kind::Credential, "c") {
            Status::Credential(status) => status,
            other => panic!("{other:?}"),
        }
    }

    /// Lets the API server tell what is wanted.
    fn tell(&mut self) {
        let status = self.of_credential();
        let Some(Object::Credential(object)) = self.objects.get(&Identity {
            kind: Kind::Credential,
            name: name("c"),
        }) else {
            panic!("there is a Credential");
        };
        let mut object = (**object).clone();
        object.status = Some(status);
        self.objects
            .insert(name("c"), Object::Credential(Arc::new(object)));
    }
}

fn gateway(at: usize, acked: Arc<Versions>) -> Gateway {
    Gateway {
        node: format!("gw-{at}"),
        is_connected: true,
        acked,
        refusal: None,
        last_seen: StdInstant::now(),
    }
}

/// Conditions in few words: `Ready=True/Usable`. Those that are always there and fine are left out.
fn brief(status: &Status) -> String {
    let all = status
        .conditions()
        .iter()
        .map(|it| format!("{}={}/{}", it.type_, it.status, it.reason));
    let fine = [
        "Accepted=True/Valid",
        "ResolvedRefs=True/Resolved",
        "CoolingDown=False/NotResting",
        "QuotaExhausted=False/WithinQuota",
        "Programmed=Unknown/NoGateways",
    ];
    let told: Vec<String> = all
        .filter(|condition| !fine.contains(&condition.as_str()))
        .collect();
    told.join(" ")
}
