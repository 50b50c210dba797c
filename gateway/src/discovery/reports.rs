//! What upstreams say of credentials, on its way to operators.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pool::Clock;
use proto::Reported;
use snapshot::{Credential, CredentialName, RestReason, Snapshot, Timestamp};
use tokio::{sync::watch, time::sleep};

/// Reports kept at most; the oldest go first.
const MOST: usize = 8192;
/// How long reports are collected before they are told: only the last of each kind is.
const COLLECT: Duration = Duration::from_millis(250);

/// Takes what upstreams say of credentials. The last report of each kind is kept while it holds, for replicas that connect
/// later as well. Cheap to clone; the default takes nothing.
#[derive(Clone, Default)]
pub struct Reports(Option<Arc<Table>>);

struct Table {
    clock: Arc<dyn Clock>,
    rows: Mutex<Rows>,
    /// The number of the last report.
    latest: watch::Sender<u64>,
}

#[derive(Default)]
struct Rows {
    numbered: u64,
    /// `None` stands for a recovery.
    by_kind: HashMap<(CredentialName, Option<RestReason>), (u64, Reported)>,
}

impl Reports {
    /// Keeps what it takes.
    pub(super) fn kept(clock: Arc<dyn Clock>) -> Self {
        Self(Some(Arc::new(Table {
            clock,
            rows: Mutex::default(),
            latest: watch::Sender::new(0),
        })))
    }

    /// A credential rests. `until` is what the upstream said of its end.
    pub(crate) fn rests(&self, credential: &Credential, reason: RestReason, until: Option<Timestamp>) {
        self.put(credential, Some(reason), until);
    }

    /// A call succeeded after the credential had rested.
    pub(crate) fn recovered(&self, credential: &Credential) {
        self.put(credential, None, None);
    }

    fn put(&self, credential: &Credential, rests: Option<RestReason>, until: Option<Timestamp>) {
        let Some(table) = &self.0 else { return };
        let reported = Reported {
            credential: credential.name.clone(),
            secret_version: credential.secret_version.clone(),
            rests,
            until,
        };
        let mut rows = table.lock();
        // A recovery ends what was reported before, and is no news after another rest.
        rows.by_kind
            .retain(|(name, kind), _| *name != credential.name || (rests.is_some() && kind.is_some()));
        if rows.by_kind.len() >= MOST {
            let oldest = rows.by_kind.iter().min_by_key(|(_, (number, _))| *number);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                rows.by_kind.remove(&oldest);
            }
        }
        rows.numbered += 1;
        let number = rows.numbered;
        rows.by_kind
            .insert((credential.name.clone(), rests), (number, reported));
        drop(rows);
        table.latest.send_replace(number);
    }

    /// Forgets what was said of secrets that are not served any more.
    pub(super) fn keep_those_of(&self, snapshot: &Snapshot) {
        let Some(table) = &self.0 else { return };
        table.lock().by_kind.retain(|(name, _), (_, reported)| {
            let now = snapshot.credentials.get(name);
            now.is_some_and(|now| now.secret_version == reported.secret_version)
        });
    }

    /// Waits for reports after number `seen` and gives them in their order, with the number of the last. Cancel safe.
    pub(super) async fn after(&self, seen: u64) -> (Vec<Reported>, u64) {
        let Some(table) = &self.0 else {
            return std::future::pending().await;
        };
        // The sender lives as long as this.
        let _ = table.latest.subscribe().wait_for(|latest| *latest > seen).await;
        sleep(COLLECT).await;
        let now = table.clock.now();
        let mut rows = table.lock();
        rows.by_kind
            .retain(|_, (_, reported)| reported.until.is_none_or(|until| until > now));
        let mut new: Vec<_> = rows
            .by_kind
            .values()
            .filter(|(number, _)| *number > seen)
            .cloned()
            .collect();
        new.sort_by_key(|(number, _)| *number);
        (
            new.into_iter().map(|(_, reported)| reported).collect(),
            rows.numbered,
        )
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
