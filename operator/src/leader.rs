//! Which replica writes: leader election over a `Lease`.
//!
//! Clocks of replicas are never compared. A candidate watches the Lease for its duration by its own clock, and takes
//! it when it did not change in that time. A leader that cannot renew stops by its own clock before that, and its
//! process ends: what it had begun to write must not go on beside another's.

mod step;

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, api::ObjectMeta};
use pool::Clock;
use prometheus::{IntGauge, Registry};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    kubernetes::{CallError, call, post},
    watch::Party,
};
use step::{Seen, Step};

/// Settings of the election.
#[derive(Clone, Debug)]
pub struct LeaderSettings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who this is: differs from replica to replica, and from one life of a replica to the next.
    pub identity: String,
    /// After how long without a change others may take the Lease; whole seconds.
    pub lease: Duration,
    /// For how long a leader that cannot renew goes on; shorter than `lease`.
    pub renew: Duration,
    /// How often a leader renews, and a candidate looks.
    pub retry: Duration,
}

/// This replica has led and does not any more. Its process should end.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another has the Lease.
    #[error("the Lease is held by {0}")]
    Taken(String),
    /// The Lease could not be renewed in time.
    #[error("the Lease could not be renewed in time")]
    Late,
}

/// How long giving the Lease back may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

impl LeaderSettings {
    /// The usual times. `pod` is the name of this replica, and `random` tells its lives apart.
    pub fn new(namespace: &str, name: &str, pod: &str, random: u64) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: format!("{pod}_{random:016x}"),
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Registers the gauge that is 1 while this replica leads.
pub fn meter(registry: &Registry) -> prometheus::Result<IntGauge> {
    let leader = IntGauge::new(
        "roundhouse_operator_leader",
        "Whether this replica is the one that writes.",
    )?;
    registry.register(Box::new(leader.clone()))?;
    Ok(leader)
}

/// Takes part in the election until `end`, and then gives the Lease back, so that another takes over at once. `leads`
/// says whether this replica leads. Fails when it has led and must not go on.
pub async fn run(
    client: Client,
    party: Party,
    settings: LeaderSettings,
    clock: Arc<dyn Clock>,
    meter: IntGauge,
    leads: watch::Sender<bool>,
    end: CancellationToken,
) -> Result<(), Lost> {
    let mut candidate = Candidate {
        leases: Api::namespaced(client, &settings.namespace),
        settings,
        clock,
        seen: Seen::default(),
        party,
    };
    let Some(renewed) = end.run_until_cancelled(candidate.acquire()).await else {
        return Ok(());
    };
    tracing::info!(identity = candidate.settings.identity, "this replica leads");
    meter.set(1);
    leads.send_replace(true);
    let lost = end.run_until_cancelled(candidate.hold(renewed)).await;
    leads.send_replace(false);
    meter.set(0);
    if let Some(lost) = lost {
        return Err(lost);
    }
    if timeout(FAREWELL, candidate.release()).await.is_err() {
        tracing::warn!("the Lease could not be given back in time; another replica takes it when it ends");
    }
    Ok(())
}

struct Candidate {
    leases: Api<Lease>,
    settings: LeaderSettings,
    clock: Arc<dyn Clock>,
    seen: Seen,
    party: Party,
}

impl Candidate {
    /// Waits for the Lease. Returns when the request began that got it: nobody saw it earlier.
    async fn acquire(&mut self) -> Instant {
        loop {
            match self.look_and_take().await {
                Ok(taken) => {
                    self.party.works();
                    if let Some(began) = taken {
                        return began;
                    }
                }
                Err(error) => self.party.fails(&error),
            }
            sleep(self.pause()).await;
        }
    }

