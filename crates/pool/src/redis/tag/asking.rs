//! Picks that wait to be asked for together with others of their Provider.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use snapshot::{Calendar, CallLimits, QuotaWindow};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

use super::Tag;
use crate::{
    Lane,
    redis::{
        encode::{definition, name_calendars},
        record::Record,
    },
};

/// The queue of those who wait to be asked for.
#[derive(Debug, Default)]
pub(in crate::redis) struct Asking {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Whether a question is on its way for those who waited, or many waited for the last one.
    is_crowded: bool,
    /// Since when somebody asks who did not have to wait.
    alone: Option<Instant>,
    /// Something is not usual: until then it is of no use to ask together.
    apart_until: Option<Instant>,
}

/// A call that wants a credential, and to be let in where its caller has limits.
#[derive(Debug)]
pub(in crate::redis) struct Asker {
    /// What is asked for.
    pub(in crate::redis) want: Want,
    /// Who asks.
    pub(in crate::redis) caller: Option<LimitedCaller>,
}

/// One who waits to be asked for.
#[derive(Debug)]
pub(in crate::redis) struct Waiting {
    /// The call.
    pub(in crate::redis) asker: Asker,
    /// Where the answer goes.
    pub(in crate::redis) answer: oneshot::Sender<Answer>,
}

/// One who asks without having waited. Others wait until this is dropped.
#[derive(Debug)]
pub(in crate::redis) struct Alone<'a>(&'a Asking);

/// What is asked for. Calls that want the same are asked for together.
#[derive(Clone, Debug)]
pub(in crate::redis) struct Want {
    /// The state of the store that the Provider's tag is registered with.
    pub(in crate::redis) epoch: Arc<str>,
    /// The credentials, and the upstream's model.
    pub(in crate::redis) lane: Arc<Lane>,
    /// Calls in flight that the Provider takes at most.
    pub(in crate::redis) concurrency: Option<u32>,
    /// Tokens to hold on the credential.
    pub(in crate::redis) hold: u64,
}

/// A caller that has limits.
#[derive(Clone, Debug)]
pub(in crate::redis) struct LimitedCaller {
    /// Its tag.
    pub(in crate::redis) tag: Arc<Tag>,
    /// The state of the store that its tag is registered with.
    pub(in crate::redis) epoch: Arc<str>,
    /// What it may use, as the scripts take it, and the calendars that this names.
    pub(in crate::redis) limits: Arc<Limits>,
    /// Tokens to hold.
    pub(in crate::redis) hold: u64,
}

/// What a caller may use, as the scripts take it.
#[derive(Debug)]
pub(in crate::redis) struct Limits {
    /// The text of it.
    pub(in crate::redis) definition: Arc<str>,
    /// The calendars that it names.
    pub(in crate::redis) calendars: Vec<(String, Calendar)>,
}

/// What came of asking.
#[derive(Debug)]
pub(in crate::redis) enum Answer {
    /// A place with the caller, where it has limits, and a lease.
    Given(Given),
    /// It is not as usual, or there is no room: it is to be asked for alone.
    Apart,
    /// The store is away. What may have been given is given up.
    Away,
}

/// A place with the caller, where it has limits, and a lease, on their way to who asked. They are given back where that one
/// has left meanwhile, also when it was told and did not hear it any more.
#[derive(Debug)]
pub(in crate::redis) struct Given {
    taken: Taken,
    /// Who takes them back; `None` once they have arrived.
    unclaimed: Option<Unclaimed>,
}

/// What was given.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::redis) struct Taken {
    /// The credential's position in its lane; `None` for one that this process does not know.
    pub(in crate::redis) position: Option<usize>,
    /// The lease.
    pub(in crate::redis) lease: u64,
    /// The sequence number of the pick.
    pub(in crate::redis) sequence: u64,
    /// The caller's place; of no meaning where it has no limits.
    pub(in crate::redis) seat: u64,
}

#[derive(Debug)]
struct Unclaimed {
    tag: Arc<Tag>,
    lane: Arc<Lane>,
    caller: Option<LimitedCaller>,
}

/// For how long calls ask alone after something was not usual.
const APART: Duration = Duration::from_millis(10);

impl Want {
    /// Whether both can be asked for in one go.
    fn is_like(&self, other: &Self) -> bool {
        self.lane.id() == other.lane.id()
            && self.hold == other.hold
            && self.concurrency == other.concurrency
            && self.epoch == other.epoch
    }
}

