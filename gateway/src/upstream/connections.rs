//! The connections of one endpoint that are open and free.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{h2, io::Io};

/// How long a free connection is kept.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How many free HTTP/1.1 connections are kept.
const MOST: usize = 1024;

/// The connections of one endpoint that a request may be sent on.
#[derive(Debug)]
pub(super) struct Connections {
    state: Mutex<State>,
    idle: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Free HTTP/1.1 connections, the one used last at the back.
    h1: VecDeque<(Instant, Io)>,
    /// Open HTTP/2 connections, in use or not.
    h2: Vec<Arc<h2::Connection>>,
    /// Whether a task looks after their age.
    watched: bool,
}

impl Connections {
    pub(super) fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            idle,
        })
    }

    /// A free HTTP/1.1 connection that looks alive, the one used last first.
    pub(super) fn take_h1(&self) -> Option<Io> {
        let mut state = self.state();
        while let Some((since, mut io)) = state.h1.pop_back() {
            if since.elapsed() >= self.idle {
                state.h1.clear();
            } else if !io.is_spent() {
                return Some(io);
            }
        }
        None
    }

    /// Keeps an HTTP/1.1 connection for the next request.
    pub(super) fn put_h1(self: &Arc<Self>, mut io: Io) {
        if io.is_spent() {
            return;
        }
        let mut state = self.state();
        if state.h1.len() >= MOST {
            state.h1.pop_front();
        }
        state.h1.push_back((Instant::now(), io));
        self.watch(&mut state);
    }

    /// An open HTTP/2 connection with room for one more stream.
    pub(super) fn take_h2(&self) -> Option<h2::Stream> {
        let mut state = self.state();
        state.h2.retain(|connection| connection.is_open());
        state.h2.iter().find_map(h2::Stream::open)
    }

    /// Shares an HTTP/2 connection with the requests to come.
    pub(super) fn put_h2(self: &Arc<Self>, connection: Arc<h2::Connection>) {
        let mut state = self.state();
        state.h2.push(connection);
        self.watch(&mut state);
    }

    /// Takes an HTTP/2 connection out that failed a request; its other streams go on.
    pub(super) fn retire_h2(&self, connection: &Arc<h2::Connection>) {
        self.state().h2.retain(|kept| !Arc::ptr_eq(kept, connection));
    }

    /// Closes what has been free for too long, as long as there is anything.
    fn watch(self: &Arc<Self>, state: &mut State) {
        if state.watched {
            return;
        }
        state.watched = true;
        let (connections, idle) = (Arc::downgrade(self), self.idle);
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends when the connections that it closes are gone"
        )]
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(idle / 2).await;
                let Some(connections) = connections.upgrade() else {
                    return;
                };
                let mut state = connections.state();
                state
                    .h1
                    .retain_mut(|(since, io)| since.elapsed() < idle && !io.is_spent());
                state
                    .h2
                    .retain(|connection| connection.is_open() && connection.free_for() < idle);
                if state.h1.is_empty() && state.h2.is_empty() {
                    state.h1.shrink_to_fit();
                    state.watched = false;
                    return;
                }
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
