//! One hash tag of the store: a Provider with its credentials, or a caller.
//!
//! A tag keeps what this process has to say until the store has heard it, in numbered batches that the
//! store applies once and in order. It also knows which leases this process holds there, so that a store
//! that has lost its state, or has given this process up for dead, learns of them again.

pub(super) mod asking;
mod batch;
mod beat;
mod context;
mod pace;
mod reconcile;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::HashMap;
use snapshot::{Calendar, CallLimits, QuotaWindow};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use self::{
    asking::{Asking, Limits},
    batch::Batch,
};
use super::{args::Args, encode::calendar_args, record::Record};
use crate::Lane;

pub(super) use self::{batch::Sending, context::Context, pace::Pace};

/// Whom a tag is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A Provider and its credentials.
    Provider(snapshot::ProviderName),
    /// A caller.
    Client(snapshot::ClientName),
}

/// One tag.
#[derive(Debug)]
pub(super) struct Tag {
    context: Arc<Context>,
    subject: Subject,
    /// The key of its hash; all its other keys begin with it.
    key: String,
    state: Mutex<State>,
    /// Picks that wait to be asked for.
    pub(super) asking: Asking,
    wake: Notify,
    registering: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// The state of the store that this process is registered with; `None` while that is not known.
    epoch: Option<Arc<str>>,
    /// The one before.
    former: Option<Arc<str>>,
    /// What is to be said.
    queue: VecDeque<Record>,
    /// Whether some of it must be heard before the next admission or pick.
    is_pressing: bool,
    /// What was said last and is not known to have been heard.
    batch: Option<Batch>,
    batches: u64,
    /// Leases that the store knows of, or will, and that have not been given back.
    open: HashMap<u64, Open>,
    /// Leases that were given up before they were known, and when.
    given_up: VecDeque<(u64, Instant)>,
    /// What accounts may use, as last heard.
    definitions: HashMap<Arc<str>, Arc<str>>,
    calendars: Vec<(String, Calendar)>,
    /// What the caller whose tag this is may use, and how the scripts take it.
    limits: Option<KnownLimits>,
    /// The lanes of the last picks, the newest last. They define accounts that no pick has led to yet.
    lanes: VecDeque<Arc<Lane>>,
    /// The version of the rests that this process has heard of.
    rests: String,
    beaten: Option<Instant>,
    /// When the store last heard that this process lives.
    signed: Option<Instant>,
    reconciled: Instant,
    /// Leases up to this one were taken, or given up, when it was last looked.
    horizon: u64,
    used: Instant,
    /// When something was last said, and whether that came soon after what was before.
    said: Instant,
    is_lively: bool,
    overflowed: bool,
}

/// A lease in the store.
#[derive(Clone, Debug)]
struct Open {
    account: Arc<str>,
    hold: u64,
}

/// What a caller may use, and how the scripts take it.
#[derive(Debug)]
struct KnownLimits {
    per_call: CallLimits,
    budgets: Vec<QuotaWindow>,
    text: Arc<Limits>,
}

/// How long what there is to say waits for company.
const LINGER: Duration = Duration::from_millis(1);
/// How soon a failed step is tried again while the store seems to be in reach.
const AGAIN: Duration = Duration::from_millis(50);
/// How often it is looked whether all was heard.
const HEARD: Duration = Duration::from_millis(5);
/// What is to be said at most; beyond it the oldest is lost.
const QUEUE: usize = 100_000;
/// Lanes that are remembered at most.
const LANES: usize = 64;
/// For how long a call that was given up may still come.
const STRAYS: Duration = Duration::from_secs(60);

impl Subject {
    /// The key of its tag's hash.
    pub(super) fn key(&self, prefix: &str) -> String {
        match self {
            Self::Provider(name) => format!("{prefix}:{{p:{name}}}"),
            Self::Client(name) => format!("{prefix}:{{c:{name}}}"),
        }
    }
}

