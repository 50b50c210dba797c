//! The only retry loop: select → encode → send → classify, until an answer is worth delivering.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dialect::{Retry, headroom, retry_after};
use http::HeaderMap;
use pool::{Blame, Headroom, NoneUsable, Outcome, Settled, usage::Open};
use smallvec::SmallVec;
use snapshot::{CredentialName, FallbackOn, Fault, ProviderName, Strategy, Timestamp};
use tracing::Instrument;

use super::{
    classify::{Answer, Reading, Setback, classify},
    encode::encode,
    peek::Call,
    route::Plan,
    select::{none_usable, select, soonest},
    send::send,
    settle::Attempt,
};
use crate::{
    app::App,
    failure::Failure,
    lifecycle::Phase,
    live::{LiveCredential, LiveProvider},
    metrics,
    store::Lease,
};

/// Credentials that one call asks at most; each refusal rests its credential, so later calls ask fewer.
const REFUSALS_MAX: u32 = 16;

/// A call that was admitted and looks for an answer.
pub(crate) struct Dispatch {
    pub(crate) app: Arc<App>,
    pub(crate) call: Call,
    pub(crate) plan: Plan,
    /// The pick that was made with the admission.
    pub(crate) first: Option<Result<Lease, NoneUsable>>,
    /// The Provider that was asked last.
    pub(crate) asked: Option<ProviderName>,
}

/// An answer with the attempt that got it. Boxed, because it moves through several futures.
pub(crate) struct Delivery {
    pub(crate) answer: Answer,
    pub(crate) attempt: Box<Attempt>,
}

/// What the attempts so far came to.
#[derive(Default)]
struct Trail {
    attempts: u32,
    refusals: u32,
    failures: u32,
    waited: Duration,
    /// What the last upstream said of its remaining quota: nothing is left for this long.
    spent: Option<Duration>,
    /// How much of its limits is used, in its own words, where that decides who is next.
    headroom: Option<Headroom>,
    /// Credentials of the present hop that were asked.
    tried: SmallVec<[CredentialName; 4]>,
    /// A refusal whose meaning waits for a second opinion.
    doubt: Option<Box<(Lease, Setback)>>,
    /// The Provider that it came from.
    doubted: Option<ProviderName>,
    last: Option<Box<Setback>>,
    none: Option<NoneUsable>,
    soonest: Option<Timestamp>,
}

/// Where to go after a setback.
enum Next {
    /// Another credential of the same hop.
    Credential,
    /// The next hop.
    Hop,
    /// Nowhere: the caller is told.
    End(Failure),
}

impl Dispatch {
    /// Looks for an answer, until there is one, nothing is left to try, or the gateway must end. Dropping the future
    /// gives back everything that it holds.
    pub(crate) async fn run(&mut self) -> Result<Delivery, Failure> {
        let ending = self.app.drain.clone().reached(Phase::Ending);
        tokio::select! {
            biased;
            found = self.search() => found,
            () = ending => Err(Failure::shutting_down()),
        }
    }

    async fn search(&mut self) -> Result<Delivery, Failure> {
        let mut trail = Trail::default();
        let mut priority = None;
        for index in 0..self.plan.hops.len() {
            let hop = &self.plan.hops[index];
            if priority.is_some_and(|before| before != hop.priority) && !self.moves_on(&trail) {
                break;
            }
            priority = Some(hop.priority);
            trail.tried.clear();
            if let Some(delivery) = self.hop(index, &mut trail).await? {
                return Ok(delivery);
            }
        }
        // Boxed, like setbacks: every call would carry the room for what few of them have.
        Err(Box::pin(self.last_word(trail)).await)
    }

    /// Tries the credentials of one hop. `None`: another hop may do better.
    async fn hop(&mut self, index: usize, trail: &mut Trail) -> Result<Option<Delivery>, Failure> {
        loop {
            let lease = match self.first.take() {
                Some(first) => first,
                None => select(&self.app.pool, &self.plan.hops[index], &trail.tried).await,
            };
            let lease = match lease {
                Ok(lease) => lease,
                Err(none) => {
                    trail.soonest = earlier(trail.soonest, soonest(&none));
                    trail.none = Some(none);
                    return Ok(None);
                }
            };
            // The key of this moment, not of the call's start: one that is gone or changed is not used any more.
            // Nor does a key go to another place than the one that it was made for.
            let planned = self.plan.hops[index].provider.provider.clone();
            let current = self.current(lease.credential()).filter(|(now, _)| {
                let now = &now.provider;
                (&now.name, &now.endpoint, &now.auth, &now.tls)
                    == (&planned.name, &planned.endpoint, &planned.auth, &planned.tls)
            });
            let Some((provider, credential)) = current else {
                trail.tried.push(lease.credential().clone());
                continue;
            };
            match self.attempt(index, &lease, &credential, trail).await {
                Ok((answer, open)) => {
                    self.believe(trail, &provider.provider.name);
                    self.app
                        .metrics
                        .attempt(&provider.provider.name, metrics::Outcome::Succeeded, None);
                    let attempt = Box::new(Attempt {
                        lease,
                        open,
                        provider,
                        credential,
                        attempts: trail.attempts,
                        waited: trail.waited,
                        spent: trail.spent,
                        headroom: trail.headroom,
                    });
                    return Ok(Some(Delivery { answer, attempt }));
                }
                Err(setback) => match self.after(index, lease, setback, trail) {
                    Next::Credential => {}
                    Next::Hop => return Ok(None),
                    Next::End(failure) => return Err(failure),
                },
            }
        }
    }

