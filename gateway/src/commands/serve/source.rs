//! Where the desired state comes from: files, or operators.

use std::sync::Arc;

use pool::Clock;
use prometheus::Registry;
use snapshot::Snapshot;
use telemetry::Health;
use tokio::sync::watch;

use super::introduction::{self, Door};
use crate::{
    app::App,
    arguments::Serve,
    discovery::{self, Discovery, Farewell, OperatorUrl, Reports},
    source::{Changes, Desired, FileSource},
    state::{GeneratedKey, StateDir},
    upstream::AddressPolicy,
};

/// Where the desired state comes from.
pub(super) enum Source {
    /// Files of this machine.
    Files(Box<Files>),
    /// Operators of a cluster.
    Discovery(Box<Discovery>),
}

/// Files, and what goes with them.
pub(super) struct Files {
    source: FileSource,
    /// Works while the files have no key.
    generated: Option<GeneratedKey>,
    _state: StateDir,
}

impl Source {
    /// Opens what the arguments name.
    pub(super) fn open(
        arguments: &Serve,
        clock: &Arc<dyn Clock>,
        health: &Health,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        Ok(match &arguments.discovery {
            Some(url) => {
                let settings = settings(arguments, url);
                Self::Discovery(Box::new(Discovery::open(
                    settings,
                    clock.clone(),
                    health,
                    registry,
                )?))
            }
            None => Self::Files(Box::new(Files::open(arguments)?)),
        })
    }

    /// What to serve at first.
    pub(super) fn first(&self) -> Arc<Desired> {
        match self {
            Self::Files(files) => files.source.desired().borrow().clone(),
            Self::Discovery(discovery) => Arc::new(discovery.first()),
        }
    }

    /// Whether it is known already what to serve.
    pub(super) fn is_known(&self) -> bool {
        match self {
            Self::Files(_) => true,
            Self::Discovery(discovery) => discovery.has_kept(),
        }
    }

    /// Which addresses upstreams may have.
    pub(super) fn addresses(&self, arguments: &Serve) -> AddressPolicy {
        match self {
            Self::Files(_) => AddressPolicy::Standalone,
            Self::Discovery(_) => AddressPolicy::Cluster {
                allow_private: arguments.allow_private_upstreams,
            },
        }
    }

    /// Makes changes for administrators.
    pub(super) fn changes(&self) -> anyhow::Result<Changes> {
        Ok(match self {
            Self::Files(files) => files.source.changes(),
            Self::Discovery(discovery) => Changes::Operator(discovery.delegated()?),
        })
    }

    /// Takes what upstreams say of credentials.
    pub(super) fn reports(&self) -> Reports {
        match self {
            Self::Files(_) => Reports::default(),
            Self::Discovery(discovery) => discovery.reports(),
        }
    }

    /// What a person reads who starts a gateway on their own machine.
    pub(super) fn introduction(&self, snapshot: &Snapshot, door: Door) -> Option<String> {
        let Self::Files(files) = self else { return None };
        let generated = files.generated.as_ref()?;
        Some(introduction::text(
            generated,
            snapshot,
            files.source.problems(),
            door,
        ))
    }

    /// Tells whoever counts gateways that this one ends.
    pub(super) fn farewell(&self) -> Option<Farewell> {
        match self {
            Self::Files(_) => None,
            Self::Discovery(discovery) => Some(discovery.farewell()),
        }
    }

    /// Serves every new state with `app`, for ever. May be dropped at any time.
    pub(super) async fn follow(self, app: Arc<App>) {
        match self {
            Self::Files(files) => {
                // The state directory is ours for as long as its files are followed.
                let Files { source, _state, .. } = *files;
                let desired = source.desired();
                tokio::select! {
                    () = source.follow() => (),
                    () = apply(&app, desired) => (),
                }
            }
            Self::Discovery(discovery) => discovery.follow(app).await,
        }
    }
}

impl Files {
    /// Opens the resource files. While they name no caller, a generated key works, or nobody could call.
    fn open(arguments: &Serve) -> anyhow::Result<Self> {
        let state = StateDir::open(&arguments.state_dir)?;
        let digests = state.digest_key()?;
        let made = state.path().join("resources");
        let mut source = FileSource::open(arguments.resources.clone(), Some(made), digests)?;
        let generated = if source.has_client_keys() {
            None
        } else {
            let generated = state.client_key()?;
            source.offer_key(generated.key.clone());
            Some(generated)
        };
        Ok(Self {
            source,
            generated,
            _state: state,
        })
    }
}

fn settings(arguments: &Serve, url: &OperatorUrl) -> discovery::Settings {
    let node = rustix::system::uname();
    discovery::Settings {
        url: url.clone(),
        ca_file: arguments.discovery_ca_file.clone(),
        token_file: arguments.discovery_token_file.clone(),
        cache_dir: arguments.cache_dir.clone(),
        // In a cluster it is the pod's name.
        node: node.nodename().to_string_lossy().into_owned(),
    }
}

/// Serves every new state from the moment that it is there.
async fn apply(app: &Arc<App>, mut desired: watch::Receiver<Arc<Desired>>) {
    while desired.changed().await.is_ok() {
        let latest = desired.borrow_and_update().clone();
        app.apply(&latest);
    }
}
