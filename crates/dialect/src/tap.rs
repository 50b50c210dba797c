//! Watches a streamed answer on its way to the client.
//!
//! A tap cuts the bytes into frames, forwards them as they are, and learns from the few that say something:
//! whether there is content yet, what the call cost, which objects it made, how it ended. What it takes out:
//!
//! * an error inside a 200, and everything after it ([`Tap::failure`]);
//! * whatever follows the frame that ends the stream;
//! * the usage chunk that only the gateway asked for;
//! * frames without data, which make the official `OpenAI` SDKs fail;
//! * half a frame at the end.
//!
//! Everything else leaves as it came, in slices of what came in, so that frames that arrive together leave
//! together. How the upstream splits its bytes changes neither the bytes that leave nor the facts.

mod chat;
mod format;
mod frame;
mod framer;
mod markers;
mod messages;
mod oversize;
mod responses;

use bytes::{Bytes, BytesMut};

use crate::failure::{Failure, encode_stream_failure_after};
use crate::usage::Counts;
use crate::{Operation, Refusal, Usage};
use format::{Format, Progress, Reading};
use frame::Frame;
use framer::Framer;
use oversize::Oversize;

/// Longer frames are content (images, audio) and are forwarded as they come.
const MAX_FRAME: usize = 1 << 20;

/// How the body of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With everything that the format promises.
    Complete,
    /// Before that; what the client has is not the whole answer.
    Cut,
}

/// Observes one streamed answer.
#[derive(Debug)]
pub struct Tap {
    operation: Operation,
    format: Format,
    hide_usage: bool,
    framer: Framer,
    /// The beginning of a frame whose end has not come yet.
    pending: BytesMut,
    oversize: Option<Oversize>,
    /// Whether the last frame was forwarded; the second half of its line end goes the same way.
    forwarded: bool,
    /// Whether anything was forwarded.
    started: bool,
    state: State,
    failure: Option<Refusal>,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// The last frame of the format was seen.
    Finished,
    /// An error was seen instead.
    Failed,
}

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Forward,
    Drop,
}

impl Tap {
    /// A tap for the answer to `operation`. With `hide_usage` the chunk that holds nothing but usage is taken
    /// out, because the client did not ask for it.
    pub fn new(operation: Operation, hide_usage: bool) -> Self {
        Self {
            operation,
            format: Format::of(operation),
            hide_usage,
            framer: Framer::default(),
            pending: BytesMut::new(),
            oversize: None,
            forwarded: false,
            started: false,
            state: State::Running,
            failure: None,
            progress: Progress::default(),
        }
    }

    /// Takes the next bytes of the body and appends what the client gets. Only whole frames come out, and
    /// neighbours from one piece come out as one slice of it.
    pub fn feed(&mut self, mut piece: Bytes, out: &mut Vec<Bytes>) {
        if self.framer.ends_line(&piece) {
            let rest = piece.split_to(1);
            if self.forwarded {
                out.push(rest);
            }
        }
        if self.is_over() {
            return;
        }
        let mut at = 0;
        if !self.pending.is_empty() || self.oversize.is_some() {
            at = self.complete_pending(&piece, out);
        }
        let mut run = at;
        while !self.is_over() {
            let start = at;
            let Some(length) = self.framer.frame_end(&piece[start..]) else {
                push(&piece, run..start, out);
                self.hold_back(piece.slice(start..), out);
                return;
            };
            at = start + length;
            if self.frame(&piece[start..at]) == Verdict::Drop {
                push(&piece, run..start, out);
                run = at;
            }
        }
        push(&piece, run..at, out);
    }

    /// The body of the upstream ended. A last frame that lacks nothing but its blank line is whole.
    ///
    /// A chat stream in which every choice has its `finish_reason` is complete even without `[DONE]`, which many
    /// servers do not send; the missing line is added.
    pub fn end(&mut self, out: &mut Vec<Bytes>) -> Ending {
        let rest = self.pending.split().freeze();
        let half_a_frame =
            self.oversize.take().is_some() || (!rest.is_empty() && !self.finish_frame(rest, out));
        match (self.state, self.format) {
            (State::Finished, _) => Ending::Complete,
            (State::Failed, _) => Ending::Cut,
            (State::Running, Format::Chat) if self.progress.choices.all_finished() => {
                out.push(Bytes::from_static(b"data: [DONE]\n\n"));
                self.state = State::Finished;
                Ending::Complete
            }
            (State::Running, Format::Opaque) if self.started && !half_a_frame => Ending::Complete,
            (State::Running, Format::Chat | Format::Responses | Format::Messages | Format::Opaque) => {
                Ending::Cut
            }
        }
    }

    /// Whether a frame with content, a tool call, reasoning or usage was seen: from here on the answer is
    /// committed.
    pub fn has_content(&self) -> bool {
        self.progress.content
    }

    /// Whether the client gets an event of this stream, which comments are not.
    pub fn has_event(&self) -> bool {
        self.progress.said || self.progress.content
    }

    /// Whether the frame that ends the stream was seen. Nothing after it is forwarded.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether what was seen amounts to an answer, if only an empty one: a chat has content, or a choice that ended.
    pub fn is_answer(&self) -> bool {
        self.progress.content || self.format != Format::Chat || self.progress.choices.all_finished()
    }

    /// The error that the stream ended with instead of an answer, once. Its frame is not forwarded, nor is
    /// anything after it.
    pub fn failure(&mut self) -> Option<Refusal> {
        self.failure.take()
    }

