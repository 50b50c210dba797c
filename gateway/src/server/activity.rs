//! What each connection waits for and since when, and the one sweep that ends waits that took too long.
//!
//! A timer per request or per read would cost more than the rest of this layer. Instead each connection notes
//! the moment until which it is willing to wait in an atomic, and a sweep wakes those whose moment has
//! passed. Moments are read from a coarse clock that the sweep moves, so a deadline is exact to one
//! beat.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

use super::Deadlines;

const NEVER: u64 = u64::MAX;

/// Watches over all connections of one listener.
#[derive(Debug)]
pub(super) struct Watchdog {
    start: Instant,
    now: AtomicU64,
    closing: AtomicBool,
    cut: AtomicBool,
    next: AtomicU64,
    connections: Mutex<HashMap<u64, Arc<Activity>>>,
}

/// One connection's deadlines and count of open calls, shared by its socket, its calls and the watchdog.
#[derive(Debug)]
pub(super) struct Activity {
    watchdog: Arc<Watchdog>,
    waker: OnceLock<Waker>,
    open_calls: AtomicUsize,
    http2: AtomicBool,
    idle: Duration,
    linger: Duration,
    /// Ends the wait for bytes from the peer.
    pub(super) reading: Deadline,
    /// Ends the wait for room towards the peer.
    pub(super) writing: Deadline,
}

/// A moment of the watchdog's clock, in milliseconds; or never.
#[derive(Debug)]
pub(super) struct Deadline(AtomicU64);

/// One connection's place in the watchdog's list, given back on drop.
#[derive(Debug)]
pub(super) struct Watched {
    id: u64,
    activity: Arc<Activity>,
}

/// One open call, from its complete head to the end of its response's body.
#[derive(Debug)]
pub(super) struct Call(Arc<Activity>);

impl Watchdog {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            now: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            next: AtomicU64::new(0),
            connections: Mutex::default(),
        })
    }

    /// Puts a new connection under watch.
    pub(super) fn watch(self: &Arc<Self>, deadlines: &Deadlines) -> Watched {
        let activity = Arc::new(Activity {
            watchdog: Arc::clone(self),
            waker: OnceLock::new(),
            open_calls: AtomicUsize::new(0),
            http2: AtomicBool::new(false),
            idle: deadlines.keep_alive,
            linger: deadlines.linger,
            reading: Deadline(AtomicU64::new(NEVER)),
            writing: Deadline(AtomicU64::new(NEVER)),
        });
        let id = self.next.fetch_add(1, Relaxed);
        self.lock().insert(id, Arc::clone(&activity));
        Watched { id, activity }
    }

    /// Moves the clock and wakes the connections that waited too long. Called once per beat.
    pub(super) fn sweep(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.now.store(now, Relaxed);
        self.wake(|activity| activity.reading.is_before(now) || activity.writing.is_before(now));
    }

    /// Asks every connection to end after the calls that it carries.
    pub(super) fn close(&self) {
        self.closing.store(true, Relaxed);
        self.wake(|_| true);
    }

    /// Ends every connection now.
    pub(super) fn cut(&self) {
        self.cut.store(true, Relaxed);
        self.wake(|_| true);
    }

    fn wake(&self, chosen: impl Fn(&Activity) -> bool) {
        let late: Vec<Waker> = self
            .lock()
            .values()
            .filter(|activity| chosen(activity))
            .filter_map(|activity| activity.waker.get().cloned())
            .collect();
        late.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.activity.watchdog.lock().remove(&self.id);
    }
}

impl Activity {
    /// Notes whom to wake. A connection lives in one task, so the first waker is the only one.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Opens a call; the connection is busy until it is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Call {
        if self.open_calls.fetch_add(1, Relaxed) == 0 {
            self.reading.clear();
        }
        Call(Arc::clone(self))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.open_calls.load(Relaxed) > 0
    }

    /// From here on calls come as HTTP/2 streams, and their count alone says when the connection is idle.
    pub(super) fn speaks_http2(&self) {
        self.http2.store(true, Relaxed);
        self.set(&self.reading, self.idle);
    }

    /// Whether this is an HTTP/2 connection that carried no call for too long.
    pub(super) fn is_idle_http2(&self) -> bool {
        self.http2.load(Relaxed) && !self.is_busy() && self.has_passed(&self.reading)
    }

    /// Gives a peer that was told of the end a moment to agree.
    pub(super) fn expects_end(&self) {
        if !self.is_busy() {
            self.set(&self.reading, self.linger);
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.watchdog.closing.load(Relaxed)
    }

    pub(super) fn is_cut(&self) -> bool {
        self.watchdog.cut.load(Relaxed)
    }

    pub(super) fn set(&self, deadline: &Deadline, wait: Duration) {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(NEVER);
        let now = self.watchdog.now.load(Relaxed);
        deadline.0.store(now.saturating_add(wait), Relaxed);
    }

    pub(super) fn has_passed(&self, deadline: &Deadline) -> bool {
        deadline.is_before(self.watchdog.now.load(Relaxed))
    }
}

impl Deadline {
    pub(super) fn clear(&self) {
        self.0.store(NEVER, Relaxed);
    }

    fn is_before(&self, now: u64) -> bool {
        self.0.load(Relaxed) <= now
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.0.open_calls.fetch_sub(1, Relaxed) == 1 {
            let wait = if self.0.is_closing() {
                self.0.linger
            } else {
                self.0.idle
            };
            self.0.set(&self.0.reading, wait);
        }
    }
}
