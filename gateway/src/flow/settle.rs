//! The end of a call, however it comes: lease outcome, usage, counters, log. Never fails the request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dialect::{Operation, Refusal, Usage};
use http::StatusCode;
use pool::{Headroom, Rest, RestEnd, Settled, TokenCounts, usage::Open};
use snapshot::{CredentialName, ProviderName, RestReason, RestScope, Timeouts};

use super::{
    Inbound,
    authenticate::Caller,
    classify::{Setback, refused},
    peek::{Call, Payload},
    route::Plan,
};
use tracing::{Span, debug_span, field};

use crate::{
    app::{App, InFlight},
    failure::Failure,
    live::{LiveCredential, LiveProvider, Served},
    metrics::{CallMeters, Outcome},
    store::{Admission, Lease},
};

/// Everything that a call has taken and must give back. Exactly one of its endings is recorded; when it is dropped
/// without one, the client has left. Always boxed, because it moves through the futures of a call and stays with a
/// stream.
pub(crate) struct Settlement {
    app: Arc<App>,
    caller: Caller,
    operation: Operation,
    arrived: Instant,
    status: StatusCode,
    slot: Option<InFlight>,
    planned: Option<Planned>,
    admission: Option<Admission>,
    /// The use of the call, once known.
    open: Option<Open>,
    attempt: Option<Box<Attempt>>,
    asked: Option<ProviderName>,
    ended: bool,
    /// The call, for traces; its attempts are its children.
    span: Span,
}

/// What is known of a call once it has a plan.
struct Planned {
    served: Arc<Served>,
    operation: Operation,
    stream: bool,
    /// Length of the request's body, from which tokens are estimated when the client leaves.
    body: u64,
}

/// The attempt that is delivered.
pub(crate) struct Attempt {
    pub(crate) lease: Lease,
    /// Its use, once known.
    pub(crate) open: Open,
    pub(crate) provider: Arc<LiveProvider>,
    pub(crate) credential: Arc<LiveCredential>,
    /// Attempts made, this one included.
    pub(crate) attempts: u32,
    /// Time spent waiting for upstreams.
    pub(crate) waited: Duration,
    /// The upstream said that nothing is left for this long.
    pub(crate) spent: Option<Duration>,
    /// What the upstream said of the account's limits.
    pub(crate) headroom: Option<Headroom>,
}

/// Bytes of a request's JSON per token, roughly, for estimates of calls that were cancelled.
const BYTES_PER_TOKEN: u64 = 4;

impl Settlement {
    /// Counts a caller that is not known.
    pub(super) fn stranger(app: &App, failure: &Failure) {
        let nobody: Arc<str> = "".into();
        app.metrics
            .call(&nobody, &nobody, None, None)
            .ended(failure.status, Outcome::Failed, Duration::ZERO);
    }

    pub(super) fn new(app: &Arc<App>, inbound: &Inbound, operation: Operation, caller: &Caller) -> Box<Self> {
        Box::new(Self {
            app: app.clone(),
            caller: caller.clone(),
            operation,
            arrived: inbound.arrived,
            status: StatusCode::OK,
            slot: None,
            planned: None,
            admission: None,
            open: None,
            attempt: None,
            asked: None,
            ended: false,
            span: debug_span!(
                "call",
                request_id = &*inbound.request_id,
                client = %caller.client.name,
                operation = operation.as_str(),
                route = field::Empty,
                credential = field::Empty,
                attempts = field::Empty,
                status = field::Empty,
                outcome = field::Empty,
                input_tokens = field::Empty,
                output_tokens = field::Empty,
            ),
        })
    }

    /// The call as a span.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// The call has a place among those in flight.
    pub(super) fn entered(&mut self, slot: InFlight) {
        self.slot = Some(slot);
    }

    /// The call is understood and has a route.
    pub(super) fn planned(&mut self, call: &Call, plan: &Plan) {
        let body = match &call.payload {
            Payload::Json { body, .. } => body.len() as u64,
            Payload::Empty | Payload::Form(_) => 0,
        };
        self.planned = Some(Planned {
            served: plan.served.clone(),
            operation: call.operation,
            stream: call.stream,
            body,
        });
    }

