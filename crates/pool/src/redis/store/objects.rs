//! Which credential holds which object of an upstream.

use std::{sync::Arc, time::Duration};

use snapshot::{CredentialName, Timestamp};
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, Sender},
    task::JoinHandle,
};

use crate::redis::{
    link::{Link, Urgency},
    reply::text,
    tag::Context,
};

/// Remembers objects in the store. Each is a key of its own, which says no more than a hash and a name.
#[derive(Debug)]
pub(super) struct Objects {
    link: Link,
    prefix: String,
    outbox: Sender<(u128, String)>,
    _postman: Arc<Task>,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

/// How long an object is remembered: 30 days.
const TTL_SECONDS: u64 = 30 * 24 * 3600;
/// Objects that wait to be written; beyond it they are known to this process alone.
const WAITING: usize = 10_000;

impl Objects {
    pub(super) fn new(context: &Context) -> Self {
        let (outbox, mut inbox) = mpsc::channel::<(u128, String)>(WAITING);
        let (writer, prefix) = (context.link.clone(), context.prefix.clone());
        let postman = Handle::current().spawn(async move {
            while let Some((object, value)) = inbox.recv().await {
                let mut changes = writer.changes();
                let mut command = redis::cmd("SET");
                command
                    .arg(key(&prefix, object))
                    .arg(value)
                    .arg("EX")
                    .arg(TTL_SECONDS);
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
        });
        Self {
            link: context.link.clone(),
            prefix: context.prefix.clone(),
            outbox,
            _postman: Arc::new(Task(postman)),
        }
    }

    /// Begins to write it down.
    pub(super) fn remember(&self, now: Timestamp, object: u128, credential: &CredentialName) {
        let until = now + Duration::from_secs(TTL_SECONDS);
        // A full outbox means that the store has been away for long: this process still knows.
        let _ = self
            .outbox
            .try_send((object, format!("{credential}|{}", until.as_micros())));
    }

    /// Asks the store.
    pub(super) async fn recall(&self, now: Timestamp, object: u128) -> Option<CredentialName> {
        let mut command = redis::cmd("GET");
        command.arg(key(&self.prefix, object));
        let value = self.link.command("get", &command, Urgency::Awaited).await.ok()?;
        let (credential, until) = text(&value).split_once('|')?;
        let until = Timestamp::from_micros(until.parse().ok()?);
        (until > now).then(|| credential.parse().ok())?
    }
}

fn key(prefix: &str, object: u128) -> String {
    format!("{prefix}:o:{object:032x}")
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
