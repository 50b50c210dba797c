//! Reads the Secrets and `ConfigMap`s that are referred to, a few at a time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::{Client, api::GetParams, core::Request};
use resources::Identity;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, sleep},
};

use super::{contact::Contact, decode, follow::path};
use crate::{
    index::{Event, Fetched},
    kubernetes::{CallError, Pauses, call},
};

/// Calls at a time.
const CALLS: usize = 16;

/// How long a refusal has to last. An API server that starts refuses what it does not know yet to be allowed.
const REFUSED: Duration = Duration::from_secs(5);

/// Reads what it is asked for, and tells it as events.
pub(super) struct Readers {
    client: Client,
    contact: Contact,
    events: mpsc::Sender<Event>,
    permits: Arc<Semaphore>,
    tasks: JoinSet<()>,
    asking: HashMap<Identity, AbortHandle>,
}

impl Readers {
    pub(super) fn new(client: Client, contact: Contact, events: mpsc::Sender<Event>) -> Self {
        Self {
            client,
            contact,
            events,
            permits: Arc::new(Semaphore::new(CALLS)),
            tasks: JoinSet::new(),
            asking: HashMap::new(),
        }
    }

    /// Asks for it until an answer says what it is. Who asked before stops.
    pub(super) fn fetch(&mut self, identity: Identity) {
        let reader = Reader {
            client: self.client.clone(),
            contact: self.contact.clone(),
            events: self.events.clone(),
            permits: self.permits.clone(),
            identity: identity.clone(),
        };
        let task = self.tasks.spawn(reader.run());
        if let Some(before) = self.asking.insert(identity, task) {
            before.abort();
        }
    }

    /// Stops to ask for it.
    pub(super) fn forget(&mut self, identity: &Identity) {
        if let Some(task) = self.asking.remove(identity) {
            task.abort();
        }
    }

    /// Waits until one of them panics, and clears up after the others.
    pub(super) async fn failed(&mut self) -> JoinError {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) if error.is_panic() => return error,
                Some(_) => self.asking.retain(|_, task| !task.is_finished()),
                None => std::future::pending().await,
            }
        }
    }
}

struct Reader {
    client: Client,
    contact: Contact,
    events: mpsc::Sender<Event>,
    permits: Arc<Semaphore>,
    identity: Identity,
}

impl Reader {
    async fn run(self) {
        let party = self.contact.party(self.identity.to_string());
        let mut pauses = Pauses::default();
        let mut refused_since = None;
        loop {
            match self.get().await {
                Ok(fetched) => {
                    party.works();
                    self.tell(fetched).await;
                    return;
                }
                Err(error) => {
                    party.fails(&error);
                    if error.is_outage() {
                        refused_since = None;
                    } else if refused_since.get_or_insert_with(Instant::now).elapsed() > REFUSED {
                        self.tell(Fetched::Denied(format!("it cannot be read: {error}")))
                            .await;
                    }
                }
            }
            sleep(pauses.longer()).await;
        }
    }

    async fn tell(&self, fetched: Fetched) {
        // Nobody listens only at the end of the process.
        let _ = self
            .events
            .send(Event::Fetched(self.identity.clone(), fetched))
            .await;
    }

    async fn get(&self) -> Result<Fetched, CallError> {
        let _permit = self.permits.acquire().await;
        let name = &self.identity.name;
        let request = Request::new(path(self.identity.kind, Some(name.namespace())));
        let request = request.get(name.name(), &GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        match call(self.client.request_text(request)).await {
            Ok(text) => decode::values(self.identity.kind, text).map_err(|unexpected| CallError::Refused {
                code: 200,
                reason: "Unexpected".to_owned(),
                message: unexpected.to_string(),
            }),
            Err(error) if error.code() == Some(404) => Ok(Fetched::Missing),
            Err(error) => Err(error),
        }
    }
}