impl Tag {
    pub(super) fn new(context: Arc<Context>, subject: Subject) -> Self {
        let now = Instant::now();
        Self {
            key: subject.key(&context.prefix),
            context,
            subject,
            state: Mutex::new(State {
                epoch: None,
                former: None,
                queue: VecDeque::new(),
                is_pressing: false,
                batch: None,
                batches: 0,
                open: HashMap::default(),
                given_up: VecDeque::new(),
                definitions: HashMap::default(),
                calendars: Vec::new(),
                limits: None,
                lanes: VecDeque::new(),
                rests: "0".to_owned(),
                beaten: None,
                signed: None,
                reconciled: now,
                horizon: 0,
                used: now,
                said: now,
                is_lively: false,
                overflowed: false,
            }),
            asking: Asking::default(),
            wake: Notify::new(),
            registering: tokio::sync::Mutex::new(()),
        }
    }

    /// The key of its hash.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whom it is about.
    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Says something, in its turn.
    pub(super) fn say(&self, mut record: Record) {
        let now = Instant::now();
        record.made(self.context.time_of(now));
        let mut state = self.state();
        state.is_lively = now.saturating_duration_since(state.said) < LINGER;
        state.said = now;
        state.push(record);
        drop(state);
        self.wake.notify_one();
    }

    /// A lease was picked in the store.
    pub(super) fn opened(&self, lease: u64, account: Arc<str>, hold: u64) {
        self.state().open.insert(lease, Open { account, hold });
    }

    /// A lease was taken without the store.
    pub(super) fn opened_away(&self, lease: u64, account: Arc<str>, hold: u64, definition: &str) {
        let mut record = Record::adopt(lease, &account, hold, true, definition);
        record.made(self.context.now());
        let mut state = self.state();
        state.open.insert(lease, Open { account, hold });
        state.push(record);
        drop(state);
        self.wake.notify_one();
    }

    /// Notes what an account may use, and the calendars that this names.
    pub(super) fn define(&self, account: &Arc<str>, definition: &Arc<str>, calendars: &[(String, Calendar)]) {
        if definition.is_empty() {
            return;
        }
        self.state().define(account, definition, calendars);
    }

    /// What the caller whose tag this is may use, as the scripts take it.
    pub(super) fn limits(&self, per_call: &CallLimits, budgets: &[QuotaWindow]) -> Arc<Limits> {
        let mut state = self.state();
        if let Some(known) = &state.limits
            && known.per_call == *per_call
            && known.budgets == budgets
        {
            return Arc::clone(&known.text);
        }
        let text = Arc::new(Limits::new(per_call, budgets));
        state.define(&"".into(), &text.definition, &text.calendars);
        state.limits = Some(KnownLimits {
            per_call: *per_call,
            budgets: budgets.to_vec(),
            text: Arc::clone(&text),
        });
        text
    }

    /// Notes the lanes of a pick.
    pub(super) fn know(&self, lanes: &[Arc<Lane>]) {
        let mut state = self.state();
        for lane in lanes {
            if state.lanes.iter().all(|known| known.id() != lane.id()) {
                if state.lanes.len() >= LANES {
                    state.lanes.pop_front();
                }
                state.lanes.push_back(Arc::clone(lane));
            }
        }
    }

    /// What an account may use, as last heard.
    pub(super) fn definition(&self, account: &str) -> Arc<str> {
        self.state().definition(account)
    }

