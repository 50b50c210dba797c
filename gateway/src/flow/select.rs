//! Hop → lease over one credential.

use pool::{
    NoneUsable, Pick,
    usage::{Attempt, Open},
};
use snapshot::{CredentialName, RestReason, Timestamp};

use super::route::Hop;
use crate::{
    app::App,
    failure::Failure,
    store::{Lease, Pool},
};

impl Hop {
    /// What to ask the pool for.
    pub(super) fn pick<'a>(&'a self, tried: &'a [CredentialName]) -> Pick<'a> {
        Pick {
            client: &self.client,
            provider: &self.provider.provider,
            model: &self.model,
            lanes: &self.eligible.lanes,
            tried,
            pinned: self.pinned.as_ref(),
            object: self.object,
            affinity: self.affinity,
        }
    }
}

impl Hop {
    /// Counts an attempt.
    pub(super) fn begin(&self, app: &App, lease: &Lease) -> Open {
        let attempt = Attempt {
            provider: &self.provider.provider.name,
            credential: lease.credential(),
            model: &self.eligible.model,
        };
        app.ledger
            .begin_attempt(app.clock.now(), attempt, lease.expected_tokens())
    }
}

/// Picks a credential that was not tried yet.
pub(super) async fn select(pool: &Pool, hop: &Hop, tried: &[CredentialName]) -> Result<Lease, NoneUsable> {
    pool.pick(hop.pick(tried)).await
}

/// What a caller is told when no credential of the last hop is usable; `soonest` is the first moment of all hops.
pub(super) fn none_usable(none: &NoneUsable, soonest: Option<Timestamp>, now: Timestamp) -> Failure {
    let wait = soonest.map_or(std::time::Duration::from_secs(1), |soonest| soonest.since(now));
    match none {
        NoneUsable::UnknownObject => Failure::not_found(
            "object_not_found",
            "an object that the request names is not known here",
        ),
        NoneUsable::Empty => Failure::upstream(
            http::StatusCode::SERVICE_UNAVAILABLE,
            "no_credentials",
            "no credential is configured for this model",
        ),
        NoneUsable::Resting { reason, .. } => {
            let (code, message) = match reason {
                RestReason::RateLimited => (
                    "credentials_rate_limited",
                    "all credentials for this model are rate limited",
                ),
                RestReason::QuotaExhausted => (
                    "credentials_exhausted",
                    "the quota of all credentials for this model is used up",
                ),
                RestReason::Unauthorized
                | RestReason::AccountBlocked
                | RestReason::ModelUnavailable
                | RestReason::Failing => (
                    "credentials_resting",
                    "no credential for this model is usable at the moment",
                ),
            };
            Failure::exhausted(code, message, wait)
        }
        NoneUsable::Full { .. } => Failure::exhausted(
            "credentials_busy",
            "all credentials for this model are at their limits",
            wait,
        ),
        NoneUsable::BreakerOpen { .. } => Failure::upstream(
            http::StatusCode::SERVICE_UNAVAILABLE,
            "upstream_unavailable",
            "the upstream fails and is left alone for a while",
        )
        .retry_after(wait),
    }
}

/// When something may be usable again.
pub(super) fn soonest(none: &NoneUsable) -> Option<Timestamp> {
    match none {
        NoneUsable::Empty | NoneUsable::UnknownObject => None,
        NoneUsable::Resting { soonest, .. } | NoneUsable::Full { soonest } => Some(*soonest),
        NoneUsable::BreakerOpen { until } => Some(*until),
    }
}
