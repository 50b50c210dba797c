//! What gateways report, each once in a while: twelve gateways that meet the same refusal say it a thousand times.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use proto::Reported;
use snapshot::CredentialName;
use tokio::sync::mpsc;

use super::{Meters, now};

/// For how long a report that says nothing new is held back.
const QUIET: Duration = Duration::from_secs(5);

/// Ends of a rest that differ by less are the same.
const SAME: Duration = Duration::from_secs(1);

/// Credentials of which reports are remembered, before old ones are looked for to be forgotten.
const REMEMBERED_MAX: usize = 4_096;

/// Passes reports on.
#[derive(Debug)]
pub(super) struct Reports {
    sender: mpsc::Sender<Reported>,
    /// What was passed on of late; one report of each kind.
    recent: Mutex<HashMap<CredentialName, Vec<(Reported, Instant)>>>,
    meters: Meters,
}

impl Reports {
    pub(super) fn new(waiting: usize, meters: Meters) -> (Self, mpsc::Receiver<Reported>) {
        let (sender, receiver) = mpsc::channel(waiting);
        let recent = Mutex::default();
        (
            Self {
                sender,
                recent,
                meters,
            },
            receiver,
        )
    }

    /// Passes a report on unless the same was passed on a moment ago, or too many wait.
    pub(super) fn pass(&self, reported: Reported) {
        let now = now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= REMEMBERED_MAX {
            recent.retain(|_, passed| {
                passed
                    .iter()
                    .any(|(_, at)| now.saturating_duration_since(*at) < QUIET)
            });
        }
        let passed = recent.entry(reported.credential.clone()).or_default();
        let is_repeated = passed
            .iter()
            .any(|(last, at)| now.saturating_duration_since(*at) < QUIET && says_the_same(last, &reported));
        if is_repeated {
            self.meters.report("repeated");
        } else if self.sender.try_send(reported.clone()).is_ok() {
            // A rest after a recovery is news, and so is the recovery after it.
            passed.retain(|(last, _)| {
                last.rests.is_some() == reported.rests.is_some() && last.rests != reported.rests
            });
            passed.push((reported, now));
            self.meters.report("passed");
        } else {
            self.meters.report("dropped");
        }
    }
}

/// Whether a report adds nothing to one before it.
fn says_the_same(last: &Reported, reported: &Reported) -> bool {
    let ends = match (last.until, reported.until) {
        (Some(last), Some(until)) => until.since(last) < SAME,
        (_, until) => until.is_none(),
    };
    last.rests == reported.rests && last.secret_version == reported.secret_version && ends
}