    /// Notes that somebody uses it.
    pub(super) fn touch(&self) {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.state().used, now);
        if now.saturating_duration_since(before) > self.context.pace.active {
            self.wake.notify_one();
        }
    }

    /// Whether nothing is lost when it goes.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.used.elapsed() > self.context.pace.idle
            && state.open.is_empty()
            && state.queue.is_empty()
            && state.batch.is_none()
    }

    /// The state of the store that this process is registered with; registers where that is not known.
    pub(super) async fn epoch(&self) -> Result<Arc<str>, super::link::Away> {
        if let Some(epoch) = self.known_epoch() {
            return Ok(epoch);
        }
        let _one_at_a_time = self.registering.lock().await;
        if let Some(epoch) = self.known_epoch() {
            return Ok(epoch);
        }
        self.beat(super::link::Urgency::Awaited).await
    }

    /// The store does not know this state any more.
    pub(super) fn lost(&self, epoch: &str) {
        let mut state = self.state();
        if state.epoch.as_deref() == Some(epoch) {
            state.former = state.epoch.take();
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until the store has heard all that there is to say.
    pub(super) async fn heard(&self) {
        loop {
            {
                let state = self.state();
                if state.queue.is_empty() && state.batch.is_none() {
                    return;
                }
            }
            sleep(HEARD).await;
        }
    }

    /// Speaks with the store until the link is gone.
    pub(super) async fn run(&self) {
        let mut link = self.context.link.changes();
        loop {
            if !self.context.link.is_up() {
                if link.changed().await.is_err() {
                    return;
                }
                // What answers now may be another server.
                self.state().beaten = None;
                continue;
            }
            let step = if self.beat_is_due() {
                let _one_at_a_time = self.registering.lock().await;
                self.beat(super::link::Urgency::Background).await.map(drop)
            } else if self.reconciling_is_due() {
                self.reconcile().await
            } else if self.has_news() {
                // A pick meanwhile takes it along, and what else ends goes with it. Where calls are rare the next one
                // would only wait for it.
                if self.state().is_lively {
                    sleep(LINGER).await;
                }
                let Some(sending) = self.send() else { continue };
                sending.alone().await
            } else {
                let next = self.next_beat();
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = sleep_until(next) => {}
                    changed = link.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        self.state().beaten = None;
                    }
                }
                continue;
            };
            if step.is_err() {
                sleep(AGAIN).await;
            }
        }
    }

    /// The epoch, while the others do not take this process for dead.
    pub(super) fn known_epoch(&self) -> Option<Arc<str>> {
        let state = self.state();
        let fresh = state
            .signed
            .is_some_and(|signed| signed.elapsed() < self.context.pace.stale);
        state.epoch.clone().filter(|_| fresh)
    }

    fn beat_is_due(&self) -> bool {
        self.next_beat() <= Instant::now()
    }

    /// When the process has to say that it lives.
    fn next_beat(&self) -> Instant {
        let state = self.state();
        let Pace {
            beat, active, idle, ..
        } = self.context.pace;
        let active = state.used.elapsed() < active || !state.open.is_empty() || !state.queue.is_empty();
        match state.beaten {
            Some(beaten) if state.epoch.is_some() && active => beaten + beat,
            Some(beaten) if state.epoch.is_some() => beaten + idle,
            _ if active => Instant::now(),
            _ => state.used + idle,
        }
    }

    fn calendar_args(&self, state: &State) -> Args {
        calendar_args(state.calendars.iter(), self.context.now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn define(&mut self, account: &Arc<str>, definition: &Arc<str>, calendars: &[(String, Calendar)]) {
        if definition.is_empty() {
            return;
        }
        if self.definitions.get(account) != Some(definition) {
            self.definitions
                .insert(Arc::clone(account), Arc::clone(definition));
        }
        for calendar in calendars {
            if !self.calendars.contains(calendar) {
                self.calendars.push(calendar.clone());
            }
        }
    }

    fn definition(&mut self, account: &str) -> Arc<str> {
        if let Some(known) = self.definitions.get(account) {
            return Arc::clone(known);
        }
        let found = self.lanes.iter().rev().find_map(|lane| {
            let text = lane.text().definitions.get(lane.position_of(account)?)?;
            Some((Arc::clone(lane), Arc::clone(text)))
        });
        let Some((lane, definition)) = found else {
            return "".into();
        };
        self.define(&account.into(), &definition, &lane.text().calendars);
        definition
    }

    fn push(&mut self, record: Record) {
        if self.queue.len() >= QUEUE {
            if let Some(ends) = self.queue.pop_front().and_then(|record| record.ends()) {
                self.open.remove(&ends);
            }
            if !std::mem::replace(&mut self.overflowed, true) {
                tracing::warn!("the store is away for so long that limits forget what was used meanwhile");
            }
        }
        self.is_pressing |= !record.can_wait();
        self.queue.push_back(record);
    }
}
