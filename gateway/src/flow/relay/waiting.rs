//! A stream that has begun with comments, while its upstream is still being sought.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Interval, MissedTickBehavior};

use super::{COMMENT, Relay};
use crate::{
    failure::Failure,
    flow::{
        classify::{Answer, Setback},
        dispatch::{Delivery, Dispatch},
        settle::Settlement,
    },
};

type Running = Pin<Box<dyn Future<Output = (Result<Delivery, Failure>, Box<Dispatch>)> + Send>>;

/// Status 200 went out, but no answer yet: failover goes on behind comment lines.
pub(crate) struct Waiting {
    state: State,
}

enum State {
    Seeking(Box<Seeking>),
    Relaying(Pin<Box<Relay>>),
    Ended,
}

/// The search that goes on.
struct Seeking {
    running: Running,
    settlement: Option<Box<Settlement>>,
    comments: Interval,
}

impl Waiting {
    pub(super) fn new(running: Running, settlement: Box<Settlement>, every: Duration) -> Self {
        let mut comments = tokio::time::interval(every);
        comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            state: State::Seeking(Box::new(Seeking {
                running,
                settlement: Some(settlement),
                comments,
            })),
        }
    }

    /// The next bytes for the client; `None` at the end.
    pub(crate) fn poll_piece(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.state {
                State::Relaying(relay) => return relay.as_mut().poll_piece(cx),
                State::Ended => return Poll::Ready(None),
                State::Seeking(seeking) => match seeking.running.as_mut().poll(cx) {
                    Poll::Pending => {
                        ready!(seeking.comments.poll_tick(cx));
                        return Poll::Ready(Some(Bytes::from_static(COMMENT)));
                    }
                    Poll::Ready((found, dispatch)) => {
                        let Some(settlement) = seeking.settlement.take() else {
                            return Poll::Ready(None);
                        };
                        match begin(found, &dispatch, settlement) {
                            Ok(relay) => self.state = State::Relaying(Box::pin(relay)),
                            Err(failure) => {
                                self.state = State::Ended;
                                let call = &dispatch.call;
                                return Poll::Ready(Some(failure.frames(call.operation, &call.request_id)));
                            }
                        }
                    }
                },
            }
        }
    }
}

/// Goes over to the stream that was found. An answer that is no stream cannot be sent any more.
fn begin(
    found: Result<Delivery, Failure>,
    dispatch: &Dispatch,
    mut settlement: Box<Settlement>,
) -> Result<Relay, Failure> {
    match found {
        Ok(Delivery {
            answer: Answer::Stream { opened, .. },
            mut attempt,
        }) => {
            attempt.lease.commit();
            settlement.delivering(attempt);
            Ok(Relay::new(
                &dispatch.app,
                &dispatch.call,
                &dispatch.plan,
                *opened,
                settlement,
            ))
        }
        Ok(_) => {
            let setback = Setback::upstream(
                http::StatusCode::BAD_GATEWAY,
                "invalid_upstream_answer",
                "the upstream did not answer with a stream",
                snapshot::FallbackOn::UpstreamFailed,
            );
            Err(settlement.failed_late(setback.failure))
        }
        Err(failure) => {
            settlement.asked(dispatch.asked.clone());
            Err(settlement.failed_late(failure))
        }
    }
}
