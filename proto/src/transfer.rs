//! All objects in chunks.

use std::ops::Bound;

use prost::{Message, length_delimiter_len};

use crate::{
    Contents, ObjectKey, Refused,
    contents::{Draft, opened},
    discovery::v1::{self, stream_response::Message as Response},
};

/// How long a message is at most, in bytes, unless a single object is longer. Objects are at most some 2 MiB:
/// Kubernetes takes no larger ones. tonic takes messages of 4 MiB.
pub const MESSAGE_LIMIT: usize = 512 << 10;

/// How many bytes of objects an [`Assembler`] of a gateway takes.
pub const TRANSFER_LIMIT: usize = 64 << 20;

/// What a message has around its objects, in bytes: the tags and lengths of the chunk and its index.
const AROUND: usize = 32;

/// All messages of a transfer in their order, each made when it is asked for: a slow reader costs one message.
pub fn chunks(contents: &Contents, limit: usize) -> Chunks {
    Chunks {
        contents: contents.clone(),
        limit,
        index: 0,
        step: Step::Begin,
    }
}

/// The messages of a transfer. See [`chunks`].
#[derive(Clone, Debug)]
pub struct Chunks {
    contents: Contents,
    limit: usize,
    index: u32,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    Begin,
    After(Bound<ObjectKey>),
    Done,
}

impl Iterator for Chunks {
    type Item = v1::StreamResponse;

    fn next(&mut self) -> Option<v1::StreamResponse> {
        let versions = self.contents.versions();
        let message = match std::mem::replace(&mut self.step, Step::Done) {
            Step::Begin => {
                self.step = Step::After(Bound::Unbounded);
                Response::Begin(v1::SnapshotBegin {
                    version: versions.snapshot.to_string(),
                    objects: versions.objects.len() as u64,
                    digest: versions.digest().to_vec(),
                })
            }
            Step::After(last) => match self.objects(last) {
                (objects, Some(last)) => {
                    self.step = Step::After(Bound::Excluded(last));
                    let index = self.index;
                    self.index += 1;
                    Response::Chunk(v1::SnapshotChunk { index, objects })
                }
                (_, None) => Response::End(v1::SnapshotEnd {
                    chunks: self.index,
                    digest: versions.digest().to_vec(),
                }),
            },
            Step::Done => return None,
        };
        Some(v1::StreamResponse {
            message: Some(message),
        })
    }
}

impl Chunks {
    /// The objects of the next chunk and the last of them.
    fn objects(&self, after: Bound<ObjectKey>) -> (Vec<v1::Object>, Option<ObjectKey>) {
        let mut objects = Vec::new();
        let mut last = None;
        let mut length = AROUND;
        for key in self
            .contents
            .versions()
            .objects
            .range((after, Bound::Unbounded))
            .map(|(key, _)| key)
        {
            let Some(object) = self.contents.object(key) else {
                continue;
            };
            let object_length = object.encoded_len();
            length += 1 + length_delimiter_len(object_length) + object_length;
            if length > self.limit && !objects.is_empty() {
                break;
            }
            objects.push(object);
            last = Some(key.clone());
        }
        (objects, last)
    }
}

/// Takes the chunks of a transfer in their order. What it refuses ends it: it is consumed by every step.
pub struct Assembler {
    begin: v1::SnapshotBegin,
    draft: Draft,
    chunks: u32,
    /// Bytes that may still come.
    left: usize,
    limit: usize,
}

impl Assembler {
    /// Begins a transfer of at most `limit` bytes.
    pub fn new(begin: v1::SnapshotBegin, limit: usize) -> Self {
        Self {
            begin,
            draft: Draft::default(),
            chunks: 0,
            left: limit,
            limit,
        }
    }

    /// The version that is transferred.
    pub fn version(&self) -> &str {
        &self.begin.version
    }

    /// Takes the next chunk.
    pub fn push(mut self, chunk: v1::SnapshotChunk) -> Result<Self, Refused> {
        if chunk.index != self.chunks {
            return Err(Refused::Chunk {
                expected: self.chunks,
                found: chunk.index,
            });
        }
        self.chunks += 1;
        self.left = self
            .left
            .checked_sub(chunk.encoded_len())
            .ok_or(Refused::TooLarge { limit: self.limit })?;
        for (index, object) in chunk.objects.into_iter().enumerate() {
            let (key, version, object) = opened(object).ok_or(Refused::UnknownKind(index))?;
            if self.draft.contains(&key) {
                return Err(Refused::Twice(key));
            }
            self.draft.put(&key, version, object)?;
        }
        Ok(self)
    }

    /// Ends the transfer. The contents are what was announced, name by name and version by version.
    pub fn finish(self, end: &v1::SnapshotEnd) -> Result<Contents, Refused> {
        if end.chunks != self.chunks {
            return Err(Refused::Chunks {
                expected: end.chunks,
                found: self.chunks,
            });
        }
        let found = self.draft.len() as u64;
        if found != self.begin.objects {
            return Err(Refused::Objects {
                expected: self.begin.objects,
                found,
            });
        }
        if end.digest != self.begin.digest {
            return Err(Refused::Digest);
        }
        self.draft.finish(self.begin.version, &self.begin.digest)
    }
}
