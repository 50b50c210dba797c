//! Desired state from operators: followed over a stream to every replica, kept across restarts.
//!
//! The operator's name leads to all its replicas. Each has a stream of its own (`stream`), and what each says is laid
//! together into what is served (`agreement`): see `docs/decisions/0011-replicas-of-the-operator.md`. What is served is
//! kept in a `cache` for the next start, and goes on being served for ever when no operator can be reached.
//!
//! ```text
//! name ──> addresses ──> stream (one for each) ──> agreement ──> App::apply ──> ack
//!                          ^ reports                   └──> cache
//! ```

mod agreement;
mod backoff;
mod board;
mod cache;
mod channel;
mod delegate;
mod names;
mod observer;
mod reports;
mod stream;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use pool::Clock;
use prometheus::Registry;
use proto::Contents;
use snapshot::{DigestKey, Secret};
use telemetry::Health;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

pub use cache::{Cache, CacheError};
pub use names::{OperatorUrl, OperatorUrlError};
pub use reports::Reports;

use crate::{app::App, delegated::Delegated, source::Desired};
use board::Board;
use delegate::Replicas;
use names::Names;
use observer::Observer;

/// How often the operator's name is looked up: replicas come and go.
const LOOK_UP_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether replicas have come to agree.
const AGREE_EVERY: Duration = Duration::from_secs(5);
/// How long replicas have to take notice of a goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where operators are and what is shown to them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's URL.
    pub url: OperatorUrl,
    /// Certificates (PEM) to trust, read at each connection; absent trusts those that are built in.
    pub ca_file: Option<PathBuf>,
    /// The token that says who this is, read at each connection.
    pub token_file: Option<PathBuf>,
    /// Where what is served is kept for the next start.
    pub cache_dir: Option<PathBuf>,
    /// The gateway's name for people.
    pub node: String,
}

/// The gateway's end of discovery, from its start on.
pub struct Discovery {
    settings: Settings,
    names: Names,
    cache: Option<Cache>,
    /// What was kept by the run before.
    kept: Option<Contents>,
    observer: Arc<Observer>,
    reports: Reports,
    clock: Arc<dyn Clock>,
    leaving: watch::Sender<bool>,
}

/// Tells operators that this gateway ends on purpose.
#[derive(Clone)]
pub struct Farewell {
    leaving: watch::Sender<bool>,
    observer: Arc<Observer>,
}

/// What all streams share.
struct Shared {
    settings: Settings,
    board: Board,
    observer: Arc<Observer>,
    reports: Reports,
    /// Whether the gateway ends.
    leaving: watch::Receiver<bool>,
    /// Where replicas are at the moment.
    replicas: watch::Receiver<BTreeSet<SocketAddr>>,
}

impl Discovery {
    /// Reads what the run before has kept. Fails when metrics are registered already.
    pub fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        health: &Health,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let observer = Arc::new(Observer::new(health.clone(), clock.clone(), registry)?);
        let cache = settings.cache_dir.clone().map(Cache::new);
        let kept = match cache.as_ref().map(Cache::read) {
            None | Some(Ok(None)) => None,
            Some(Ok(Some((contents, since)))) => {
                observer.stale(since);
                Some(contents)
            }
            Some(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what the run before has kept is not used"
                );
                None
            }
        };
        Ok(Self {
            names: Names::System,
            cache,
            kept,
            observer,
            reports: Reports::kept(clock.clone()),
            clock,
            leaving: watch::Sender::new(false),
            settings,
        })
    }

    /// What to serve until an operator speaks: what the run before has kept, or nothing.
    pub fn first(&self) -> Desired {
        match &self.kept {
            Some(contents) => desired(contents),
            None => Desired::nothing(DigestKey::new(&Secret::new(""))),
        }
    }

    /// Whether there is something to serve already.
    pub const fn has_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Asks operators on behalf of administrators. Fails for a URL that cannot be sent, of which there are none.
    pub fn delegated(&self) -> Result<Delegated, http::Error> {
        let replicas = Replicas {
            settings: self.settings.clone(),
            names: self.names.clone(),
        };
        Ok(Delegated::new(Arc::new(replicas), self.settings.url.origin()?))
    }

    /// Takes what upstreams say of credentials.
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// Ends streams politely.
    pub fn farewell(&self) -> Farewell {
        Farewell {
            leaving: self.leaving.clone(),
            observer: self.observer.clone(),
        }
    }

    /// Follows operators for ever and serves with `app` what they say. May be dropped at any time.
    pub async fn follow(self, app: Arc<App>) {
        let kept = watch::Sender::new(None);
        let mut writing = kept.subscribe();
        let replicas = watch::Sender::default();
        let shared = Arc::new(Shared {
            board: Board::new(app, self.kept, self.observer.clone(), self.reports.clone(), kept),
            settings: self.settings,
            observer: self.observer,
            reports: self.reports,
            leaving: self.leaving.subscribe(),
            replicas: replicas.subscribe(),
        });
        let writing = async {
            match self.cache {
                Some(cache) => cache.follow(&mut writing, &*self.clock).await,
                None => std::future::pending().await,
            }
        };
        let agreeing = async {
            let mut ticks = interval(AGREE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                shared.board.settle();
            }
        };
        tokio::join!(writing, agreeing, streams(&shared, &self.names, &replicas));
    }
}

/// Has a stream to every replica.
async fn streams(shared: &Arc<Shared>, names: &Names, replicas: &watch::Sender<BTreeSet<SocketAddr>>) {
    let mut open = JoinSet::new();
    let mut followed = BTreeSet::new();
    let mut looks = interval(LOOK_UP_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        tokio::select! {
            _ = looks.tick() => match names.look_up(&shared.settings.url).await {
                Ok(found) => {
                    told = None;
                    for &replica in found.difference(&followed) {
                        open.spawn(stream::follow(shared.clone(), replica));
                    }
                    followed.extend(&found);
                    replicas.send_replace(found);
                }
                // Streams that are open stay so.
                Err(error) => {
                    let error = error.to_string();
                    if told.as_ref() != Some(&error) {
                        tracing::warn!(operator = %shared.settings.url, error, "the operator's name has no address");
                        told = Some(error);
                    }
                }
            },
            Some(ended) = open.join_next() => match ended {
                Ok(replica) => {
                    followed.remove(&replica);
                }
                Err(error) => tracing::error!(%error, "a stream to an operator ended by itself"),
            },
        }
    }
}

impl Farewell {
    /// Says goodbye on every stream: this gateway is not to be waited for any more. Takes two seconds at most.
    pub async fn say(&self) {
        self.leaving.send_replace(true);
        if timeout(FAREWELL, self.observer.disconnected_from_all())
            .await
            .is_err()
        {
            tracing::warn!("an operator did not take notice of the goodbye in time");
        }
    }
}

fn desired(contents: &Contents) -> Desired {
    Desired {
        snapshot: contents.snapshot().clone(),
        keyring: contents.keyring().clone(),
        digests: contents.digest_key(),
        made: Arc::default(),
    }
}

#[cfg(test)]
mod tests;
