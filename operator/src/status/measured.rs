//! What the store says of credentials, read again and again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use pool::{
    Clock, CredentialState, Member, StoreAway,
    usage::{Day, Dimension},
};
use resources::kinds::UsageStatus;
use snapshot::{CredentialName, ProviderName, Snapshot};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{published::Publications, store::Store};

/// What is known of the store.
#[derive(Clone, Debug, Default)]
pub enum Reading {
    /// There is none: each gateway has rests and windows of its own, and reports them.
    #[default]
    NoStore,
    /// It was not read yet, or is away: what was told before stands.
    Away,
    /// It was read.
    Known(Arc<Measured>),
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Measured {
    /// When the reading began: what was reported later is not in it.
    pub began: Instant,
    /// Rests and windows.
    pub credentials: HashMap<CredentialName, CredentialState>,
    /// Use in the last 30 days, by `namespace/name`.
    pub usage: Arc<HashMap<Arc<str>, UsageStatus>>,
}

/// How often the store is read.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Rests and windows.
    pub states: Duration,
    /// Usage, which status tells rarely anyhow.
    pub usage: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            states: Duration::from_secs(3),
            usage: Duration::from_secs(60),
        }
    }
}

/// Days of which usage is told, today included.
const DAYS: u32 = 30;

/// Reads the store while this replica leads, until it is dropped, and says what it finds.
pub async fn follow(
    store: Store,
    mut publications: Publications,
    mut leads: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    readings: watch::Sender<Reading>,
) {
    let mut usage = Arc::default();
    let mut counted: Option<Instant> = None;
    let mut ticks = interval(pace.states);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        ticks.tick().await;
        let Ok(published) = publications.wait_for(Option::is_some).await.map(|it| it.clone()) else {
            return;
        };
        let Some(published) = published else { continue };
        if counted.is_none_or(|counted| counted.elapsed() >= pace.usage) {
            match read_usage(&store, &*clock).await {
                Ok(read) => {
                    usage = Arc::new(read);
                    counted = Some(Instant::now());
                }
                Err(error) => tracing::debug!(%error, "usage cannot be read"),
            }
        }
        let began = Instant::now();
        let reading = match read_states(&store, published.contents.snapshot()).await {
            Ok(credentials) if counted.is_some() => Reading::Known(Arc::new(Measured {
                began,
                credentials,
                usage: Arc::clone(&usage),
            })),
            // The link tells of a store that is away.
            Ok(_) | Err(StoreAway) => Reading::Away,
        };
        readings.send_replace(reading);
    }
}

async fn read_states(
    store: &Store,
    snapshot: &Snapshot,
) -> Result<HashMap<CredentialName, CredentialState>, StoreAway> {
    let mut members: BTreeMap<&ProviderName, Vec<Member>> = BTreeMap::new();
    for credential in snapshot.credentials.values() {
        members.entry(&credential.provider).or_default().push(Member {
            credential: credential.name.clone(),
            weight: credential.weight,
            limits: credential.limits,
            quota: Arc::clone(&credential.quota),
        });
    }
    let mut states = HashMap::with_capacity(snapshot.credentials.len());
    for (provider, members) in members {
        for state in store.states(provider, &members).await? {
            states.insert(state.name.clone(), state);
        }
    }
    Ok(states)
}

async fn read_usage(
    store: &Store,
    clock: &dyn Clock,
) -> Result<HashMap<Arc<str>, UsageStatus>, pool::redis::ledger::LedgerError> {
    let today = Day::of(clock.now());
    let days = today.minus(DAYS - 1)..=today;
    let report = store.usage(&days, Some(Dimension::Credential)).await?;
    let mut usage: HashMap<Arc<str>, UsageStatus> = HashMap::new();
    for row in report.rows {
        let used = usage.entry(row.name).or_default();
        let counts = row.tally.counts;
        used.requests = used.requests.saturating_add(counts.requests);
        used.input_tokens = used.input_tokens.saturating_add(counts.tokens.input);
        used.output_tokens = used.output_tokens.saturating_add(counts.tokens.output);
    }
    Ok(usage)
}