    /// When the request began that took it; `None` when another has it.
    async fn look_and_take(&mut self) -> Result<Option<Instant>, CallError> {
        let lease = call(self.leases.get_opt(&self.settings.name)).await?;
        self.seen.look(lease, Instant::now());
        let step = self
            .seen
            .step(&self.settings.identity, self.settings.lease, Instant::now());
        match step {
            Step::Wait => return Ok(None),
            Step::Create | Step::Take | Step::Renew => {}
        }
        let began = Instant::now();
        match self
            .write(self.settings.identity.clone(), self.settings.lease)
            .await
        {
            Ok(()) => Ok(Some(began)),
            // Another was quicker; what it wrote is read the next time.
            Err(error) if error.code() == Some(409) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renews until that does not work any more, and says why.
    async fn hold(&mut self, mut renewed: Instant) -> Lost {
        loop {
            sleep(self.settings.retry).await;
            let deadline = renewed + self.settings.renew;
            if Instant::now() >= deadline {
                return Lost::Late;
            }
            match timeout_at(deadline, self.renew()).await {
                Ok(Ok(began)) => renewed = began,
                Ok(Err(lost)) => return lost,
                Err(_) => return Lost::Late,
            }
        }
    }

    /// Renews, again and again while that fails. Returns when the request began that did it.
    async fn renew(&mut self) -> Result<Instant, Lost> {
        loop {
            let began = Instant::now();
            match self
                .write(self.settings.identity.clone(), self.settings.lease)
                .await
            {
                Ok(()) => {
                    self.party.works();
                    return Ok(began);
                }
                Err(error) if error.is_lost_race() => {
                    // It may be our own earlier write, whose answer was lost.
                    if self.reread().await? {
                        continue;
                    }
                }
                Err(error) => self.party.fails(&error),
            }
            sleep(self.settings.retry).await;
        }
    }

    /// Reads the Lease again; fails when another holds it. Returns whether it was read.
    async fn reread(&mut self) -> Result<bool, Lost> {
        let lease = match call(self.leases.get_opt(&self.settings.name)).await {
            Ok(lease) => lease,
            Err(error) => {
                self.party.fails(&error);
                return Ok(false);
            }
        };
        self.seen.look(lease, Instant::now());
        match self.seen.holder() {
            Some(holder) if holder != self.settings.identity => Err(Lost::Taken(holder.to_owned())),
            _ => Ok(true),
        }
    }

    /// Writes the Lease over what was seen of it last; fails with a conflict when it has changed since.
    async fn write(&mut self, holder: String, lease: Duration) -> Result<(), CallError> {
        let now = MicroTime(wall_time(&*self.clock));
        let seen = self.seen.lease();
        let before = seen.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let is_same = before.holder_identity.as_deref() == Some(&holder);
        let written = Lease {
            metadata: seen.map_or_else(
                || ObjectMeta {
                    name: Some(self.settings.name.clone()),
                    ..ObjectMeta::default()
                },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                acquire_time: if is_same {
                    before.acquire_time
                } else {
                    Some(now.clone())
                },
                lease_duration_seconds: i32::try_from(lease.as_secs().max(1)).ok(),
                lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!is_same)),
                holder_identity: Some(holder),
                renew_time: Some(now),
                ..before
            }),
        };
        let written = if seen.is_some() {
            call(self.leases.replace(&self.settings.name, &post(), &written)).await?
        } else {
            call(self.leases.create(&post(), &written)).await?
        };
        self.seen.look(Some(written), Instant::now());
        Ok(())
    }

    /// Gives the Lease back. An error is no matter: it ends by itself.
    async fn release(&mut self) {
        let ended = Duration::from_secs(1);
        let mut written = self.write(String::new(), ended).await;
        if written.as_ref().is_err_and(|error| error.code() == Some(409)) {
            // A renewal was under way when the end came.
            match self.reread().await {
                Ok(_) => written = self.write(String::new(), ended).await,
                Err(_) => return,
            }
        }
        match written {
            Ok(()) => tracing::info!("the Lease is given back"),
            Err(error) => tracing::warn!(%error, "the Lease could not be given back"),
        }
    }

    /// The time until the next look, which differs from one to the next, so that candidates do not collide for ever.
    fn pause(&self) -> Duration {
        self.settings.retry.mul_f64(1.0 + 0.2 * rand::random::<f64>())
    }
}

/// The time that people read in a Lease. No replica compares it with its own.
fn wall_time(clock: &dyn Clock) -> jiff::Timestamp {
    let micros = i64::try_from(clock.now().as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX)
}
