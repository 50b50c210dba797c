//! What must be given back: leases and admissions.

use std::{fmt, sync::Arc};

use snapshot::{CredentialName, ProviderName};

use crate::{
    Blame, Memory, Picked, Settled, Store,
    estimate::Estimate,
    pool::{Pool, Shared},
    usage::{believed, believed_usage},
};

/// One use of one credential.
///
/// [`Lease::settle`] ends it with an outcome. Dropping it means that the call was cancelled: its place is
/// free again, and it counts neither as success nor as failure.
pub struct Lease<S: Store = Memory> {
    shared: Arc<Shared<S>>,
    provider: ProviderName,
    credential: CredentialName,
    probe: bool,
    hold: Option<S::Hold>,
    estimate: Estimate,
}

/// One call of one client.
///
/// [`Admission::settle`] ends it with the tokens used. Dropping it means that the call was cancelled: the
/// tokens reserved for it are free again, the request stays counted.
pub struct Admission<S: Store = Memory> {
    shared: Arc<Shared<S>>,
    seat: Option<S::Seat>,
    estimate: Estimate,
}

impl<S: Store> Lease<S> {
    pub(crate) fn new(
        pool: &Pool<S>,
        provider: ProviderName,
        picked: Picked<S::Hold>,
        estimate: Estimate,
    ) -> Self {
        Self {
            shared: Arc::clone(&pool.shared),
            provider,
            credential: picked.credential,
            probe: picked.probe,
            hold: Some(picked.hold),
            estimate,
        }
    }

    /// The credential to use.
    pub const fn credential(&self) -> &CredentialName {
        &self.credential
    }

    /// The tokens that it is likely to use, by those before it.
    pub const fn expected_tokens(&self) -> u64 {
        self.estimate.tokens
    }

    /// Whether this call finds out if a rest or an open breaker is over.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }

    /// The upstream delivers: what this call was to find out is answered with yes.
    pub fn commit(&mut self) {
        if self.probe
            && let Some(hold) = &mut self.hold
        {
            self.probe = false;
            self.shared.store.commit(self.shared.clock.now(), hold);
            self.shared.waiting.wake_all(&self.provider);
        }
    }

    /// Ends the attempt and says who is to blame. Never waits.
    pub fn settle(mut self, settled: Settled) -> Blame {
        self.end(&settled).unwrap_or(Blame::AsSettled)
    }

    fn end(&mut self, settled: &Settled) -> Option<Blame> {
        let hold = self.hold.take()?;
        let now = self.shared.clock.now();
        let settled = &Settled {
            usage: settled.usage.as_ref().map(believed_usage),
            ..*settled
        };
        if let Some(usage) = &settled.usage {
            self.shared.estimates.learn(self.estimate, usage.total(), now);
        }
        let blame = self.shared.store.settle(now, hold, settled);
        if self.probe {
            // Its answer may have opened more than the place that it gives back.
            self.shared.waiting.wake_all(&self.provider);
        } else {
            self.shared.waiting.wake_one(&self.provider);
        }
        Some(blame)
    }
}

impl<S: Store> Drop for Lease<S> {
    fn drop(&mut self) {
        self.end(&Settled::new(crate::Outcome::Cancelled));
    }
}

impl<S: Store> fmt::Debug for Lease<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("credential", &self.credential)
            .field("probe", &self.probe)
            .finish_non_exhaustive()
    }
}

impl<S: Store> Admission<S> {
    pub(crate) fn new(pool: &Pool<S>, seat: S::Seat, estimate: Estimate) -> Self {
        Self {
            shared: Arc::clone(&pool.shared),
            seat: Some(seat),
            estimate,
        }
    }

    /// The tokens that it is likely to use, by those before it.
    pub const fn expected_tokens(&self) -> u64 {
        self.estimate.tokens
    }

    /// Ends the call with all tokens that it used, input and output. Never waits.
    pub fn settle(mut self, tokens: u64) {
        self.end(Some(tokens));
    }

    fn end(&mut self, tokens: Option<u64>) {
        if let Some(seat) = self.seat.take() {
            let now = self.shared.clock.now();
            let tokens = tokens.map(believed);
            if let Some(tokens) = tokens {
                self.shared.estimates.learn(self.estimate, tokens, now);
            }
            self.shared.store.leave(now, seat, tokens);
        }
    }
}

impl<S: Store> Drop for Admission<S> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<S: Store> fmt::Debug for Admission<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}