impl Given {
    /// What was taken for an asker of `tag`.
    pub(in crate::redis) fn new(
        taken: Taken,
        tag: &Arc<Tag>,
        want: Want,
        caller: Option<LimitedCaller>,
    ) -> Self {
        let unclaimed = Unclaimed {
            tag: Arc::clone(tag),
            lane: want.lane,
            caller,
        };
        Self {
            taken,
            unclaimed: Some(unclaimed),
        }
    }

    /// Takes it over: whoever does gives it back from now on.
    pub(in crate::redis) fn claim(mut self) -> Taken {
        self.unclaimed = None;
        self.taken
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let Some(Unclaimed { tag, lane, caller }) = self.unclaimed.take() else {
            return;
        };
        tag.say(Record::cancel(self.taken.lease, lane.model()));
        if let Some(caller) = caller {
            let leave = Record::leave(self.taken.seat, None, &caller.limits.definition);
            caller.tag.say(leave);
        }
    }
}

impl Limits {
    pub(super) fn new(per_call: &CallLimits, budgets: &[QuotaWindow]) -> Self {
        let mut calendars = Vec::new();
        name_calendars(budgets, &mut calendars);
        Self {
            definition: definition(1, per_call, budgets),
            calendars,
        }
    }
}

impl LimitedCaller {
    /// Whether both come in under the same terms.
    pub(in crate::redis) fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tag, &other.tag)
            && self.hold == other.hold
            && self.epoch == other.epoch
            && self.limits.definition == other.limits.definition
    }
}

impl Asking {
    /// Whether asking together is of use at present.
    pub(in crate::redis) fn is_open(&self) -> bool {
        let mut state = self.state();
        match state.apart_until {
            Some(until) if until > Instant::now() => false,
            Some(_) => {
                state.apart_until = None;
                true
            }
            None => true,
        }
    }

    /// Something is not usual.
    pub(in crate::redis) fn ask_apart(&self) {
        self.state().apart_until = Some(Instant::now() + APART);
    }

    /// Where nobody asks or waits, nor is about to: the right to ask at once.
    pub(in crate::redis) fn alone(&self) -> Option<Alone<'_>> {
        let mut state = self.state();
        if state.alone.is_some() || state.is_crowded || !state.waiting.is_empty() {
            return None;
        }
        state.alone = Some(Instant::now());
        Some(Alone(self))
    }

    /// Joins the queue. Dropping the receiver leaves it, or gives back what was given.
    pub(in crate::redis) fn join(&self, asker: Asker) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        self.state().waiting.push_back(Waiting { asker, answer });
        self.wake.notify_one();
        receiver
    }

    /// Waits until somebody is in the queue, and who asks alone has been answered or waits for longer than this. For
    /// one task.
    pub(in crate::redis) async fn joined(&self, overtake: Duration) {
        loop {
            let not_before = {
                let state = self.state();
                match state.alone.map(|since| since + overtake) {
                    _ if state.waiting.is_empty() => None,
                    Some(moment) if moment > Instant::now() => Some(moment),
                    _ => return,
                }
            };
            match not_before {
                None => self.wake.notified().await,
                Some(moment) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = sleep_until(moment) => {}
                },
            }
        }
    }

    /// Notes whether a question is on its way, or others are about to ask too.
    pub(in crate::redis) fn set_crowded(&self, is_crowded: bool) {
        self.state().is_crowded = is_crowded;
    }

    /// Takes those out who want what the first one wants, at most so many, those of one caller side by side.
    pub(in crate::redis) fn take(&self, most: usize) -> Vec<Waiting> {
        let mut state = self.state();
        let mut taken: Vec<Waiting> = Vec::new();
        let mut others = VecDeque::new();
        while let Some(waiting) = state.waiting.pop_front() {
            if waiting.answer.is_closed() {
                continue;
            }
            let asker = &waiting.asker;
            match taken.first() {
                Some(_) if taken.len() >= most => others.push_back(waiting),
                Some(first) if !first.asker.want.is_like(&asker.want) => others.push_back(waiting),
                _ => {
                    let place = taken.iter().rposition(|known| asker.is_with(&known.asker));
                    taken.insert(place.map_or(taken.len(), |place| place + 1), waiting);
                }
            }
        }
        state.waiting = others;
        taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.alone = None;
        let others_wait = !state.waiting.is_empty();
        drop(state);
        if others_wait {
            self.0.wake.notify_one();
        }
    }
}

impl Asker {
    /// Whether both come from one caller under the same terms.
    pub(in crate::redis) fn is_with(&self, other: &Self) -> bool {
        match (&self.caller, &other.caller) {
            (Some(one), Some(other)) => one.is_like(other),
            (None, None) => true,
            _ => false,
        }
    }
}
