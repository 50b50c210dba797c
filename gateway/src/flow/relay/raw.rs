//! Bytes that are only passed on: audio, images, files.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::Sleep;

use crate::{
    body::BrokenOff,
    flow::{classify::Setback, settle::Settlement},
    upstream::UpstreamBody,
};

/// An answer whose bytes are only passed on. Dropping it before its end means that the client left.
pub(crate) struct Raw {
    body: UpstreamBody,
    /// Taken when the answer has ended.
    settlement: Option<Box<Settlement>>,
    heard: Instant,
    idle: Duration,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Raw {
    pub(super) fn new(
        body: UpstreamBody,
        idle: Duration,
        deadline: Instant,
        settlement: Box<Settlement>,
    ) -> Self {
        let heard = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until((heard + idle).into()));
        Self {
            body,
            settlement: Some(settlement),
            heard,
            idle,
            deadline,
            timer,
        }
    }

    /// The next bytes; an error ends the connection, since these bytes cannot carry one.
    pub(crate) fn poll_piece(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if self.settlement.is_none() {
            return Poll::Ready(None);
        }
        if Instant::now() >= self.deadline {
            let setback = Setback::timeout("the upstream did not finish its answer in time");
            return Poll::Ready(Some(Err(self.broken(&setback))));
        }
        match self.body.poll_piece(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                self.heard = Instant::now();
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(self.broken(&Setback::broken_off())))),
            Poll::Ready(None) => {
                if let Some(settlement) = self.settlement.take() {
                    settlement.succeeded(None);
                }
                Poll::Ready(None)
            }
            Poll::Pending => loop {
                ready!(self.timer.as_mut().poll(cx));
                let due = (self.heard + self.idle).min(self.deadline);
                if Instant::now() >= due {
                    let setback = Setback::timeout("the upstream stopped in the middle of its answer");
                    return Poll::Ready(Some(Err(self.broken(&setback))));
                }
                self.timer.as_mut().reset(due.into());
            },
        }
    }

    fn broken(&mut self, setback: &Setback) -> BrokenOff {
        if let Some(settlement) = self.settlement.take() {
            settlement.interrupted(None, 0, Some(setback));
        }
        BrokenOff
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(settlement) = self.settlement.take() {
            settlement.cancelled(None, 0);
        }
    }
}
