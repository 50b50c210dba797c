//! Events: what happened to an object, for people who ask `kubectl describe`.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use resources::Identity;
use tokio::{sync::mpsc, time::interval};

use crate::{
    kubernetes::{FIELD_MANAGER, call},
    watch::Party,
};

/// Takes notes of what happened. Cheap to clone. When there are too many, the newest are left out: what is true at
/// present is in the status.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<Note>);

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The object.
    pub identity: Identity,
    /// Which life of it.
    pub uid: Option<String>,
    /// Whether somebody should look.
    pub is_warning: bool,
    /// What changed: a condition's type, or what was asked for.
    pub action: &'static str,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people. Never holds a secret.
    pub message: String,
}

/// Notes that wait at most.
const WAITING: usize = 512;
/// How long apart two are at least.
const APART: Duration = Duration::from_millis(50);
/// The longest message that an API server takes is 1 kB.
const LONGEST: usize = 900;

/// Notes go into one end, and [`run`] takes them out of the other.
pub fn channel() -> (Events, mpsc::Receiver<Note>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Events(sender), receiver)
}

impl Events {
    /// Takes a note.
    pub fn note(&self, note: Note) {
        if let Err(left_out) = self.0.try_send(note) {
            let note = left_out.into_inner();
            tracing::debug!(object = %note.identity, reason = note.reason, "an Event is left out");
        }
    }
}

/// Writes Events of the notes that come, at most 20 in a second, until nobody takes notes any more. `instance` is the
/// name of this replica. One that cannot be written is left out.
pub async fn run(client: Client, party: Party, instance: String, mut notes: mpsc::Receiver<Note>) {
    let reporter = Reporter {
        controller: FIELD_MANAGER.to_owned(),
        instance: Some(instance),
    };
    let recorder = Recorder::new(client, reporter);
    let mut pace = interval(APART);
    while let Some(note) = notes.recv().await {
        pace.tick().await;
        let object = note.reference();
        let event = note.event();
        match call(recorder.publish(&event, &object)).await {
            Ok(()) => party.works(),
            Err(error) => party.fails(&error),
        }
    }
}

impl Note {
    fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.identity.kind.api_version().to_owned()),
            kind: Some(self.identity.kind.as_str().to_owned()),
            namespace: Some(self.identity.name.namespace().to_owned()),
            name: Some(self.identity.name.name().to_owned()),
            uid: self.uid.clone(),
            ..ObjectReference::default()
        }
    }

    fn event(&self) -> Event {
        let mut message = self.message.clone();
        message.truncate(message.floor_char_boundary(LONGEST));
        Event {
            type_: if self.is_warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: self.reason.clone(),
            note: Some(message).filter(|message| !message.is_empty()),
            action: self.action.to_owned(),
            secondary: None,
        }
    }
}