    fn current(&self, name: &CredentialName) -> Option<(Arc<LiveProvider>, Arc<LiveCredential>)> {
        let live = self.app.live();
        live.credential(name)
            .map(|(provider, credential)| (provider.clone(), credential.clone()))
    }

    async fn attempt(
        &mut self,
        index: usize,
        lease: &Lease,
        credential: &LiveCredential,
        trail: &mut Trail,
    ) -> Result<(Answer, Open), Setback> {
        let hop = &self.plan.hops[index];
        trail.attempts += 1;
        credential.meters.sent();
        let outbound = encode(&mut self.call, hop, credential).map_err(Setback::final_word)?;
        let began = Instant::now();
        let reading = Reading {
            hide_usage: outbound.hide_usage,
            policy: self.plan.served.stream,
            deadline: self.call.arrived + hop.provider.provider.timeouts.total,
        };
        self.asked = Some(hop.provider.provider.name.clone());
        // Dropped without an end it stays a request whose use nobody knows.
        let open = hop.begin(&self.app, lease);
        let answer = async {
            let reply = send(hop, outbound.request, self.call.stream, reading.deadline).await?;
            trail.spent = match retry_after::parse(&reply.headers, self.app.since_epoch()) {
                Some(Retry::Reset(wait)) => Some(wait),
                Some(Retry::After(_)) | None => None,
            };
            trail.headroom = match hop.provider.provider.selection.strategy {
                Strategy::MostHeadroom => self.headroom(&reply.headers),
                Strategy::RoundRobin | Strategy::LeastBusy | Strategy::Weighted | Strategy::FillFirst => None,
            };
            classify(&self.app, &self.call, hop, credential, reply, &reading).await
        };
        let span = tracing::debug_span!(
            "attempt",
            provider = %hop.provider.provider.name,
            credential = %credential.credential.name,
            model = &*hop.model,
            attempt = trail.attempts,
        );
        let answer = answer.instrument(span).await;
        trail.waited += began.elapsed();
        answer.map(|answer| (answer, open))
    }

    /// What an upstream says of the limits of the account.
    fn headroom(&self, headers: &HeaderMap) -> Option<Headroom> {
        let told = headroom(headers, self.app.since_epoch())?;
        Some(Headroom {
            used: told.used,
            resets_in: told.resets_in,
        })
    }

    /// Settles a failed attempt and decides where to go.
    fn after(&self, index: usize, lease: Lease, setback: Setback, trail: &mut Trail) -> Next {
        let hop = &self.plan.hops[index];
        let provider = &hop.provider.provider.name;
        self.app
            .metrics
            .attempt(provider, metrics::Outcome::Failed, Some(setback.fault));
        trail.tried.push(lease.credential().clone());
        let replayable = !matches!(self.call.payload, super::peek::Payload::Form(_));
        match setback.fault {
            Fault::Caller | Fault::Gateway => {
                // Without an answer nothing is known of the upstream, and its probe stays open.
                let outcome = if setback.answered {
                    Outcome::CallerFault
                } else {
                    Outcome::Cancelled
                };
                lease.settle(Settled::new(outcome));
                self.next_priority_or_end(setback, trail)
            }
            Fault::Credential => {
                trail.refusals += 1;
                match (&setback.guess, replayable) {
                    (Some(_), true) => return self.doubt(lease, setback, trail),
                    (Some(_), false) => {
                        lease.settle(Settled::new(Outcome::CallerFault));
                        return Next::End(setback.failure);
                    }
                    (None, _) => {}
                }
                let blame = self.rest(&hop.provider, lease, &setback);
                if !replayable {
                    return Next::End(setback.failure);
                }
                trail.last = Some(Box::new(setback));
                match blame {
                    Blame::AsSettled if trail.refusals < REFUSALS_MAX => Next::Credential,
                    // Where the upstream refuses everybody, asking the others would only rest them too.
                    Blame::AsSettled | Blame::Provider => Next::Hop,
                }
            }
            Fault::Upstream => {
                lease.settle(Settled::new(Outcome::UpstreamFault));
                trail.failures += 1;
                let retry = self.plan.served.retry;
                let next = self.plan.hops.get(index + 1);
                let total = next.unwrap_or(hop).provider.provider.timeouts.total;
                let another = replayable
                    && Instant::now() < self.call.arrived + total
                    && trail.failures < retry.attempts
                    && self.app.budgets.retry(
                        &self.plan.served.label,
                        retry.budget_percent,
                        self.app.clock.now(),
                    );
                if !another {
                    return Next::End(setback.failure);
                }
                let listed = setback.reason.is_some_and(|reason| self.plan.falls_back(reason));
                trail.last = Some(Box::new(setback));
                if next.is_some_and(|next| next.priority == hop.priority || listed) {
                    Next::Hop
                } else {
                    Next::Credential
                }
            }
        }
    }

