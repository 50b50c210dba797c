//! What calls and the keeper share.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use redis::Value;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    Observe,
    away::{Away, Failure, Verdict, Why},
    breaker::Misses,
    wire::{Reply, Wire},
};

/// Whether the store is in reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It is.
    Up {
        /// Since when.
        since: Instant,
        /// Grows with every new connection; the same number again means that the connection had been kept.
        /// A new connection may lead to another server, or to one that has forgotten everything.
        connection: u64,
    },
    /// It is not.
    Down {
        /// Since when; a new reason does not change it.
        since: Instant,
        /// Why, at the latest try.
        why: Why,
    },
}

/// The connection that calls use.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) wire: Wire,
    /// Its number.
    pub(super) connection: u64,
}

/// The state of a link.
pub(super) struct Shared {
    /// Empty while the link is down.
    current: ArcSwapOption<Current>,
    state: watch::Sender<LinkState>,
    misses: Misses,
    opened: Notify,
    observer: Arc<dyn Observe>,
    /// What the process does while the link is down, for its log.
    meanwhile: &'static str,
}

impl Shared {
    pub(super) fn new(observer: Arc<dyn Observe>, meanwhile: &'static str) -> Self {
        let since = Instant::now();
        Self {
            current: ArcSwapOption::empty(),
            state: watch::Sender::new(LinkState::Down {
                since,
                why: Why::Starting,
            }),
            misses: Misses::new(since),
            opened: Notify::new(),
            observer,
            meanwhile,
        }
    }

    pub(super) fn observer(&self) -> &dyn Observe {
        &*self.observer
    }

    pub(super) fn is_up(&self) -> bool {
        self.current.load().is_some()
    }

    pub(super) fn state(&self) -> LinkState {
        *self.state.borrow()
    }

    pub(super) fn changes(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// The connection to use.
    pub(super) fn current(&self) -> Result<Arc<Current>, Away> {
        self.current.load_full().ok_or_else(|| match self.state() {
            LinkState::Down { why, .. } => Away::NotRun(why),
            // It came up between the two looks. The next call will find it.
            LinkState::Up { .. } => Away::NotRun(Why::Starting),
        })
    }

    /// Judges the outcome of a call on a connection.
    pub(super) fn conclude(&self, current: &Current, reply: Reply) -> Result<Value, Away> {
        let failure = match reply {
            Ok(value) => {
                self.misses.answered();
                return Ok(value);
            }
            Err(failure) => failure,
        };
        match failure.verdict() {
            Verdict::Refused { code, detail } => {
                self.misses.answered();
                Err(Away::Refused { code, detail })
            }
            Verdict::Away { why, ran, certain } => {
                self.count(current, why, certain, &failure);
                Err(if ran {
                    Away::Unknown(why)
                } else {
                    Away::NotRun(why)
                })
            }
        }
    }

    /// Judges the outcome of a probe, which a store that is in reach serves. Returns whether it did.
    pub(super) fn conclude_probe(&self, current: &Current, reply: &Reply) -> bool {
        match reply {
            Ok(_) => self.misses.answered(),
            Err(failure) => {
                let certain = match failure.verdict() {
                    Verdict::Refused { .. } => true,
                    Verdict::Away { certain, .. } => certain,
                };
                self.count(current, failure.why(), certain, failure);
            }
        }
        reply.is_ok()
    }

    fn count(&self, current: &Current, why: Why, certain: bool, failure: &Failure) {
        if certain || self.misses.missed(Instant::now()) {
            self.lose(current.connection, why, &failure.cause());
        }
    }

    /// Takes the link down, unless that connection is no longer in use.
    pub(super) fn lose(&self, connection: u64, why: Why, cause: &str) {
        let lost = self.state.send_if_modified(|state| match *state {
            LinkState::Up {
                connection: current, ..
            } if current == connection => {
                self.current.store(None);
                *state = LinkState::Down {
                    since: Instant::now(),
                    why,
                };
                // In here changes are reported in the order in which they happen.
                self.observer.down(why);
                true
            }
            _ => false,
        });
        if lost {
            self.opened.notify_one();
            tracing::warn!(
                why = why.as_str(),
                cause,
                meanwhile = self.meanwhile,
                "the shared store is away"
            );
        }
    }

    /// Notes that a down link could not be brought up. Only another reason is news.
    pub(super) fn stay_down(&self, why: Why, cause: &str) {
        let changed = self.state.send_if_modified(|state| match state {
            LinkState::Down { why: known, .. } if *known != why => {
                *known = why;
                self.observer.down(why);
                true
            }
            _ => false,
        });
        if changed {
            tracing::warn!(
                why = why.as_str(),
                cause,
                meanwhile = self.meanwhile,
                "the shared store is away"
            );
        }
    }

    /// Brings the link up on a connection that has been probed.
    pub(super) fn bring_up(&self, current: Current) {
        let connection = current.connection;
        self.misses.answered();
        self.state.send_modify(|state| {
            let since = Instant::now();
            self.current.store(Some(Arc::new(current)));
            *state = LinkState::Up { since, connection };
            self.observer.up();
        });
        tracing::info!(connection, "the shared store is in reach");
    }

    /// Waits until a call has taken the link down; it may have been earlier.
    pub(super) async fn opened(&self) {
        self.opened.notified().await;
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
