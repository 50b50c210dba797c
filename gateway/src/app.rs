//! What all calls share.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::{Request, Response};
use pool::{
    Clock, Rest, RestEnd,
    redis::{ledger::SharedLedger, link::Link},
    usage::Ledger,
};
use snapshot::{CredentialName, RestScope, Snapshot, Timestamp};
use tokio::sync::watch;

use crate::{
    arguments::AdminRoutes,
    body::ReplyBody,
    discovery::Reports,
    flow::{self, BodyMemory, Budgets},
    lifecycle::Drain,
    live::{Live, LiveCredential},
    manage::Listings,
    metrics::Metrics,
    server::RequestBody,
    source::{Changes, Desired},
    store::{Pool, Stores},
    upstream::Upstreams,
};

/// What an installation allows itself.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether callers need no key.
    pub allow_anonymous: bool,
    /// Calls worked on at the same time, streams included; more are refused with 503.
    pub max_in_flight: usize,
    /// Bytes of request bodies held at the same time; more are refused with 503.
    pub max_body_memory: usize,
    /// What administrators can do over HTTP.
    pub admin_routes: AdminRoutes,
}

/// What all calls share: the desired state of this moment, the pool, connections, counters.
pub struct App {
    live: ArcSwap<Live>,
    pub(crate) pool: Pool,
    pub(crate) upstreams: Upstreams,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) body_memory: BodyMemory,
    pub(crate) budgets: Budgets,
    /// Says when streams must end.
    pub(crate) drain: Drain,
    /// What this process has used.
    pub(crate) ledger: Arc<Ledger>,
    /// What all replicas have used, where they share it.
    pub(crate) shared: Option<Arc<SharedLedger<Link>>>,
    /// Changes objects for administrators.
    pub(crate) changes: Changes,
    /// What administrators were listed last.
    pub(crate) listings: Listings,
    /// What upstreams say of credentials, for those who want to hear it.
    reports: Reports,
    /// When the process started to serve.
    pub(crate) started: Timestamp,
    /// When what is served was applied, or last confirmed.
    confirmed: Mutex<Instant>,
    /// What is served, for those who wait for a change.
    served: watch::Sender<Arc<Snapshot>>,
    in_flight: AtomicUsize,
}

/// What [`App::new`] is made of.
pub struct Parts {
    /// The state that calls agree on, and what was used.
    pub stores: Stores,
    /// Connections to upstreams.
    pub upstreams: Upstreams,
    /// Counters.
    pub metrics: Metrics,
    /// What the installation allows itself.
    pub settings: Settings,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Says when streams must end.
    pub drain: Drain,
    /// Changes objects for administrators.
    pub changes: Changes,
    /// Takes what upstreams say of credentials.
    pub reports: Reports,
}

impl App {
    /// Starts with the state `desired`.
    pub fn new(parts: Parts, desired: &Desired) -> Arc<Self> {
        let Parts {
            stores: Stores { pool, ledger, shared },
            upstreams,
            metrics,
            settings,
            clock,
            drain,
            changes,
            reports,
        } = parts;
        let live = Live::new(desired, None, &upstreams, &metrics, settings.allow_anonymous);
        // A secret may have changed while nobody looked; what is known in the store already is no news there.
        for (name, credential) in &desired.snapshot.credentials {
            pool.secret_changed(&credential.provider, name, &credential.secret_version);
        }
        Arc::new(Self {
            live: ArcSwap::from_pointee(live),
            pool,
            upstreams,
            metrics,
            body_memory: BodyMemory::new(settings.max_body_memory),
            budgets: Budgets::default(),
            settings,
            ledger,
            shared,
            started: clock.now(),
            clock,
            drain,
            changes,
            listings: Listings::default(),
            reports,
            confirmed: Mutex::new(Instant::now()),
            served: watch::Sender::new(desired.snapshot.clone()),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Serves one request. Dropping the future means that the client left.
    pub async fn handle(self: Arc<Self>, request: Request<RequestBody>) -> Response<ReplyBody> {
        flow::serve(self, request).await
    }

    /// Serves `desired` from now on; calls under way keep what they started with, but for keys: once this has
    /// returned, no attempt begins with one that has gone or changed.
    ///
    /// Not to be called twice at a time.
    pub fn apply(&self, desired: &Desired) {
        let before = self.live();
        let live = Arc::new(Live::new(
            desired,
            Some(&before),
            &self.upstreams,
            &self.metrics,
            self.settings.allow_anonymous,
        ));
        self.live.store(live.clone());
        before.revoke_permits(&live);
        for (name, credential) in &desired.snapshot.credentials {
            let known = before.snapshot.credentials.get(name);
            if known.is_none_or(|known| known.secret_version != credential.secret_version) {
                self.pool
                    .secret_changed(&credential.provider, name, &credential.secret_version);
            }
        }
        self.confirmed();
        self.served.send_replace(desired.snapshot.clone());
    }

    /// Notes that an upstream put a credential to rest. What rests for one model only is no matter of the credential.
    pub(crate) fn rests(&self, credential: &LiveCredential, scope: RestScope, rest: &Rest) {
        if scope == RestScope::CredentialAndModel {
            return;
        }
        credential.standing.refused();
        let until = match rest.end {
            RestEnd::Stated(wait) | RestEnd::Hinted(wait) | RestEnd::For(wait) => {
                Some(self.clock.now() + wait)
            }
            RestEnd::Guessed => None,
        };
        self.reports.rests(&credential.credential, rest.reason, until);
    }

    /// Notes that an upstream accepted a credential.
    pub(crate) fn accepts(&self, credential: &LiveCredential) {
        if credential.standing.accepted() {
            self.reports.recovered(&credential.credential);
        }
    }

    /// Waits until what is served is as wanted; may wait for ever.
    pub(crate) async fn served(&self, wanted: impl FnMut(&Arc<Snapshot>) -> bool) {
        // The sender lives as long as this.
        let _ = self.served.subscribe().wait_for(wanted).await;
    }

    /// What is served at the moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.live.load().snapshot.clone()
    }

    /// How long ago it was applied, or an operator last said that it still holds.
    pub(crate) fn snapshot_age(&self) -> Duration {
        self.confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    /// Notes that what is served still holds.
    pub(crate) fn confirmed(&self) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether a credential has a key that can be presented.
    pub(crate) fn is_usable(&self, name: &CredentialName) -> bool {
        self.live.load().credential(name).is_some()
    }

    /// Wall time since the Unix epoch.
    pub(crate) fn since_epoch(&self) -> Duration {
        Duration::from_micros(self.clock.now().as_micros())
    }

    /// The state of this moment.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Takes a place among the calls in flight; `None` when there is none left.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlight> {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.settings.max_in_flight {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.metrics.in_flight.inc();
        Some(InFlight(self.clone()))
    }
}

/// A place among the calls in flight, given back on drop.
pub(crate) struct InFlight(Arc<App>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.in_flight.dec();
    }
}
