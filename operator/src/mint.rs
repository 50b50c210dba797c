//! Mints client keys: makes the Secrets of `ClientKey`s with a `target`, and replaces the keys in them.
//!
//! [`decide()`] says what has to be done, from the object, its Secret and the time; [`settle()`] does it, by
//! compare-and-swap, and [`run`] does so for every `ClientKey` when it is due. The Secret is the state, so nothing is
//! lost with a process, and two that both believe they lead come to one key.

mod decide;
mod keys;
mod settle;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use kube::Client;
use pool::Clock;
use resources::{Identity, Kind, Object, Objects, kinds::ClientKey};
use snapshot::{ObjectName, Timestamp};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

pub use decide::{Change, Decision, decide};
pub(crate) use keys::LABELS;
pub use keys::{Facts, facts};
pub use settle::{MintError, settle};

use crate::published::Publications;

/// How many Secrets are written at the same time.
const AT_A_TIME: usize = 8;

/// How long to wait before something is tried again: the first time and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long to trust that nothing is due: the machine's clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// Mints and rotates while this replica leads. Returns when nothing is published any more, or nobody says who leads.
pub async fn run(
    client: Client,
    mut publications: Publications,
    mut leads: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
) {
    let mut tries = Tries::default();
    loop {
        let objects = publications
            .borrow_and_update()
            .as_ref()
            .map(|published| published.objects.clone());
        let is_leader = *leads.borrow_and_update();
        let next = match objects {
            Some(objects) if is_leader => pass(&client, &objects, &mut tries, &*clock).await,
            _ => None,
        };
        let next = next.map_or(LONGEST_SLEEP, |next| next.min(LONGEST_SLEEP));
        let over = tokio::select! {
            changed = publications.changed() => changed.is_err(),
            changed = leads.changed() => changed.is_err(),
            () = sleep_until(Instant::now() + next) => false,
        };
        if over {
            return;
        }
    }
}

/// Does what is due, and says after how long something is due next.
async fn pass(client: &Client, objects: &Objects, tries: &mut Tries, clock: &dyn Clock) -> Option<Duration> {
    let now = clock.now();
    let mut next: Option<Duration> = None;
    let mut sooner = |wait: Duration| next = Some(next.map_or(wait, |next| next.min(wait)));
    let mut due = Vec::new();
    let mut settled = Vec::new();
    for (identity, object) in objects.iter() {
        let Object::ClientKey(object) = object else {
            continue;
        };
        match seen(objects, &identity.name, object, now) {
            Decision::Wait { until } => {
                settled.push(identity.name.clone());
                if let Some(until) = until {
                    sooner(until.since(now));
                }
            }
            Decision::Refuse => settled.push(identity.name.clone()),
            Decision::Create | Decision::Replace | Decision::Write(_) => due.push(identity.name.clone()),
        }
    }
    tries.keep(&due, &settled);
    let start = Instant::now();
    let settled_one = |name: ObjectName| async move {
        let done = settle(client, &name, clock).await;
        (name, done)
    };
    let ready = due.iter().filter(|name| tries.is_ready(name, start)).cloned();
    let mut work = stream::iter(ready.map(settled_one).collect::<Vec<_>>()).buffer_unordered(AT_A_TIME);
    let mut done = Vec::new();
    while let Some((name, result)) = work.next().await {
        if let Err(error) = result {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(object = %name, error, "a client key is not minted yet");
        }
        done.push(name);
    }
    drop(work);
    // What was done is seen when it is published; until then it is not looked at again without end.
    for name in done {
        tries.tried(name, Instant::now());
    }
    if let Some(soonest) = tries.soonest() {
        sooner(soonest.saturating_duration_since(Instant::now()));
    }
    next
}

/// What has to be done as far as it was seen.
fn seen(objects: &Objects, name: &ObjectName, object: &ClientKey, now: Timestamp) -> Decision {
    let secret = object.spec.target.as_ref().and_then(|target| {
        let name = ObjectName::new(name.namespace(), &target.name).ok()?;
        let kind = Kind::Secret;
        match objects.get(&Identity { kind, name })? {
            Object::Secret(values) => Some(&**values),
            _ => None,
        }
    });
    decide(object, secret, now)
}

/// What was tried and is still due.
#[derive(Default)]
struct Tries(HashMap<ObjectName, Try>);

struct Try {
    /// How long to wait after the next one.
    wait: Duration,
    /// When it may be tried again.
    again: Instant,
}

impl Tries {
    fn keep(&mut self, due: &[ObjectName], settled: &[ObjectName]) {
        if self.0.is_empty() {
            return;
        }
        for name in settled {
            self.0.remove(name);
        }
        // What is neither is deleted.
        self.0.retain(|name, _| due.binary_search(name).is_ok());
    }

    fn is_ready(&self, name: &ObjectName, now: Instant) -> bool {
        self.0.get(name).is_none_or(|tried| tried.again <= now)
    }

    fn tried(&mut self, name: ObjectName, now: Instant) {
        let (first, most) = RETRY;
        let tried = self.0.entry(name).or_insert(Try {
            wait: first,
            again: now,
        });
        tried.again = now + tried.wait;
        tried.wait = (tried.wait * 2).min(most);
    }

    fn soonest(&self) -> Option<Instant> {
        self.0.values().map(|tried| tried.again).min()
    }
}
