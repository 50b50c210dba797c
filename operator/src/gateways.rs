//! Gateways as this replica sees them: who is connected, what each serves, what it reports.

mod meters;
mod reports;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus::Registry;
use proto::{Reported, Versions};
use tokio::{
    sync::{mpsc, watch},
    time::{self, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use self::{meters::Meters, reports::Reports};

/// How long a gateway that is not connected and said no goodbye is remembered.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * 60);

/// How often it is looked who is to be forgotten.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Gateways that are remembered at most.
const GATEWAYS_MAX: usize = 2_000;

/// Reports that wait for whoever acts on them. Beyond it new ones are dropped and counted.
const REPORTS_MAX: usize = 1_024;

/// A gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its name: that of its pod.
    pub node: String,
    /// Whether it has a stream to this replica.
    pub is_connected: bool,
    /// What it serves as far as this replica knows: what it said when its stream began, and then what it
    /// acknowledged. Empty for one that has nothing yet.
    pub acked: Arc<Versions>,
    /// Why it refused a later version. Written by the gateway, and cut to a length.
    pub refusal: Option<String>,
    /// When it was last heard.
    pub last_seen: Instant,
}

/// All gateways. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateways(Arc<Shared>);

/// More gateways than are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{GATEWAYS_MAX} gateways are known already")]
pub struct TooMany;

/// One gateway's stream. While there is one, the gateway is connected.
#[derive(Debug)]
pub struct Session {
    gateways: Gateways,
    node: String,
    stream: u64,
    replaced: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
    reports: Reports,
    meters: Meters,
}

#[derive(Debug, Default)]
struct State {
    gateways: BTreeMap<String, Known>,
    /// Streams so far: each has a number.
    streams: u64,
}

#[derive(Debug)]
struct Known {
    gateway: Gateway,
    /// The newest stream; what others say is void.
    stream: u64,
    /// Cancelled when a newer stream takes its place.
    replaced: CancellationToken,
}

impl Gateways {
    /// Knows none yet. Gives as well what gateways report, each once in a while: whoever takes it must go on taking,
    /// also while there is nothing to do about it. Fails when a metric is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<(Self, mpsc::Receiver<Reported>)> {
        let meters = Meters::new(registry)?;
        let (reports, receiver) = Reports::new(REPORTS_MAX, meters.clone());
        let shared = Shared {
            state: Mutex::default(),
            revision: watch::Sender::new(0),
            reports,
            meters,
        };
        Ok((Self(Arc::new(shared)), receiver))
    }

    /// The gateways seen within [`FORGOTTEN_AFTER`] that said no goodbye, in order of their names.
    pub fn list(&self) -> Vec<Gateway> {
        self.lock()
            .gateways
            .values()
            .filter(|known| !known.is_to_be_forgotten())
            .map(|known| known.gateway.clone())
            .collect()
    }

    /// Changes whenever one comes, goes, acknowledges, refuses or is forgotten; not when one is merely heard.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    /// Begins a stream of `node`, which serves `known`. An older stream of it is replaced.
    pub fn connect(&self, node: &str, known: Arc<Versions>) -> Result<Session, TooMany> {
        let mut state = self.lock();
        state.gateways.retain(|_, known| !known.is_to_be_forgotten());
        if state.gateways.len() >= GATEWAYS_MAX && !state.gateways.contains_key(node) {
            return Err(TooMany);
        }
        state.streams += 1;
        let stream = state.streams;
        let replaced = CancellationToken::new();
        let gateway = Gateway {
            node: node.to_owned(),
            is_connected: true,
            acked: known,
            refusal: None,
            last_seen: now(),
        };
        let newest = Known {
            gateway,
            stream,
            replaced: replaced.clone(),
        };
        if let Some(older) = state.gateways.insert(node.to_owned(), newest) {
            older.replaced.cancel();
        }
        self.change(state);
        Ok(Session {
            gateways: self.clone(),
            node: node.to_owned(),
            stream,
            replaced,
        })
    }

    /// Forgets for ever those that were not seen for long.
    pub async fn forget(&self) -> Infallible {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let mut state = self.lock();
            let before = state.gateways.len();
            state.gateways.retain(|_, known| !known.is_to_be_forgotten());
            if state.gateways.len() < before {
                self.change(state);
            }
        }
    }

    /// Tells that something changed, once the state can be read.
    fn change(&self, state: MutexGuard<'_, State>) {
        let connected = state
            .gateways
            .values()
            .filter(|known| known.gateway.is_connected)
            .count();
        self.0.meters.connected(connected);
        drop(state);
        self.0.revision.send_modify(|revision| *revision += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// The gateway serves these, and nothing older.
    pub fn acked(&self, versions: Arc<Versions>) {
        self.update(|gateway| {
            gateway.acked = versions;
            gateway.refusal = None;
        });
    }

    /// The gateway refused a version and serves what it had.
    pub fn refused(&self, reason: String) {
        self.gateways.0.meters.refused();
        self.update(|gateway| gateway.refusal = Some(reason));
    }

    /// The gateway said something.
    pub fn seen(&self) {
        if let Some(known) = self.gateways.lock().gateways.get_mut(&self.node)
            && known.stream == self.stream
        {
            known.gateway.last_seen = now();
        }
    }

    /// Passes on what the gateway learned.
    pub fn report(&self, reported: Reported) {
        self.gateways.0.reports.pass(reported);
    }

    /// Counts a report that is about nothing known.
    pub fn report_of_unknown(&self) {
        self.gateways.0.meters.report("unknown");
    }

    /// The gateway ends on purpose: it is forgotten at once.
    pub fn goodbye(self) {
        let mut state = self.gateways.lock();
        if self.is_newest(&state) {
            state.gateways.remove(&self.node);
            self.gateways.change(state);
        }
    }

    /// Waits until a newer stream of the same gateway takes the place of this one. Cancel safe.
    pub async fn replaced(&self) {
        self.replaced.cancelled().await;
    }

    fn update(&self, change: impl FnOnce(&mut Gateway)) {
        let mut state = self.gateways.lock();
        if self.is_newest(&state)
            && let Some(known) = state.gateways.get_mut(&self.node)
        {
            change(&mut known.gateway);
            known.gateway.last_seen = now();
            self.gateways.change(state);
        }
    }

    fn is_newest(&self, state: &State) -> bool {
        state
            .gateways
            .get(&self.node)
            .is_some_and(|known| known.stream == self.stream)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.update(|gateway| gateway.is_connected = false);
    }
}

impl Known {
    fn is_to_be_forgotten(&self) -> bool {
        !self.gateway.is_connected
            && now().saturating_duration_since(self.gateway.last_seen) >= FORGOTTEN_AFTER
    }
}

fn now() -> Instant {
    time::Instant::now().into_std()
}
