//! A stream of events on its way to the client.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use dialect::{Ending, Tap};
use tokio::time::Sleep;

use super::{COMMENT, SHORTEST_SILENCE, later};
use crate::{
    app::App,
    failure::Failure,
    flow::{
        classify::{Opened, Setback},
        peek::Call,
        route::Plan,
        settle::Settlement,
    },
    lifecycle::Phase,
    upstream::UpstreamBody,
};
use pool::ObjectId;

/// A stream that has begun. Dropping it before its end means that the client left.
pub(crate) struct Relay {
    app: Arc<App>,
    request_id: Arc<str>,
    tap: Tap,
    /// The upstream's body; `None` when nothing more is wanted of it.
    body: Option<UpstreamBody>,
    /// What the client gets next.
    ready: Vec<Bytes>,
    /// Taken when the stream has ended.
    settlement: Option<Box<Settlement>>,
    first_token: Option<Instant>,
    heard: Instant,
    spoke: Instant,
    idle: Duration,
    keep_alive: Duration,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    ending: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Relay {
    pub(super) fn new(
        app: &Arc<App>,
        call: &Call,
        plan: &Plan,
        opened: Opened,
        settlement: Box<Settlement>,
    ) -> Self {
        let Opened {
            tap,
            held,
            body,
            first_token,
        } = opened;
        let now = Instant::now();
        let timeouts = settlement.timeouts();
        app.metrics.open_streams.inc();
        let mut relay = Self {
            app: app.clone(),
            request_id: call.request_id.clone(),
            tap,
            body,
            ready: held,
            settlement: Some(settlement),
            first_token,
            heard: now,
            spoke: now,
            idle: timeouts.idle,
            keep_alive: plan.served.stream.keep_alive_after.max(SHORTEST_SILENCE),
            deadline: call.arrived + timeouts.total,
            timer: None,
            ending: Box::pin(app.drain.clone().reached(Phase::Ending)),
        };
        if relay.body.is_none() || relay.tap.is_finished() {
            relay.complete();
        }
        relay
    }

    /// The next bytes for the client; `None` at the end.
    pub(crate) fn poll_piece(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if !self.ready.is_empty() {
                self.spoke = Instant::now();
                return Poll::Ready(Some(joined(&mut self.ready)));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            match body.poll_piece(cx) {
                Poll::Ready(Some(Ok(piece))) => self.heard(piece),
                Poll::Ready(Some(Err(_))) => self.interrupt(&Setback::broken_off()),
                Poll::Ready(None) => self.end(),
                Poll::Pending => {
                    if self.ending.as_mut().poll(cx).is_ready() {
                        self.fail(&Failure::shutting_down());
                    } else if self.poll_timer(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Takes what came from the upstream.
    fn heard(&mut self, piece: Bytes) {
        self.heard = Instant::now();
        if self.heard >= self.deadline {
            self.interrupt(&Setback::timeout(
                "the upstream did not finish its answer in time",
            ));
            return;
        }
        self.tap.feed(piece, &mut self.ready);
        if self.first_token.is_none() && self.tap.has_content() {
            self.first_token = Some(self.heard);
        }
        if let Some(refusal) = self.tap.failure() {
            let settlement = self.settlement.as_ref();
            let setback = settlement.and_then(|settlement| settlement.refused(&refusal));
            self.remember();
            self.interrupt(&setback.unwrap_or_else(Setback::broken_off));
        } else if self.tap.is_finished() {
            self.complete();
        }
    }

    /// The upstream's body ended by itself.
    fn end(&mut self) {
        match self.tap.end(&mut self.ready) {
            Ending::Complete => self.complete(),
            Ending::Cut => self.interrupt(&Setback::broken_off()),
        }
    }

    /// One timer for all limits: it looks at the clock when it fires, so that frames need not touch it.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let comment = later(self.heard, self.spoke, self.keep_alive);
            let due = (self.heard + self.idle).min(self.deadline).min(comment);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())));
            if pin!(timer.as_mut()).poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if now < due {
                timer.as_mut().reset(due.into());
                continue;
            }
            self.timer = None;
            if now >= self.deadline || now >= self.heard + self.idle {
                self.interrupt(&Setback::timeout(
                    "the upstream stopped in the middle of its answer",
                ));
            } else if self.tap.at_boundary() {
                self.ready.push(Bytes::from_static(COMMENT));
            } else {
                self.spoke = now;
            }
            return Poll::Ready(());
        }
    }

    /// The stream is whole.
    fn complete(&mut self) {
        self.remember();
        if let Some(body) = self.body.take() {
            body.release();
        }
        if let Some(settlement) = self.settlement.take() {
            self.app.metrics.open_streams.dec();
            settlement.streamed(self.tap.usage(), self.tap.output_frames(), self.first_token);
        }
    }

    /// The upstream failed after the stream had begun: the client is told in its own dialect.
    fn interrupt(&mut self, setback: &Setback) {
        let frames = setback.failure.frames_after(&self.tap, &self.request_id);
        self.end_with(frames, Some(setback));
    }

    /// The gateway ends the stream.
    fn fail(&mut self, failure: &Failure) {
        let frames = failure.frames_after(&self.tap, &self.request_id);
        self.end_with(frames, None);
    }

    fn end_with(&mut self, frames: Bytes, setback: Option<&Setback>) {
        self.body = None;
        self.ready.push(frames);
        if let Some(settlement) = self.settlement.take() {
            self.app.metrics.open_streams.dec();
            settlement.interrupted(self.tap.usage(), self.tap.output_frames(), setback);
        }
    }

    /// Remembers which credential holds what the stream created.
    fn remember(&mut self) {
        if let Some((provider, credential)) = self
            .settlement
            .as_ref()
            .and_then(|settlement| settlement.holder())
        {
            for id in self.tap.object_ids() {
                self.app.pool.remember(provider, ObjectId::new(&id), credential);
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.remember();
        if let Some(settlement) = self.settlement.take() {
            self.app.metrics.open_streams.dec();
            settlement.cancelled(self.tap.usage(), self.tap.output_frames());
        }
    }
}

/// Pieces that are ready together leave together.
fn joined(ready: &mut Vec<Bytes>) -> Bytes {
    if ready.len() == 1
        && let Some(only) = ready.pop()
    {
        return only;
    }
    let mut whole = BytesMut::with_capacity(ready.iter().map(Bytes::len).sum());
    for piece in ready.drain(..) {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}
