//! What gateways reported of credentials.

use std::collections::HashMap;

use pool::rest::ladder;
use proto::Reported;
use snapshot::{CredentialName, RestReason, SecretVersion, Snapshot, Timestamp};
use tokio::time::Instant;

/// The latest report about each credential.
#[derive(Debug, Default)]
pub(super) struct Reports(HashMap<CredentialName, Told>);

/// The latest report about a credential.
#[derive(Clone, Debug)]
pub(super) struct Told {
    version: SecretVersion,
    /// Why it rests and until when; `None` when it does not any more.
    pub(super) rest: Option<(RestReason, Timestamp)>,
    /// What was refused last and when.
    pub(super) error: Option<(RestReason, Timestamp)>,
    /// When the report came.
    pub(super) arrived: Instant,
}

impl Reports {
    /// Takes a report. An end that nobody stated is the one that a gateway would guess first.
    pub(super) fn take(&mut self, reported: Reported, now: Timestamp, arrived: Instant) {
        let until = |reason| reported.until.unwrap_or_else(|| now + ladder(reason, 1));
        let before = self.0.remove(&reported.credential);
        let told = Told {
            rest: reported
                .rests
                // A report does not say which model; the store does.
                .filter(|reason| *reason != RestReason::ModelUnavailable)
                .map(|reason| (reason, until(reason))),
            error: match reported.rests {
                Some(reason) => Some((reason, now)),
                None => before.and_then(|before| before.error),
            },
            version: reported.secret_version,
            arrived,
        };
        self.0.insert(reported.credential, told);
    }

    /// What was reported of a credential, unless it was about another value of its secret.
    pub(super) fn of(&self, name: &CredentialName, snapshot: &Snapshot) -> Option<&Told> {
        let version = &snapshot.credentials.get(name)?.secret_version;
        self.0.get(name).filter(|told| told.version == *version)
    }

    /// Forgets credentials that are gone, and reports that are void.
    pub(super) fn retain(&mut self, snapshot: &Snapshot) {
        self.0.retain(|name, told| {
            let credential = snapshot.credentials.get(name);
            credential.is_some_and(|credential| credential.secret_version == told.version)
        });
    }
}
