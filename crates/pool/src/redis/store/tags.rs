//! The tags that this process uses, each with the task that speaks for it.

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use tokio::{runtime::Handle, task::JoinHandle, time::sleep};

use super::together;
use crate::redis::tag::{Context, Subject, Tag};

/// The tags in use.
#[derive(Debug)]
pub(super) struct Tags {
    context: Arc<Context>,
    known: Arc<RwLock<HashMap<Subject, Voice>>>,
    runtime: Handle,
    sweeper: JoinHandle<()>,
}

#[derive(Debug)]
struct Voice {
    tag: Arc<Tag>,
    task: JoinHandle<()>,
    /// Asks for those who want something of a Provider.
    asker: Option<JoinHandle<()>>,
}

impl Tags {
    /// No tags yet. Called inside a runtime, as a link is.
    pub(super) fn new(context: Arc<Context>) -> Self {
        let known: Arc<RwLock<HashMap<Subject, Voice>>> = Arc::default();
        let runtime = Handle::current();
        let (swept, every) = (Arc::clone(&known), context.pace.sweep);
        let sweeper = runtime.spawn(async move {
            loop {
                sleep(every).await;
                let mut known = swept.write().unwrap_or_else(PoisonError::into_inner);
                known.retain(|_, voice| !voice.tag.is_idle());
            }
        });
        Self {
            context,
            known,
            runtime,
            sweeper,
        }
    }

    /// The tag of a subject.
    pub(super) fn get(&self, subject: Subject) -> Arc<Tag> {
        if let Some(voice) = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&subject)
        {
            // While this lock is held it is not let go, and then it is not idle.
            voice.tag.touch();
            return Arc::clone(&voice.tag);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let voice = known.entry(subject.clone()).or_insert_with(|| {
            let tag = Arc::new(Tag::new(Arc::clone(&self.context), subject));
            let speaker = Arc::clone(&tag);
            let asks = matches!(tag.subject(), Subject::Provider(_));
            let (context, asker) = (Arc::clone(&self.context), Arc::clone(&tag));
            Voice {
                tag,
                task: self.runtime.spawn(async move { speaker.run().await }),
                asker: asks.then(|| self.runtime.spawn(together::serve(context, asker))),
            }
        });
        voice.tag.touch();
        Arc::clone(&voice.tag)
    }

    /// The tag of a subject, if this process uses it.
    pub(super) fn known(&self, subject: &Subject) -> Option<Arc<Tag>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(subject).map(|voice| Arc::clone(&voice.tag))
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Tag>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|voice| Arc::clone(&voice.tag)).collect()
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(asker) = &self.asker {
            asker.abort();
        }
    }
}

impl Drop for Tags {
    fn drop(&mut self) {
        self.sweeper.abort();
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
