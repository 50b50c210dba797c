//! What is asked of the pool and what it answers.

use std::{sync::Arc, time::Duration};

use snapshot::{
    CallLimits, ClientName, CredentialName, Provider, ProviderName, QuotaWindow, RestReason, RestScope,
    Timestamp, WhenStoreIsAway,
};

use crate::{Lane, Rest, lane::object_hash};

/// A caller that wants in.
#[derive(Clone, Copy, Debug)]
pub struct Admit<'a> {
    /// Who.
    pub client: &'a ClientName,
    /// What it may use at most.
    pub limits: &'a CallLimits,
    /// What it may use within longer periods.
    pub budgets: &'a [QuotaWindow],
    /// Whether it is let in while replicas cannot agree on what it has used.
    pub when_store_is_away: WhenStoreIsAway,
    /// The model that it names; its usual size with this model is reserved.
    pub model: &'a str,
}

/// A credential that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// For whom: its usual size with this model is reserved on the credential.
    pub client: &'a ClientName,
    /// The Provider, for its breaker, its concurrency and its selection.
    pub provider: &'a Provider,
    /// The upstream's name of the model.
    pub model: &'a str,
    /// The eligible credentials, best tier first.
    pub lanes: &'a [Arc<Lane>],
    /// Credentials that this call has used already.
    pub tried: &'a [CredentialName],
    /// The only credential that will do, because it holds the state that the call refers to.
    pub pinned: Option<&'a CredentialName>,
    /// The object of the upstream that the call refers to, where it is not known who holds it: nobody else
    /// will do.
    pub object: Option<ObjectId>,
    /// A hash of what keeps a conversation together.
    pub affinity: Option<u64>,
}

/// Tokens that a call is likely to use, held for it until they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserves {
    /// Of the caller.
    pub call: u64,
    /// Of the credential.
    pub attempt: u64,
}

/// A limit of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Calls at the same time.
    Concurrency,
    /// Calls in any 60 seconds.
    RequestsPerMinute,
    /// Tokens in any 60 seconds.
    TokensPerMinute,
    /// What may be used within a longer period.
    Budget,
    /// Not known: replicas cannot agree on what is used, and the caller is to be refused then.
    StoreAway,
}

/// A caller was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {} is reached", limit.as_str())]
pub struct Denied {
    /// The limit that was reached.
    pub limit: Limit,
    /// When it pays to come back.
    pub retry_after: Duration,
}

/// An object of an upstream: a hash of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(pub(crate) u128);

/// What this process knows of who holds an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This credential.
    Known(CredentialName),
    /// The store that replicas share may know.
    Elsewhere,
    /// Nobody knows.
    Unknown,
}

/// The store that replicas share is away, and what it knows is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is away")]
pub struct StoreAway;

/// No credential can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoneUsable {
    /// Nobody among them is known to hold the object that the call refers to.
    #[error("the object is not known")]
    UnknownObject,
    /// There is none at all, or every one was tried and at least one of them is not at rest.
    #[error("no credential is left to try")]
    Empty,
    /// All rest.
    #[error("all credentials rest until {soonest} ({})", reason.as_str())]
    Resting {
        /// When the first of them ends its rest.
        soonest: Timestamp,
        /// Why that one rests.
        reason: RestReason,
    },
    /// Those that do not rest are full, and waiting did not help.
    #[error("all credentials are full until {soonest}")]
    Full {
        /// When the first has room again or ends its rest; a second from now when that depends on calls
        /// under way.
        soonest: Timestamp,
    },
    /// The endpoint is left alone.
    #[error("the endpoint is left alone until {until}")]
    BreakerOpen {
        /// Until when.
        until: Timestamp,
    },
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With a whole answer.
    Succeeded,
    /// The upstream refused the request itself.
    CallerFault,
    /// The upstream refused the credential.
    CredentialFault,
    /// The upstream failed.
    UpstreamFault,
    /// Nobody waited for the end.
    Cancelled,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used, as far as known.
    pub usage: Option<TokenCounts>,
    /// What rests because of it.
    pub rest: Option<(RestScope, Rest)>,
    /// What the upstream says is used of the account's quota, if it says so.
    pub headroom: Option<Headroom>,
}

/// How much of a quota is used, in an upstream's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Used parts per million.
    pub used: u32,
    /// When it is full again, from now.
    pub resets_in: Duration,
}

/// Who the pool holds to blame for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever the outcome says.
    AsSettled,
    /// The Provider: it refuses so many of its credentials that this one is not at fault. It does not
    /// rest; the endpoint's breaker is open.
    Provider,
}

/// Tokens by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// The whole prompt, cached parts included.
    pub input: u64,
    /// Of these, read from the upstream's cache.
    pub cached: u64,
    /// Of these, written to the upstream's cache.
    pub cache_write: u64,
    /// The whole answer, reasoning included.
    pub output: u64,
    /// Of these, reasoning.
    pub reasoning: u64,
}

/// One credential as the pool sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialState {
    /// Which.
    pub name: CredentialName,
    /// Calls at this moment.
    pub in_flight: u32,
    /// Tokens held for calls at this moment.
    pub reserved_tokens: u64,
    /// Its rests, that of the whole credential first.
    pub rests: Vec<Resting>,
    /// Its quota windows that have begun.
    pub windows: Vec<WindowState>,
}

/// One rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resting {
    /// The upstream model that it is for; `None` for all.
    pub model: Option<Arc<str>>,
    /// Why.
    pub reason: RestReason,
    /// Until when; in the past when a probe has yet to find out whether it is over.
    pub until: Timestamp,
}

/// What is used of a quota or budget in its present period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowState {
    /// Its name.
    pub name: Arc<str>,
    /// Requests in this period.
    pub requests: u64,
    /// Tokens in this period.
    pub tokens: u64,
    /// When the period ends.
    pub resets_at: Timestamp,
}

/// One caller as the pool sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientState {
    /// Which.
    pub name: ClientName,
    /// Calls at this moment.
    pub in_flight: u32,
    /// Tokens held for calls at this moment.
    pub reserved_tokens: u64,
    /// Its budgets that have begun.
    pub budgets: Vec<WindowState>,
}

/// One Provider's endpoint as the pool sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerState {
    /// Which Provider.
    pub provider: ProviderName,
    /// Calls at this moment.
    pub in_flight: u32,
    /// Until when it is left alone; `None` when calls pass. In the past when one call may probe.
    pub open_until: Option<Timestamp>,
}

impl ObjectId {
    /// The object with this id. A hash of the id is kept, and the id is not.
    pub fn new(id: &str) -> Self {
        Self(object_hash(id))
    }
}

impl Limit {
    /// What the limit is about, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "calls at the same time",
            Self::RequestsPerMinute => "requests per minute",
            Self::TokensPerMinute => "tokens per minute",
            Self::Budget => "a longer period",
            Self::StoreAway => "a caller that must not exceed it while the store is away",
        }
    }
}

impl Settled {
    /// An end without usage or rest.
    pub const fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            usage: None,
            rest: None,
            headroom: None,
        }
    }
}

impl TokenCounts {
    /// Input and output together, which is what limits count.
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Adds another count.
    pub const fn add(&mut self, other: &Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }
}
