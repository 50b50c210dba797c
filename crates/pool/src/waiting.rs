//! Who waits for a full Provider, in order of arrival.
//!
//! The end of a lease wakes the first that is not awake yet. One that was woken and finds nothing it can
//! use passes the turn on to those behind it and keeps its place; so does one that leaves with a turn. A
//! caller that arrives just then may be faster; nobody waits for more than `maxWait` all the same.

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    ops::Bound,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use snapshot::ProviderName;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    count: AtomicUsize,
    queues: Mutex<Queues>,
}

/// A place in the queue, given up on drop.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    waiting: &'a Waiting,
    provider: ProviderName,
    ticket: u64,
}

#[derive(Debug, Default)]
struct Queues {
    by_provider: HashMap<ProviderName, BTreeMap<u64, Waiter>>,
    last_ticket: u64,
}

#[derive(Debug, Default)]
struct Waiter {
    /// A turn has come and nobody has looked yet.
    awake: bool,
    /// Someone looks because a turn had come.
    looking: bool,
    waker: Option<Waker>,
}

impl Waiting {
    /// Joins the queue. Look for a credential after joining: an end before it wakes nobody.
    pub(crate) fn join(&self, provider: &ProviderName) -> Place<'_> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut queues = self.lock();
        queues.last_ticket += 1;
        let ticket = queues.last_ticket;
        queues
            .by_provider
            .entry(provider.clone())
            .or_default()
            .insert(ticket, Waiter::default());
        Place {
            waiting: self,
            provider: provider.clone(),
            ticket,
        }
    }

    /// A place of a credential became free.
    pub(crate) fn wake_one(&self, provider: &ProviderName) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.lock().wake_after(provider, 0);
        }
    }

    /// A whole credential, or more, became free.
    pub(crate) fn wake_all(&self, provider: &ProviderName) {
        if self.count.load(Ordering::SeqCst) > 0
            && let Some(queue) = self.lock().by_provider.get_mut(provider)
        {
            queue.values_mut().for_each(Waiter::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits to be woken. Cancel safe: a turn is taken only when this returns.
    pub(crate) async fn woken(&self) {
        poll_fn(|context| {
            let mut queues = self.waiting.lock();
            let Some(waiter) = queues
                .by_provider
                .get_mut(&self.provider)
                .and_then(|queue| queue.get_mut(&self.ticket))
            else {
                return Poll::Ready(());
            };
            if waiter.awake {
                return Poll::Ready(());
            }
            waiter.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// How many wait for this Provider, this one included.
    pub(crate) fn crowd(&self) -> u32 {
        let queues = self.waiting.lock();
        let queue = queues.by_provider.get(&self.provider);
        queue.map_or(1, |queue| u32::try_from(queue.len()).unwrap_or(u32::MAX))
    }

    /// Begins a look. A turn that comes from now on leads to another one.
    pub(crate) fn look(&self) {
        self.with(|waiter| waiter.looking |= std::mem::take(&mut waiter.awake));
    }

    /// Ends a look in vain; if a turn had led to it, the next in line looks.
    pub(crate) fn pass_on(&self) {
        let mut turn = false;
        self.with(|waiter| turn = std::mem::take(&mut waiter.looking));
        if turn {
            self.waiting.lock().wake_after(&self.provider, self.ticket);
        }
    }

    /// Leaves the queue with a credential: the turn is used up.
    pub(crate) fn served(self) {
        self.with(|waiter| waiter.looking = false);
    }

    fn with(&self, change: impl FnOnce(&mut Waiter)) {
        if let Some(waiter) = self
            .waiting
            .lock()
            .by_provider
            .get_mut(&self.provider)
            .and_then(|queue| queue.get_mut(&self.ticket))
        {
            change(waiter);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queues = self.waiting.lock();
        let Some(queue) = queues.by_provider.get_mut(&self.provider) else {
            return;
        };
        let turn = queue
            .remove(&self.ticket)
            .is_some_and(|waiter| waiter.awake || waiter.looking);
        if queue.is_empty() {
            queues.by_provider.remove(&self.provider);
        } else if turn {
            queues.wake_after(&self.provider, self.ticket);
        }
        drop(queues);
        self.waiting.count.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Queues {
    fn wake_after(&mut self, provider: &ProviderName, ticket: u64) {
        if let Some(queue) = self.by_provider.get_mut(provider)
            && let Some((_, waiter)) = queue
                .range_mut((Bound::Excluded(ticket), Bound::Unbounded))
                .find(|(_, waiter)| !waiter.awake)
        {
            waiter.wake();
        }
    }
}

impl Waiter {
    fn wake(&mut self) {
        self.awake = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
