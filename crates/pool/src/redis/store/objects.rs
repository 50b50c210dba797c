//! Which credential holds which object of an upstream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use snapshot::{CredentialName, Timestamp};
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, Sender},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    ObjectId, StoreAway,
    redis::{
        link::{Link, Urgency},
        reply::text,
        tag::Context,
    },
};

/// Remembers objects in the store. Each is a key of its own, which says no more than a hash and a name.
#[derive(Debug)]
pub(super) struct Objects {
    link: Link,
    prefix: String,
    outbox: Sender<Note>,
    unwritten: Arc<AtomicUsize>,
    _postman: Arc<Task>,
}

/// What is to be written: two keys with the same value, since a call may name an object's Provider or not.
#[derive(Debug)]
struct Note {
    keys: [String; 2],
    value: String,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

/// How long an object is remembered: 30 days.
const TTL_SECONDS: u64 = 30 * 24 * 3600;
/// How often it is looked whether all is written.
const LOOK: Duration = Duration::from_millis(5);
/// Objects that wait to be written; beyond it they are known to this process alone.
const WAITING: usize = 10_000;

impl Objects {
    pub(super) fn new(context: &Context) -> Self {
        let (outbox, mut inbox) = mpsc::channel::<Note>(WAITING);
        let writer = context.link.clone();
        let unwritten: Arc<AtomicUsize> = Arc::default();
        let written = Arc::clone(&unwritten);
        let postman = Handle::current().spawn(async move {
            while let Some(note) = inbox.recv().await {
                let mut changes = writer.changes();
                for key in &note.keys {
                    let mut command = redis::cmd("SET");
                    command.arg(key).arg(&note.value).arg("EX").arg(TTL_SECONDS);
                    while writer
                        .command("set", &command, Urgency::Background)
                        .await
                        .is_err()
                    {
                        if writer.is_up() {
                            break;
                        }
                        if changes.changed().await.is_err() {
                            return;
                        }
                    }
                }
                written.fetch_sub(1, Ordering::Release);
            }
        });
        Self {
            link: context.link.clone(),
            prefix: context.prefix.clone(),
            outbox,
            unwritten,
            _postman: Arc::new(Task(postman)),
        }
    }

    /// Begins to write down that a credential of the Provider whose tag has this key holds an object.
    pub(super) fn remember(&self, now: Timestamp, tag: &str, object: ObjectId, credential: &CredentialName) {
        let until = (now + Duration::from_secs(TTL_SECONDS)).as_micros();
        let note = Note {
            keys: [key(&self.prefix, object), format!("{tag}:b:{:032x}", object.0)],
            value: format!("{}|{until}|{}", credential.name(), credential.namespace()),
        };
        // Counted before it can be written.
        self.unwritten.fetch_add(1, Ordering::Release);
        if self.outbox.try_send(note).is_err() {
            // A full outbox means that the store has been away for long: this process still knows.
            self.unwritten.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits until all is written.
    pub(super) async fn heard(&self) {
        while self.unwritten.load(Ordering::Acquire) > 0 {
            sleep(LOOK).await;
        }
    }

    /// Asks the store.
    pub(super) async fn recall(
        &self,
        now: Timestamp,
        object: ObjectId,
    ) -> Result<Option<CredentialName>, StoreAway> {
        let mut command = redis::cmd("GET");
        command.arg(key(&self.prefix, object));
        let value = self.link.command("get", &command, Urgency::Awaited).await;
        Ok(holder(text(&value.map_err(|_| StoreAway)?), now))
    }
}

/// The credential that a value names, unless it is too old.
fn holder(value: &str, now: Timestamp) -> Option<CredentialName> {
    let mut parts = value.split('|');
    let (name, until, namespace) = (parts.next()?, parts.next()?, parts.next()?);
    let until = Timestamp::from_micros(until.parse().ok()?);
    (until > now).then(|| CredentialName::new(namespace, name).ok())?
}

fn key(prefix: &str, object: ObjectId) -> String {
    format!("{prefix}:o:{:032x}", object.0)
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
