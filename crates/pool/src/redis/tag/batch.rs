//! Sending what there is to say, once and in order.

use std::sync::Arc;

use redis::Value;

use super::{STRAYS, Tag};
use crate::redis::{
    args::Args,
    link::{Away, Invocation, Urgency},
    record::Record,
    reply::Reply,
    scripts::APPLY,
};

/// Records that are sent together. It keeps its number until the store has heard it, so that the store can
/// tell a repetition.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) records: Vec<Record>,
    /// Whether somebody waits for its answer.
    pub(super) sending: bool,
}

/// A batch on its way. Dropped without an answer, it will be sent again.
#[derive(Debug)]
pub(in crate::redis) struct Sending<'a> {
    tag: &'a Tag,
    number: u64,
    epoch: Arc<str>,
    call: Invocation,
    answered: bool,
}

/// Records that go together at most.
const TOGETHER: usize = 200;

impl Tag {
    /// Whether there is something to say that is not being said already.
    pub(super) fn has_news(&self) -> bool {
        let state = self.state();
        let stray = state
            .given_up
            .front()
            .is_some_and(|(_, at)| at.elapsed() > STRAYS);
        state.epoch.is_some()
            && match &state.batch {
                Some(batch) => !batch.sending,
                None => stray || !state.queue.is_empty(),
            }
    }

    /// What must be heard before the next admission or pick, with all else that there is to say.
    pub(in crate::redis) fn send_pressing(&self) -> Option<Sending<'_>> {
        let state = self.state();
        let can_wait = !state.is_pressing && state.batch.is_none();
        drop(state);
        if can_wait { None } else { self.send() }
    }

    /// What there is to say, unless it is being said already.
    pub(in crate::redis) fn send(&self) -> Option<Sending<'_>> {
        let mut state = self.state();
        let epoch = state.epoch.clone()?;
        if state.batch.as_ref().is_some_and(|batch| batch.sending) {
            return None;
        }
        while let Some((lease, at)) = state.given_up.front().copied()
            && at.elapsed() > STRAYS
        {
            state.given_up.pop_front();
            state.push(Record::forget(lease));
        }
        if state.batch.is_none() {
            let count = state.queue.len().min(TOGETHER);
            if count == 0 {
                return None;
            }
            state.batches += 1;
            state.batch = Some(Batch {
                number: state.batches,
                records: state.queue.drain(..count).collect(),
                sending: false,
            });
            state.is_pressing = state.queue.iter().any(|record| !record.can_wait());
        }
        let now = self.context.now();
        let calendars = self.calendar_args(&state);
        let batch = state.batch.as_mut()?;
        batch.sending = true;
        let args = Args::with_capacity(16 + 10 * batch.records.len(), 256 + 96 * batch.records.len())
            .all(&self.context.clock())
            .text(&epoch)
            .text(&self.context.owner)
            .number(batch.number)
            .all(&calendars);
        let args = Record::write_all(&batch.records, now, args);
        let call = APPLY.on(&[self.key()]).arg(args);
        Some(Sending {
            tag: self,
            number: batch.number,
            epoch,
            call,
            answered: false,
        })
    }

    /// A call was given up before its lease was known.
    pub(in crate::redis) fn give_up(&self, lease: u64, model: &str) {
        let mut state = self.state();
        state.given_up.push_back((lease, tokio::time::Instant::now()));
        state.push(Record::cancel(lease, model));
        drop(state);
        self.wake.notify_one();
    }
}

impl Sending<'_> {
    /// The call to make.
    pub(in crate::redis) fn call(&self) -> &Invocation {
        &self.call
    }

    /// Sends it and waits for the answer.
    pub(in crate::redis) async fn alone(self) -> Result<(), Away> {
        let answer = self.tag.context.link.run(&self.call, Urgency::Background).await;
        self.answered(answer)
    }

    /// Notes what the store said.
    pub(in crate::redis) fn answered(mut self, answer: Result<Value, Away>) -> Result<(), Away> {
        let reply = match answer.and_then(Reply::new) {
            Ok(reply) => reply,
            Err(Away::Refused { code, detail }) => {
                // Saying it again would not help.
                tracing::error!(key = %self.tag.key(), code, detail, "the store refused what it was told");
                self.done();
                return Ok(());
            }
            Err(away) => return Err(away),
        };
        if reply.text(0) == "unknown" {
            self.tag.lost(&self.epoch);
            return Ok(());
        }
        for failure in 1..reply.len() {
            let what = reply.text(failure);
            tracing::error!(key = %self.tag.key(), what, "the store could not apply what it was told");
        }
        self.done();
        Ok(())
    }

    fn done(&mut self) {
        self.answered = true;
        let mut state = self.tag.state();
        if let Some(batch) = state.batch.take_if(|batch| batch.number == self.number) {
            for lease in batch.records.iter().filter_map(Record::ends) {
                state.open.remove(&lease);
            }
        }
        state.overflowed &= !state.queue.is_empty();
        let more = !state.queue.is_empty();
        drop(state);
        if more {
            self.tag.wake.notify_one();
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut state = self.tag.state();
        if let Some(batch) = state.batch.as_mut().filter(|batch| batch.number == self.number) {
            batch.sending = false;
        }
        drop(state);
        self.tag.wake.notify_one();
    }
}
