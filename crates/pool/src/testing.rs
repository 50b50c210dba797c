//! Fixtures for the tests of this crate and of stores.
#![expect(
    clippy::missing_panics_doc,
    reason = "fixtures are right or the test is wrong"
)]

#[cfg(test)]
pub(crate) mod any;

use std::{sync::Arc, time::Duration};

use snapshot::{
    Auth, Breaker, CallLimits, ClientName, Consumers, CredentialName, Endpoint, Period, Provider,
    ProviderName, QuotaWindow, Scheme, Selection, Strategy, Timeouts, Timestamp, Tls,
};

use crate::{Admit, Clock, Lane, ManualClock, Member, Pick};

/// One Provider with one lane per tier, one client, and a clock that stands at some moment.
#[derive(Clone, Debug)]
pub struct World {
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// The Provider, `ns/p`.
    pub provider: Provider,
    /// Its credentials, best tier first.
    pub lanes: Vec<Arc<Lane>>,
    /// The caller, `ns/client`.
    pub client: ClientName,
    /// Its limits.
    pub limits: CallLimits,
    /// Its budgets.
    pub budgets: Vec<QuotaWindow>,
}

/// A clock that follows the runtime's, which tests pause.
#[derive(Debug)]
pub struct RuntimeClock(tokio::time::Instant);

/// The upstream model that everybody asks for.
pub const MODEL: &str = "model";

/// Where clocks of tests start.
pub const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

impl Default for RuntimeClock {
    fn default() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        START + self.0.elapsed()
    }
}

impl World {
    /// A world whose only tier has members named by single letters, all alike.
    pub fn new(strategy: Strategy, members: &[Member]) -> Self {
        Self {
            clock: Arc::new(ManualClock::new(START)),
            provider: provider(strategy),
            lanes: vec![lane(MODEL, strategy, members)],
            client: "ns/client".parse().expect("a valid name"),
            limits: CallLimits::default(),
            budgets: Vec::new(),
        }
    }

    /// Adds a tier below the others.
    #[must_use]
    pub fn tier(mut self, members: &[Member]) -> Self {
        let strategy = self.provider.selection.strategy;
        self.lanes.push(lane(MODEL, strategy, members));
        self
    }

    /// Sets how long picks wait.
    #[must_use]
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.provider.selection.max_wait = max_wait;
        self
    }

    /// A plain pick.
    pub fn pick(&self) -> Pick<'_> {
        Pick {
            client: &self.client,
            provider: &self.provider,
            model: MODEL,
            lanes: &self.lanes,
            tried: &[],
            pinned: None,
            object: None,
            affinity: None,
        }
    }

    /// A plain admission.
    pub fn admit(&self) -> Admit<'_> {
        Admit {
            client: &self.client,
            limits: &self.limits,
            budgets: &self.budgets,
            when_store_is_away: snapshot::WhenStoreIsAway::Share,
            model: MODEL,
        }
    }
}

/// A Provider that does not wait.
pub fn provider(strategy: Strategy) -> Provider {
    Provider {
        name: provider_name(),
        dialect: dialect::Dialect::OpenAi,
        apis: Vec::new(),
        endpoint: Endpoint {
            scheme: Scheme::Https,
            host: "upstream.example".into(),
            port: 443,
            path: "".into(),
            service: false,
        },
        auth: Auth::Bearer,
        headers: Vec::new(),
        tls: Tls::default(),
        models: Vec::new(),
        consumers: Consumers::Same,
        timeouts: Timeouts::default(),
        concurrency: None,
        breaker: Breaker::default(),
        error_rules: Vec::new(),
        selection: Selection {
            strategy,
            max_wait: Duration::ZERO,
            ..Selection::default()
        },
        azure: None,
    }
}

/// The name of [`provider`].
pub fn provider_name() -> ProviderName {
    "ns/p".parse().expect("a valid name")
}

/// A lane of that Provider.
pub fn lane(model: &str, strategy: Strategy, members: &[Member]) -> Arc<Lane> {
    Arc::new(Lane::new(provider_name(), model, strategy, members.to_vec()))
}

/// The name of a credential.
pub fn credential(name: &str) -> CredentialName {
    CredentialName::new("ns", name).expect("a valid name")
}

/// An unlimited member of weight 1.
pub fn member(name: &str) -> Member {
    Member {
        credential: credential(name),
        weight: 1,
        limits: CallLimits::default(),
        quota: Vec::new().into(),
    }
}

/// Unlimited members of weight 1, by the letters of `names`.
pub fn members(names: &str) -> Vec<Member> {
    names.chars().map(|name| member(&name.to_string())).collect()
}

/// A member that serves at most so many calls at a time.
pub fn narrow(name: &str, concurrency: u32) -> Member {
    let mut member = member(name);
    member.limits.concurrency = Some(concurrency);
    member
}

/// A member with these quota windows.
pub fn with_quota(name: &str, windows: &[QuotaWindow]) -> Member {
    Member {
        quota: windows.into(),
        ..member(name)
    }
}

/// A window without numbers that lasts so many seconds from its first request on.
pub fn rolling(name: &str, seconds: u64) -> QuotaWindow {
    QuotaWindow {
        name: name.into(),
        period: Period::Rolling(Duration::from_secs(seconds)),
        requests: None,
        tokens: None,
    }
}

/// The same, with so many requests.
pub fn requests(name: &str, seconds: u64, requests: u64) -> QuotaWindow {
    QuotaWindow {
        requests: Some(requests),
        ..rolling(name, seconds)
    }
}

/// The same, with so many tokens.
pub fn tokens(name: &str, seconds: u64, tokens: u64) -> QuotaWindow {
    QuotaWindow {
        tokens: Some(tokens),
        ..rolling(name, seconds)
    }
}