    /// What the call consumed, as far as the stream has said so.
    pub fn usage(&self) -> Option<Usage> {
        self.progress
            .counts
            .map(|counts| counts.usage(self.operation.dialect()))
    }

    /// How many frames had content.
    pub fn output_frames(&self) -> u64 {
        self.progress.output_frames
    }

    /// Ids of stored objects that this answer made and that were not taken yet.
    pub fn object_ids(&mut self) -> Vec<String> {
        std::mem::take(&mut self.progress.object_ids)
    }

    /// Whether the client is between two frames, so that a comment line may be inserted.
    ///
    /// Insert a comment with one line end and no blank line after it: a blank line after an upstream's `id:`
    /// makes `OpenAI`'s Python SDK fail.
    pub fn at_boundary(&self) -> bool {
        self.oversize.is_none()
    }

    /// Frames that end this stream with our own error, numbered after what it has said. `started` is whether
    /// the client has any frame of it.
    pub fn encode_failure(&self, failure: &Failure<'_>, started: bool) -> Bytes {
        encode_stream_failure_after(self.operation, failure, started, &self.progress.position)
    }

    fn is_over(&self) -> bool {
        self.state != State::Running
    }

    /// Finds the end of the frame that an earlier piece began; the position behind it.
    fn complete_pending(&mut self, piece: &Bytes, out: &mut Vec<Bytes>) -> usize {
        let Some(end) = self.framer.frame_end(piece) else {
            self.hold_back(piece.clone(), out);
            return piece.len();
        };
        if let Some(oversize) = self.oversize.take() {
            push(piece, 0..end, out);
            self.oversize_ended(oversize, &piece[..end]);
            return end;
        }
        self.pending.extend_from_slice(&piece[..end]);
        let frame = self.pending.split().freeze();
        if self.frame(&frame) == Verdict::Forward {
            out.push(frame);
        }
        end
    }

    /// Keeps the beginning of a frame until its end comes, unless it has become too long for that.
    fn hold_back(&mut self, beginning: Bytes, out: &mut Vec<Bytes>) {
        if beginning.is_empty() {
            return;
        }
        if let Some(oversize) = &mut self.oversize {
            oversize.observe(&beginning);
            out.push(beginning);
            return;
        }
        if self.pending.len() + beginning.len() <= MAX_FRAME {
            self.pending.extend_from_slice(&beginning);
            return;
        }
        let mut oversize = Oversize::default();
        let held = self.pending.split().freeze();
        for part in [held, beginning] {
            oversize.observe(&part);
            if !part.is_empty() {
                out.push(part);
            }
        }
        self.oversize = Some(oversize);
        self.forwarded = true;
        self.started = true;
        self.progress.content = true;
    }

    fn oversize_ended(&mut self, mut oversize: Oversize, rest: &[u8]) {
        oversize.observe(rest);
        let (head, tail) = oversize.ends();
        if self.format.oversize(head, tail, &mut self.progress) {
            self.state = State::Finished;
        }
        self.forwarded = true;
        self.started = true;
    }

    /// Reads one whole frame.
    fn frame(&mut self, bytes: &[u8]) -> Verdict {
        let verdict = if bytes.len() > MAX_FRAME {
            self.progress.content = true;
            let mut oversize = Oversize::default();
            oversize.observe(bytes);
            self.oversize_ended(oversize, &[]);
            Verdict::Forward
        } else {
            match Frame::parse(bytes, self.framer.lines()) {
                Frame::Nothing => Verdict::Forward,
                Frame::Empty => Verdict::Drop,
                Frame::Event { name, data } => {
                    let verdict = self.event(name, &data);
                    self.progress.said |= verdict == Verdict::Forward;
                    verdict
                }
            }
        };
        self.forwarded = verdict == Verdict::Forward;
        self.started |= self.forwarded;
        verdict
    }

    fn event(&mut self, name: &[u8], data: &[u8]) -> Verdict {
        match self.format.read(name, data, &mut self.progress) {
            Reading::UsageOnly if self.hide_usage => Verdict::Drop,
            Reading::Plain | Reading::UsageOnly => Verdict::Forward,
            Reading::End => {
                self.state = State::Finished;
                Verdict::Forward
            }
            Reading::Ignored => Verdict::Drop,
            Reading::Failure(refusal) => {
                self.state = State::Failed;
                self.failure = Some(*refusal);
                Verdict::Drop
            }
        }
    }

    /// Takes what is left at the end as a frame, if its data is whole. Whether it was.
    fn finish_frame(&mut self, rest: Bytes, out: &mut Vec<Bytes>) -> bool {
        if !Frame::is_whole(&rest) {
            return false;
        }
        self.framer = Framer::default();
        let mut frame = BytesMut::from(rest);
        frame.extend_from_slice(match frame.last() {
            Some(b'\n') => b"\n",
            Some(b'\r') => b"\r",
            _ => b"\n\n",
        });
        let frame = frame.freeze();
        if self.framer.frame_end(&frame) == Some(frame.len()) && self.frame(&frame) == Verdict::Forward {
            out.push(frame);
        }
        true
    }
}

fn push(piece: &Bytes, range: std::ops::Range<usize>, out: &mut Vec<Bytes>) {
    if !range.is_empty() {
        out.push(piece.slice(range));
    }
}

impl Progress {
    fn count(&mut self, counts: Option<Counts>) {
        if let Some(counts) = counts {
            self.counts.get_or_insert_default().overlay(counts);
        }
    }
}
