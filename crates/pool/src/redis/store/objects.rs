//! Which credential holds which object of an upstream.

use std::sync::Arc;

use snapshot::CredentialName;
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, Sender},
    task::JoinHandle,
};

use crate::redis::{
    link::{Link, Urgency},
    reply::text,
};

/// Remembers objects in the store. Each is a key of its own, which says no more than a hash and a name.
#[derive(Debug)]
pub(super) struct Objects {
    link: Link,
    outbox: Sender<(u128, CredentialName)>,
    _postman: Arc<Task>,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

/// How long an object is remembered: 30 days.
const TTL_SECONDS: u64 = 30 * 24 * 3600;
/// Objects that wait to be written; beyond it they are known to this process alone.
const WAITING: usize = 10_000;

impl Objects {
    pub(super) fn new(link: &Link) -> Self {
        let (outbox, mut inbox) = mpsc::channel::<(u128, CredentialName)>(WAITING);
        let writer = link.clone();
        let postman = Handle::current().spawn(async move {
            while let Some((object, credential)) = inbox.recv().await {
                let mut changes = writer.changes();
                let mut command = redis::cmd("SET");
                command
                    .arg(key(&writer, object))
                    .arg(credential.as_str())
                    .arg("EX")
                    .arg(TTL_SECONDS);
                while writer.command("set", &command, Urgency::Background).await.is_err() {
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
            link: link.clone(),
            outbox,
            _postman: Arc::new(Task(postman)),
        }
    }

    /// Begins to write it down.
    pub(super) fn remember(&self, object: u128, credential: &CredentialName) {
        // A full outbox means that the store has been away for long: this process still knows.
        let _ = self.outbox.try_send((object, credential.clone()));
    }

    /// Asks the store.
    pub(super) async fn recall(&self, object: u128) -> Option<CredentialName> {
        let mut command = redis::cmd("GET");
        command.arg(key(&self.link, object));
        let value = self.link.command("get", &command, Urgency::Awaited).await.ok()?;
        text(&value).parse().ok()
    }
}

fn key(link: &Link, object: u128) -> String {
    format!("{}:o:{object:032x}", link.prefix())
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
