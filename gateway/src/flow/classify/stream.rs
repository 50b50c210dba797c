//! Opens a stream: reads it until it has something to say, fails, or has been silent for long enough.

use std::time::Instant;

use bytes::Bytes;
use dialect::{Ending, Tap};
use tokio::time::timeout_at;

use super::{Reading, Setback, refused};
use crate::{flow::route::Hop, live::LiveCredential, upstream::UpstreamBody};

/// A stream from which the first frames were read.
pub(crate) struct Opened {
    pub(crate) tap: Tap,
    /// What the client gets first.
    pub(crate) held: Vec<Bytes>,
    /// The rest; `None` when the stream is complete.
    pub(crate) body: Option<UpstreamBody>,
    /// When the first content came.
    pub(crate) first_token: Option<Instant>,
}

impl Opened {
    /// A stream of which nothing was read. Boxed, because a stream stays with its call, and calls that are none would
    /// carry the room.
    pub(super) fn new(tap: Tap) -> Box<Self> {
        Box::new(Self {
            tap,
            held: Vec::new(),
            body: None,
            first_token: None,
        })
    }
}

/// Holds frames back until one has content, so that a stream which fails before it can go to another credential.
///
/// Frames without content are held for `hold_max` from the first one on. Releasing them commits the stream as
/// content does: what was sent cannot be taken back, and a second stream would repeat it under another id.
pub(super) async fn open(
    hop: &Hop,
    credential: &LiveCredential,
    mut body: UpstreamBody,
    mut opened: Box<Opened>,
    reading: &Reading,
) -> Result<Box<Opened>, Setback> {
    let Opened { tap, held, .. } = &mut *opened;
    let timeouts = &hop.provider.provider.timeouts;
    let mut release: Option<Instant> = None;
    let mut silent_until = Instant::now() + timeouts.first_byte;
    loop {
        let limit = release
            .unwrap_or(silent_until)
            .min(silent_until)
            .min(reading.deadline);
        let Ok(piece) = timeout_at(limit.into(), body.piece()).await else {
            if release.is_some_and(|release| release <= Instant::now()) {
                opened.body = Some(body);
                return Ok(opened);
            }
            return Err(Setback::timeout("the upstream did not begin its answer in time"));
        };
        let ended = match piece {
            Some(Ok(piece)) => {
                tap.feed(piece, held);
                false
            }
            Some(Err(_)) => return Err(Setback::broken_off()),
            None => match tap.end(held) {
                Ending::Complete => true,
                Ending::Cut => return Err(Setback::broken_off()),
            },
        };
        if let Some(refusal) = tap.failure()
            && !tap.has_content()
        {
            return Err(refused(&hop.provider, credential, &refusal, b""));
        }
        if (ended || tap.is_finished()) && !tap.is_answer() {
            return Err(Setback::broken_off());
        }
        if ended || tap.is_finished() || tap.has_content() {
            opened.first_token = tap.has_content().then(Instant::now);
            opened.body = (!ended).then_some(body);
            return Ok(opened);
        }
        silent_until = Instant::now() + timeouts.idle;
        if release.is_none() && tap.has_event() {
            release = Some(Instant::now() + reading.policy.hold_max);
        }
    }
}
