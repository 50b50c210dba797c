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
    peek::{Call, Payload, Unsent},
    route::Plan,
    select::{none_usable, select, soonest},
    send::{Stopped, send},
    settle::Attempt,
};
use crate::{
    app::App,
    failure::Failure,
    lifecycle::Phase,
    live::{LiveCredential, LiveProvider},
    metrics,
    store::Lease,
    upstream::RequestBody,
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
    doubt: Option<Box<Doubt>>,
    last: Option<Box<Setback>>,
    none: Option<NoneUsable>,
    soonest: Option<Timestamp>,
}

/// A refusal whose meaning waits for a second opinion.
struct Doubt {
    lease: Lease,
    held: Held,
    setback: Setback,
}

/// A credential as it is presented at this moment, with its Provider.
#[derive(Clone)]
struct Held {
    provider: Arc<LiveProvider>,
    credential: Arc<LiveCredential>,
}

/// Why an attempt did not lead to an answer.
enum Unanswered {
    /// The credential is not to be presented like this any more, and was not. The request's body, and what it counts as.
    Revoked(RequestBody, Open),
    /// The credential went before anything was sent with it.
    Gone,
    /// Somebody is at fault.
    Setback(Setback),
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
            let Some(mut held) = self.held(index, &lease) else {
                trail.tried.push(lease.credential().clone());
                continue;
            };
            match self.attempt(index, &lease, &mut held, trail).await {
                Ok((answer, open)) => {
                    let name = &held.provider.provider.name;
                    self.believe(trail, name);
                    self.app.metrics.attempt(name, metrics::Outcome::Succeeded, None);
                    let attempt = Box::new(Attempt {
                        lease,
                        open,
                        provider: held.provider,
                        credential: held.credential,
                        attempts: trail.attempts,
                        waited: trail.waited,
                        spent: trail.spent,
                        headroom: trail.headroom,
                    });
                    return Ok(Some(Delivery { answer, attempt }));
                }
                Err(Unanswered::Gone | Unanswered::Revoked(..)) => {
                    trail.tried.push(lease.credential().clone());
                }
                Err(Unanswered::Setback(setback)) => match self.after(index, lease, held, setback, trail) {
                    Next::Credential => {}
                    Next::Hop => return Ok(None),
                    Next::End(failure) => return Err(failure),
                },
            }
        }
    }

    /// The credential of a lease as it is at this moment, not at the call's start: one that is gone or changed is not
    /// used any more. Nor does a key go to another place than the one that it was made for.
    fn held(&self, index: usize, lease: &Lease) -> Option<Held> {
        let planned = &self.plan.hops[index].provider;
        let live = self.app.live();
        let (provider, credential) = live.credential(lease.credential())?;
        provider.leads_to(planned).then(|| Held {
            provider: provider.clone(),
            credential: credential.clone(),
        })
    }

    /// Asks the upstream. A key that changes before anything was sent is exchanged for the new one.
    async fn attempt(
        &mut self,
        index: usize,
        lease: &Lease,
        held: &mut Held,
        trail: &mut Trail,
    ) -> Result<(Answer, Open), Unanswered> {
        trail.attempts += 1;
        held.credential.meters.sent();
        let began = Instant::now();
        let span = tracing::debug_span!(
            "attempt",
            provider = %held.provider.provider.name,
            credential = %lease.credential(),
            model = &*self.plan.hops[index].model,
            attempt = trail.attempts,
        );
        let mut open = None;
        let answer = loop {
            match self
                .ask(index, lease, held, open, trail)
                .instrument(span.clone())
                .await
            {
                Err(Unanswered::Revoked(body, counted)) => {
                    self.take_back(index, body);
                    open = Some(counted);
                    match self.held(index, lease) {
                        Some(now) => *held = now,
                        None => break Err(Unanswered::Gone),
                    }
                }
                answer => break answer,
            }
        };
        trail.waited += began.elapsed();
        answer
    }

    /// Keeps the body of a request that was not sent, if it can be sent only once.
    fn take_back(&mut self, index: usize, body: RequestBody) {
        if let (Payload::Form(form), RequestBody::Streamed(body)) = (&mut self.call.payload, body) {
            let model = self.plan.hops[index].model.clone();
            *form = Some(Unsent::Written { model, body });
        }
    }

    /// Asks the upstream once. `open` is what the attempt counts as, if it was counted already.
    async fn ask(
        &mut self,
        index: usize,
        lease: &Lease,
        held: &Held,
        open: Option<Open>,
        trail: &mut Trail,
    ) -> Result<(Answer, Open), Unanswered> {
        let hop = &self.plan.hops[index];
        let Held { provider, credential } = held;
        let outbound = encode(&mut self.call, hop, provider, credential)
            .map_err(|failure| Unanswered::Setback(Setback::final_word(failure)))?;
        let reading = Reading {
            hide_usage: outbound.hide_usage,
            policy: self.plan.served.stream,
            deadline: self.call.arrived + hop.provider.provider.timeouts.total,
        };
        self.asked = Some(provider.provider.name.clone());
        // Dropped without an end it stays a request whose use nobody knows.
        let open = open.unwrap_or_else(|| hop.begin(&self.app, lease));
        let permit = &credential.standing.permit;
        let sent = send(hop, outbound.request, permit, self.call.stream, reading.deadline);
        let reply = match sent.await {
            Ok(reply) => reply,
            Err(Stopped::Revoked(body)) => return Err(Unanswered::Revoked(body, open)),
            Err(Stopped::Setback(setback)) => return Err(Unanswered::Setback(setback)),
        };
        trail.spent = match retry_after::parse(&reply.headers, self.app.since_epoch()) {
            Some(Retry::Reset(wait)) => Some(wait),
            Some(Retry::After(_)) | None => None,
        };
        trail.headroom = match hop.provider.provider.selection.strategy {
            Strategy::MostHeadroom => self.headroom(&reply.headers),
            Strategy::RoundRobin | Strategy::LeastBusy | Strategy::Weighted | Strategy::FillFirst => None,
        };
        match classify(&self.app, &self.call, hop, credential, reply, &reading).await {
            Ok(answer) => Ok((answer, open)),
            Err(setback) => Err(Unanswered::Setback(setback)),
        }
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
    fn after(&self, index: usize, lease: Lease, held: Held, setback: Setback, trail: &mut Trail) -> Next {
        let hop = &self.plan.hops[index];
        let provider = &hop.provider.provider.name;
        self.app
            .metrics
            .attempt(provider, metrics::Outcome::Failed, Some(setback.fault));
        trail.tried.push(lease.credential().clone());
        let replayable = !matches!(self.call.payload, Payload::Form(_));
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
                    (Some(_), true) => {
                        let doubt = Doubt { lease, held, setback };
                        return self.doubt(doubt, trail);
                    }
                    (Some(_), false) => {
                        lease.settle(Settled::new(Outcome::CallerFault));
                        return Next::End(setback.failure);
                    }
                    (None, _) => {}
                }
                let blame = self.rest(&held, lease, &setback);
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
    fn doubt(&self, doubt: Doubt, trail: &mut Trail) -> Next {
        if let Some(first) = trail.doubt.take() {
            // Nobody was accepted so far, so nothing is known of the first credential either.
            first.lease.settle(Settled::new(Outcome::CallerFault));
            let same_provider = first.held.provider.provider.name == doubt.held.provider.provider.name;
            if first.setback.guess == doubt.setback.guess && same_provider {
                doubt.lease.settle(Settled::new(Outcome::CallerFault));
                return self.next_priority_or_end(doubt.setback, trail);
            }
        }
        trail.last = Some(Box::new(doubt.setback.clone()));
        trail.doubt = Some(Box::new(doubt));
        Next::Credential
    }

    /// Another credential was accepted where one was refused: the refusal was about that credential. What another
    /// Provider accepts says nothing about it.
    fn believe(&self, trail: &mut Trail, accepted: &ProviderName) {
        if let Some(Doubt { lease, held, setback }) = trail.doubt.take().map(|doubt| *doubt) {
            if held.provider.provider.name == *accepted {
                self.rest(&held, lease, &setback);
            } else {
                lease.settle(Settled::new(Outcome::CallerFault));
            }
        }
    }

    /// Settles a refused lease; says whether the Provider refuses everybody.
    fn rest(&self, held: &Held, lease: Lease, setback: &Setback) -> Blame {
        if let Some((scope, rest)) = &setback.rest {
            self.app.metrics.rest(&held.provider.provider.name, rest.reason);
            self.app.rests(&held.credential, *scope, rest);
            tracing::info!(
                credential = %lease.credential(), reason = rest.reason.as_str(), "credential rests"
            );
        }
        lease.settle(Settled {
            rest: setback.rest,
            ..Settled::new(Outcome::CredentialFault)
        })
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
        if let Some(Doubt { lease, setback, .. }) = trail.doubt.take().map(|doubt| *doubt) {
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
