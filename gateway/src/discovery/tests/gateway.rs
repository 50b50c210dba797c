//! A gateway that follows operators.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use pool::{AnyStore, Clock, SystemClock, usage::Ledger};
use prometheus::Registry;
use telemetry::Health;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    super::{Discovery, Farewell, Names, Settings},
    eventually,
    operator::{Authority, HOST, Operator},
};
use crate::{
    app::{self, App, Parts},
    arguments::AdminRoutes,
    lifecycle::Drain,
    metrics::Metrics,
    source::Changes,
    store::{Pool, Stores},
    upstream::{AddressPolicy, Upstreams},
};

/// A gateway that follows operators. Dropping it ends it.
pub(super) struct Gateway {
    pub(super) app: Arc<App>,
    pub(super) health: Health,
    pub(super) farewell: Farewell,
    pub(super) folder: Arc<TempDir>,
    /// Where its operators are.
    pub(super) replicas: Arc<Mutex<BTreeSet<SocketAddr>>>,
    registry: Registry,
    task: JoinHandle<()>,
}

impl Gateway {
    /// Starts one that trusts `authority` and keeps what it serves.
    pub(super) fn start(authority: &Authority, operators: &[&Operator]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("ca"), &authority.pem).unwrap();
        std::fs::write(folder.path().join("token"), "first\n").unwrap();
        let replicas = operators.iter().map(|operator| operator.address).collect();
        Self::start_in(folder, replicas)
    }

    /// Starts one in the folder of another.
    pub(super) fn start_in(folder: Arc<TempDir>, replicas: BTreeSet<SocketAddr>) -> Self {
        let settings = Settings {
            url: format!("https://{HOST}:9443").parse().unwrap(),
            ca_file: Some(folder.path().join("ca")),
            token_file: Some(folder.path().join("token")),
            cache_dir: Some(folder.path().join("cache")),
            node: "gateway-0".to_owned(),
        };
        let (health, registry) = (Health::new(), Registry::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let mut discovery = Discovery::open(settings, clock.clone(), &health, &registry).unwrap();
        let replicas = Arc::new(Mutex::new(replicas));
        discovery.names = Names::Fixed(replicas.clone());
        if discovery.has_kept() {
            health.ready();
        }
        let parts = Parts {
            stores: Stores {
                pool: Pool::new(AnyStore::Memory(Box::default()), clock.clone()),
                ledger: Arc::new(Ledger::default()),
                shared: None,
            },
            upstreams: Upstreams::new(AddressPolicy::Standalone),
            metrics: Metrics::new(&registry).unwrap(),
            settings: app::Settings {
                allow_anonymous: false,
                max_in_flight: 1024,
                max_body_memory: 64 << 20,
                admin_routes: AdminRoutes::Disabled,
            },
            clock,
            drain: Drain::new().1,
            changes: Changes::Operator(discovery.delegated().unwrap()),
            reports: discovery.reports(),
        };
        let app = App::new(parts, &discovery.first());
        Self {
            health,
            farewell: discovery.farewell(),
            folder,
            replicas,
            registry,
            task: tokio::spawn(discovery.follow(app.clone())),
            app,
        }
    }

    /// The names of the credentials that it serves.
    pub(super) fn credentials(&self) -> Vec<String> {
        let snapshot = self.app.snapshot();
        snapshot
            .credentials
            .keys()
            .map(|name| name.name().to_owned())
            .collect()
    }

    /// Waits until it serves these credentials.
    pub(super) async fn serves(&self, credentials: &[&str]) {
        let what = format!("{credentials:?}");
        eventually(&what, || self.credentials() == credentials).await;
    }

    /// How many streams it has, in its own words.
    pub(super) fn connected(&self) -> String {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "roundhouse_discovery_connected");
        family.unwrap().get_metric()[0]
            .get_gauge()
            .get_value()
            .to_string()
    }

    /// Ends at once, as a process that is killed.
    pub(super) async fn kill(self) -> Arc<TempDir> {
        self.task.abort();
        let folder = self.folder.clone();
        drop(self);
        tokio::task::yield_now().await;
        folder
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}