    /// A guessed refusal waits for a second opinion; the same one twice is the request's own fault.
    fn doubt(&self, lease: Lease, setback: Setback, trail: &mut Trail) -> Next {
        if let Some((first, before)) = trail.doubt.take().map(|doubt| *doubt) {
            // Nobody was accepted so far, so nothing is known of the first credential either.
            first.settle(Settled::new(Outcome::CallerFault));
            let same_provider = trail.doubted.as_ref() == self.asked.as_ref();
            if before.guess == setback.guess && same_provider {
                lease.settle(Settled::new(Outcome::CallerFault));
                return self.next_priority_or_end(setback, trail);
            }
        }
        trail.last = Some(Box::new(setback.clone()));
        trail.doubted.clone_from(&self.asked);
        trail.doubt = Some(Box::new((lease, setback)));
        Next::Credential
    }

    /// Another credential was accepted where one was refused: the refusal was about that credential. What another
    /// Provider accepts says nothing about it.
    fn believe(&self, trail: &mut Trail, accepted: &ProviderName) {
        if let Some((lease, setback)) = trail.doubt.take().map(|doubt| *doubt)
            && let Some((provider, _)) = self.current(lease.credential())
        {
            if provider.provider.name == *accepted {
                self.rest(&provider, lease, &setback);
            } else {
                lease.settle(Settled::new(Outcome::CallerFault));
            }
        }
    }

    /// Settles a refused lease; says whether the Provider refuses everybody.
    fn rest(&self, provider: &LiveProvider, lease: Lease, setback: &Setback) -> Blame {
        if let Some((_, rest)) = &setback.rest {
            self.app.metrics.rest(&provider.provider.name, rest.reason);
            tracing::info!(
                credential = %lease.credential(), reason = rest.reason.as_str(), "credential rests"
            );
        }
        lease
            .settle(Settled {
                rest: setback.rest,
                ..Settled::new(Outcome::CredentialFault)
            })
            .blame()
    }

    /// The caller's own fault ends the call, unless the route lists it as a reason to move on.
    fn next_priority_or_end(&self, setback: Setback, trail: &mut Trail) -> Next {
        let listed = setback.reason.is_some_and(|reason| self.plan.falls_back(reason));
        let failure = setback.failure.clone();
        trail.last = Some(Box::new(setback));
        trail.none = None;
        if listed { Next::Hop } else { Next::End(failure) }
    }

    /// Whether the route lets the call go on to the next priority.
    fn moves_on(&self, trail: &Trail) -> bool {
        let reason = match (&trail.none, &trail.last) {
            (Some(NoneUsable::BreakerOpen { .. }), _) => Some(FallbackOn::UpstreamFailed),
            (Some(_), None) => Some(FallbackOn::CredentialsExhausted),
            (_, Some(setback)) => setback.reason,
            (None, None) => None,
        };
        reason.is_some_and(|reason| self.plan.falls_back(reason))
    }

    /// What the caller is told when nothing is left to try.
    async fn last_word(&self, mut trail: Trail) -> Failure {
        if let Some((lease, setback)) = trail.doubt.take().map(|doubt| *doubt) {
            // There was nobody else to ask: the upstream's words stand, and nothing rests on a guess.
            lease.settle(Settled::new(Outcome::CallerFault));
            return setback.failure;
        }
        let now = self.app.clock.now();
        match (trail.last, trail.none) {
            (Some(setback), _) if setback.fault != Fault::Credential => setback.failure,
            (Some(setback), None | Some(NoneUsable::Empty)) => {
                // All were asked and refused; the pool knows when the first of them is usable again.
                let mut first = trail.soonest;
                for hop in &self.plan.hops {
                    if let Err(none) = select(&self.app.pool, hop, &[]).await {
                        first = earlier(first, soonest(&none));
                    }
                }
                setback
                    .failure
                    .retry_after(first.map_or(Duration::from_secs(1), |first| first.since(now)))
            }
            (_, Some(none)) => none_usable(&none, trail.soonest, now),
            (None, None) => Failure::internal(),
        }
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
