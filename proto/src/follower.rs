//! The gateway's end of a stream.

use crate::{
    Assembler, Contents, Refused, TRANSFER_LIMIT, apply,
    discovery::v1::{self, stream_response::Message},
};

/// Follows one stream: takes what the operator says in its order, and gives what is to be served. Knows no socket.
///
/// A gateway has one for each operator replica, as each replica's changes build upon what that replica sent.
#[derive(Default)]
pub struct Follower {
    contents: Option<Contents>,
    sequence: u64,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Settled,
    Receiving(Box<Assembler>),
    /// A part of a transfer was refused; the rest of it is passed over.
    Refusing,
}

/// A version that is refused. The former one stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {version:?} is refused")]
pub struct Refusal {
    /// Which; empty for a message that is of no version.
    pub version: String,
    /// Why.
    #[source]
    pub refused: Refused,
}

impl From<Refusal> for v1::Nack {
    fn from(refusal: Refusal) -> Self {
        Self {
            reason: refusal.refused.to_string(),
            version: refusal.version,
        }
    }
}

impl Follower {
    /// Begins with what the gateway has, which it has told in `Subscribe`.
    pub const fn new(contents: Option<Contents>) -> Self {
        Self {
            contents,
            sequence: 0,
            state: State::Settled,
        }
    }

    /// The last good contents of this stream.
    pub const fn contents(&self) -> Option<&Contents> {
        self.contents.as_ref()
    }

    /// Takes a message, and gives what is to be served when it completes a version. After a refusal the stream goes
    /// on from the last good contents.
    pub fn accept(&mut self, response: v1::StreamResponse) -> Result<Option<Contents>, Refusal> {
        let state = std::mem::take(&mut self.state);
        let (version, complete) = match (response.message, state) {
            (Some(Message::Begin(begin)), _) => {
                self.sequence = 0;
                self.state = State::Receiving(Box::new(Assembler::new(begin, TRANSFER_LIMIT)));
                return Ok(None);
            }
            (Some(Message::Chunk(chunk)), State::Receiving(assembler)) => {
                let version = assembler.version().to_owned();
                match assembler.push(chunk) {
                    Ok(assembler) => {
                        self.state = State::Receiving(Box::new(assembler));
                        return Ok(None);
                    }
                    Err(refused) => {
                        self.state = State::Refusing;
                        (version, Err(refused))
                    }
                }
            }
            (Some(Message::End(end)), State::Receiving(assembler)) => {
                (assembler.version().to_owned(), assembler.finish(&end))
            }
            (Some(Message::Delta(delta)), State::Settled) => (delta.version.clone(), self.delta(delta)),
            (Some(Message::Mark(mark)), State::Settled) => match self.step(mark.sequence) {
                Ok(()) => return Ok(None),
                Err(refused) => (mark.version, Err(refused)),
            },
            // The rest of a transfer of which a part was refused.
            (Some(Message::Chunk(_)), State::Refusing) => {
                self.state = State::Refusing;
                return Ok(None);
            }
            (Some(Message::End(_)), State::Refusing) => return Ok(None),
            (message, state) => (self.interrupted(state), Err(out_of_place(message.as_ref()))),
        };
        match complete {
            Ok(contents) => {
                self.contents = Some(contents.clone());
                Ok(Some(contents))
            }
            Err(refused) => Err(Refusal { version, refused }),
        }
    }

    /// Gives up a transfer in which something else came, and tells its version.
    fn interrupted(&mut self, state: State) -> String {
        match state {
            State::Settled => String::new(),
            State::Refusing => {
                self.state = State::Refusing;
                String::new()
            }
            State::Receiving(assembler) => {
                self.state = State::Refusing;
                assembler.version().to_owned()
            }
        }
    }

    fn delta(&mut self, delta: v1::Delta) -> Result<Contents, Refused> {
        self.step(delta.sequence)?;
        match &self.contents {
            Some(base) => apply(base, delta),
            None => Err(Refused::Base {
                expected: String::new(),
                found: delta.base,
            }),
        }
    }

    fn step(&mut self, found: u64) -> Result<(), Refused> {
        let expected = self.sequence + 1;
        if found != expected {
            return Err(Refused::Sequence { expected, found });
        }
        self.sequence = found;
        Ok(())
    }
}

const fn out_of_place(message: Option<&Message>) -> Refused {
    Refused::OutOfPlace(match message {
        None => return Refused::UnknownMessage,
        Some(Message::Begin(_)) => "begin",
        Some(Message::Chunk(_)) => "chunk",
        Some(Message::End(_)) => "end",
        Some(Message::Delta(_)) => "delta",
        Some(Message::Mark(_)) => "mark",
    })
}
