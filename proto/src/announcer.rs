//! The operator's end of a stream.

use std::sync::Arc;

use prost::Message as _;

use crate::{
    Contents, MESSAGE_LIMIT, Versions, chunks, diff,
    discovery::v1::{self, stream_response::Message},
    transfer::Chunks,
};

/// Tells one gateway what to serve: decides between all objects and a delta, and numbers what it says. Knows no
/// socket and no clock.
///
/// One version is under way at a time. What changes before it is answered is told afterwards in one step, so that a
/// slow gateway skips versions instead of lagging behind them.
#[derive(Debug)]
pub struct Announcer {
    /// What the gateway has.
    acked: Arc<Versions>,
    /// What was told last and is not answered yet.
    told: Option<Told>,
    /// What the gateway refused as a whole. It is not told again.
    refused: Option<Arc<Versions>>,
    /// Whether a delta was refused, so that all objects come next.
    is_lost: bool,
    sequence: u64,
}

#[derive(Debug)]
struct Told {
    versions: Arc<Versions>,
    is_whole: bool,
}

/// The messages that lead to a version, each made when it is asked for. All are sent before anything else.
#[derive(Debug)]
pub struct Update(Messages);

#[derive(Debug)]
enum Messages {
    All(Chunks),
    Delta(Option<v1::StreamResponse>),
}

impl Iterator for Update {
    type Item = v1::StreamResponse;

    fn next(&mut self) -> Option<v1::StreamResponse> {
        match &mut self.0 {
            Messages::All(chunks) => chunks.next(),
            Messages::Delta(delta) => delta.take(),
        }
    }
}

impl Announcer {
    /// Begins with what the gateway has, as it told in `Subscribe`; empty for one that has nothing.
    pub fn new(known: Versions) -> Self {
        Self {
            acked: Arc::new(known),
            told: None,
            refused: None,
            is_lost: false,
            sequence: 0,
        }
    }

    /// What to send so that the gateway comes to serve `contents`. `None` when it does, when it refused them, and
    /// while it has not answered the last update: then this is asked again after the answer.
    pub fn update(&mut self, contents: &Contents) -> Option<Update> {
        let versions = contents.versions();
        let is_refused = self.refused.as_ref() == Some(versions);
        if self.told.is_some() || is_refused || self.acked == *versions {
            return None;
        }
        let delta = self.delta(contents);
        self.told = Some(Told {
            versions: versions.clone(),
            is_whole: delta.is_none(),
        });
        Some(Update(if let Some(delta) = delta {
            self.sequence += 1;
            Messages::Delta(Some(response(Message::Delta(delta))))
        } else {
            self.sequence = 0;
            Messages::All(chunks(contents, MESSAGE_LIMIT))
        }))
    }

    /// What changed, when that is known and small enough for a message.
    fn delta(&self, contents: &Contents) -> Option<v1::Delta> {
        if self.is_lost || self.acked.snapshot.is_empty() {
            return None;
        }
        let delta = diff(&self.acked, contents, self.sequence + 1);
        (delta.encoded_len() <= MESSAGE_LIMIT).then_some(delta)
    }

    /// Takes an `Ack`, and tells whether it answers the last update.
    pub fn ack(&mut self, version: &str) -> bool {
        let Some(told) = self.answered(version) else {
            return false;
        };
        self.acked = told.versions;
        self.refused = None;
        self.is_lost = false;
        true
    }

    /// Takes a `Nack`, and tells whether it answers the last update. The gateway still has what it had. A delta
    /// that is refused is followed by all objects, once: the gateway may have had something else than it said.
    /// A `Nack` of no version is of whatever was told last.
    pub fn nack(&mut self, version: &str) -> bool {
        let told = match version {
            "" => self.told.take(),
            version => self.answered(version),
        };
        let Some(told) = told else {
            return false;
        };
        if told.is_whole {
            self.refused = Some(told.versions);
        } else {
            self.is_lost = true;
        }
        true
    }

    fn answered(&mut self, version: &str) -> Option<Told> {
        self.told.take_if(|told| *told.versions.snapshot == *version)
    }

    /// Says that the operator is there, and that `version` is to be served.
    pub fn mark(&mut self, version: &str) -> v1::StreamResponse {
        self.sequence += 1;
        response(Message::Mark(v1::Mark {
            sequence: self.sequence,
            version: version.to_owned(),
        }))
    }

    /// What the gateway has, as far as it said.
    pub const fn acked(&self) -> &Arc<Versions> {
        &self.acked
    }
}

const fn response(message: Message) -> v1::StreamResponse {
    v1::StreamResponse {
        message: Some(message),
    }
}