    /// The caller has a place within its limits.
    pub(super) fn admitted(&mut self, admission: Admission) {
        if let Some(Planned { served, .. }) = &self.planned {
            let call = pool::usage::Call {
                client: &self.caller.client.name,
                route: &served.name,
            };
            let app = &self.app;
            let open = app
                .ledger
                .begin_call(app.clock.now(), call, admission.expected_tokens());
            self.open = Some(open);
        }
        self.admission = Some(admission);
    }

    /// The client has seen this status.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// An attempt is being delivered.
    pub(super) fn delivering(&mut self, attempt: Box<Attempt>) {
        self.attempt = Some(attempt);
    }

    /// The Provider that was asked last, for a call that failed.
    pub(super) fn asked(&mut self, provider: Option<ProviderName>) {
        self.asked = provider;
    }

    /// Whether the caller wants to know which credential served it.
    pub(super) fn debug_headers(&self) -> bool {
        self.caller.client.debug_headers
    }

    /// The Provider and the credential that hold what this call creates.
    pub(super) fn holder(&self) -> Option<(&ProviderName, &CredentialName)> {
        let attempt = self.attempt.as_ref()?;
        Some((&attempt.provider.provider.name, attempt.lease.credential()))
    }

    /// How long the Provider may take for what.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.attempt
            .as_ref()
            .map_or_else(Timeouts::default, |attempt| attempt.provider.provider.timeouts)
    }

    /// What a refusal in the middle of a stream means.
    pub(super) fn refused(&self, refusal: &Refusal) -> Option<Setback> {
        let attempt = self.attempt.as_ref()?;
        Some(refused(&attempt.provider, &attempt.credential, refusal, b""))
    }

    /// The whole answer is there.
    pub(super) fn succeeded(mut self: Box<Self>, usage: Option<Usage>) {
        self.end(Outcome::Succeeded, usage, 0, None);
    }

    /// The whole stream was sent.
    pub(super) fn streamed(
        mut self: Box<Self>,
        usage: Option<Usage>,
        frames: u64,
        first_token: Option<Instant>,
    ) {
        if let Some(first) = first_token {
            let tokens = usage.map_or(frames, |usage| usage.output);
            self.meters()
                .streamed(first - self.arrived, first.elapsed(), tokens);
        }
        self.end(Outcome::Succeeded, usage, frames, None);
    }

    /// The answer broke off.
    pub(super) fn interrupted(
        mut self: Box<Self>,
        usage: Option<Usage>,
        frames: u64,
        setback: Option<&Setback>,
    ) {
        self.end(Outcome::Interrupted, usage, frames, setback);
    }

    /// The client left in the middle of the answer.
    pub(super) fn cancelled(mut self: Box<Self>, usage: Option<Usage>, frames: u64) {
        self.end(Outcome::Cancelled, usage, frames, None);
    }

    /// The call failed before anything was sent.
    pub(super) fn failed(mut self: Box<Self>, failure: Failure) -> Failure {
        self.status = failure.status;
        self.end(Outcome::Failed, None, 0, None);
        failure
    }

    /// The call failed after status 200 had gone out.
    pub(super) fn failed_late(mut self: Box<Self>, failure: Failure) -> Failure {
        self.end(Outcome::Interrupted, None, 0, None);
        failure
    }

    /// The counters of this call. Before it has a route it is counted under its caller's namespace alone.
    fn meters(&self) -> Arc<CallMeters> {
        let delivered = self
            .attempt
            .as_ref()
            .map(|attempt| &attempt.provider.provider.name);
        let provider = delivered.or(self.asked.as_ref());
        let metrics = &self.app.metrics;
        if let Some(Planned {
            served, operation, ..
        }) = &self.planned
        {
            metrics.call(&served.namespace, &served.label, provider, Some(*operation))
        } else {
            let namespace = self.caller.client.name.namespace().into();
            metrics.call(&namespace, &"".into(), provider, Some(self.operation))
        }
    }

    fn end(&mut self, outcome: Outcome, usage: Option<Usage>, frames: u64, setback: Option<&Setback>) {
        self.ended = true;
        let duration = self.arrived.elapsed();
        self.caller.meters.ended(outcome);
        let meters = self.meters();
        meters.ended(self.status, outcome, duration);
        if let Some(usage) = usage {
            meters.used(usage);
            self.caller.meters.used(usage);
        }
        self.log(outcome, usage, duration);
        // Limits count what a call that was not finished has used too, as well as it can be known.
        let guess = self.estimate(outcome, frames);
        let estimated = guess.is_some();
        let charged = match (usage, guess) {
            // Anthropic announces its input at once and its output at the end, which did not come.
            (Some(said), Some(guess)) => Some(Usage {
                output: said.output.max(guess.output),
                ..said
            }),
            (said, guess) => said.or(guess),
        };
        if let Some(open) = self.open.take() {
            open.end(charged.map(counts), estimated);
        }
        // What is only guessed neither rests a credential nor blames it.
        let setback = setback.filter(|setback| setback.guess.is_none());
        // A call whose use is not known says nothing about the next one's: it only gives its place back.
        if let Some((admission, usage)) = self.admission.take().zip(charged) {
            admission.settle(usage.input.saturating_add(usage.output));
        }
        if let Some(Attempt {
            lease,
            open,
            provider,
            credential,
            waited,
            spent,
            headroom,
            ..
        }) = self.attempt.take().map(|attempt| *attempt)
        {
            if !self.streams() {
                meters.overhead(duration.saturating_sub(waited));
            }
            if let Some(usage) = usage {
                credential.meters.used(usage);
            }
            // Nothing left, said in time: the next call need not find out by a refusal.
            let spent = spent.map(|wait| {
                let rest = Rest {
                    reason: RestReason::RateLimited,
                    end: RestEnd::Stated(wait),
                };
                (RestScope::Credential, rest)
            });
            let rest = setback.and_then(|setback| setback.rest).or(spent);
            if let Some((scope, rest)) = &rest {
                self.app.metrics.rest(&provider.provider.name, rest.reason);
                self.app.rests(&credential, *scope, rest);
            } else if outcome == Outcome::Succeeded {
                self.app.accepts(&credential);
            }
            let outcome = match (outcome, setback.map(|setback| setback.fault)) {
                (Outcome::Succeeded, _) => pool::Outcome::Succeeded,
                (Outcome::Cancelled, _) | (_, None) => pool::Outcome::Cancelled,
                (_, Some(snapshot::Fault::Credential)) => pool::Outcome::CredentialFault,
                (_, Some(snapshot::Fault::Upstream)) => pool::Outcome::UpstreamFault,
                (_, Some(snapshot::Fault::Caller | snapshot::Fault::Gateway)) => pool::Outcome::CallerFault,
            };
            open.end(charged.map(counts), estimated);
            lease.settle(Settled {
                outcome,
                usage: charged.map(counts),
                rest,
                headroom,
            });
        }
        self.slot = None;
    }

    fn streams(&self) -> bool {
        self.planned.as_ref().is_some_and(|planned| planned.stream)
    }

    /// What a call that was not finished has probably used; nothing when no upstream was asked.
    fn estimate(&self, outcome: Outcome, frames: u64) -> Option<Usage> {
        let unfinished = matches!(outcome, Outcome::Cancelled | Outcome::Interrupted);
        let planned = self
            .planned
            .as_ref()
            .filter(|_| unfinished && self.attempt.is_some())?;
        Some(Usage {
            input: planned.body / BYTES_PER_TOKEN,
            output: frames,
            ..Usage::default()
        })
    }

    /// Ends the span, and says in one line what became of the call. Both cost nothing where nobody listens.
    fn log(&self, outcome: Outcome, usage: Option<Usage>, duration: Duration) {
        if self.span.is_disabled() {
            return;
        }
        if let Some(planned) = &self.planned {
            self.span.record("route", &*planned.served.label);
        }
        if let Some(attempt) = &self.attempt {
            self.span
                .record("credential", attempt.lease.credential().as_str());
            self.span.record("attempts", attempt.attempts);
        }
        if let Some(usage) = usage {
            self.span.record("input_tokens", usage.input);
            self.span.record("output_tokens", usage.output);
        }
        self.span.record("status", self.status.as_u16());
        self.span.record("outcome", outcome.as_str());
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.span.in_scope(|| tracing::debug!(duration_ms, "call ended"));
    }
}

fn counts(usage: Usage) -> TokenCounts {
    let Usage {
        input,
        cached,
        cache_write,
        output,
        reasoning,
    } = usage;
    TokenCounts {
        input,
        cached,
        cache_write,
        output,
        reasoning,
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Cancelled, None, 0, None);
        }
    }
}
