//! Keeps a link up: connects, probes, and connects again.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    LinkSettings,
    away::{Failure, Why},
    dial::Dialer,
    script::{Invocation, Script},
    state::{Current, LinkState, Shared},
    wire::Reply,
};

/// How often a link that is up is probed, so that an outage is known before a request meets it.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How soon the first of several tries is repeated; then the pause doubles.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest pause between tries.
const RETRY_LAST: Duration = Duration::from_secs(1);
/// How many late probes a connection may cost before another is opened: its server may be gone.
const LATE_PROBES: u32 = 2;
/// How long what a probe writes stays.
const PROBE_KEPT: Duration = Duration::from_secs(1);
/// Hash tags that fall into each sixteenth of a cluster's slots, so that every master is probed.
const TAGS: [u32; 16] = [10, 3, 61, 43, 11, 2, 60, 42, 12, 1, 63, 41, 13, 0, 62, 40];

/// Writes, so that a replica and a full server are found out.
static PROBE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "probe",
        &["return redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])"],
    )
});

/// The task behind a link.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    dialer: Dialer,
    deadline: Duration,
    probes: Vec<Invocation>,
    dialed: u64,
    jitter: Jitter,
}

/// A connection that is kept while the link is down.
struct Kept {
    current: Current,
    late: u32,
}

/// Stretches pauses by up to a quarter in either direction.
struct Jitter(u64);

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, settings: &LinkSettings, dialer: Dialer) -> Self {
        let tags = if settings.address.is_cluster() {
            &TAGS[..]
        } else {
            &TAGS[..1]
        };
        let milliseconds = u64::try_from(PROBE_KEPT.as_millis()).unwrap_or(u64::MAX);
        Self {
            shared,
            dialer,
            deadline: settings.deadline,
            probes: tags
                .iter()
                .map(|tag| format!("{}:probe:{{{tag}}}", settings.prefix))
                .map(|key| PROBE.on(&[key]).arg(milliseconds))
                .collect(),
            dialed: 0,
            jitter: Jitter(settings.seed),
        }
    }

    /// Goes on until it is aborted.
    pub(super) async fn run(mut self) {
        let mut kept = None;
        loop {
            let current = self.reach(kept).await;
            let began = Instant::now();
            kept = self.hold(current).await;
            // The first try after a loss is at once, but not if losses follow one another.
            if began.elapsed() < RETRY_LAST {
                sleep(self.jitter.stretch(RETRY_FIRST)).await;
            }
        }
    }

    /// Tries until the store is reached.
    async fn reach(&mut self, mut kept: Option<Kept>) -> Current {
        let mut pause = RETRY_FIRST;
        loop {
            let began = Instant::now();
            let failure = match self.attempt(kept.take()).await {
                Ok(current) => return current,
                Err((failure, still)) => {
                    kept = still;
                    failure
                }
            };
            self.shared.stay_down(failure.why(), &failure.cause());
            sleep_until(began + self.jitter.stretch(pause)).await;
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    /// One try, on the kept connection if there is one. A failure comes with the connection to keep.
    async fn attempt(&mut self, kept: Option<Kept>) -> Result<Current, (Failure, Option<Kept>)> {
        let mut kept = match kept {
            Some(kept) => kept,
            None => Kept {
                current: self.dial().await.map_err(|failure| (failure, None))?,
                late: 0,
            },
        };
        match self.probe(&kept.current).await.into_iter().find_map(Result::err) {
            None => Ok(kept.current),
            Some(failure) => {
                let why = failure.why();
                kept.late += u32::from(why == Why::Slow);
                let worth = why.keeps_connection() && kept.late < LATE_PROBES;
                Err((failure, worth.then_some(kept)))
            }
        }
    }

    async fn dial(&mut self) -> Result<Current, Failure> {
        self.dialed += 1;
        let connection = self.dialed;
        // The connection must not keep alive what owns it.
        let shared = Arc::downgrade(&self.shared);
        let broken = Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.lose(connection, Why::Unreachable, "the connection was closed");
            }
        });
        Ok(Current {
            wire: self.dialer.dial(broken).await?,
            connection,
        })
    }

    async fn probe(&self, current: &Current) -> Vec<Reply> {
        match timeout(self.deadline, current.wire.run_all(&self.probes)).await {
            Ok(Ok(replies)) => replies,
            Ok(Err(failure)) => vec![Err(failure)],
            Err(late) => vec![Err(late.into())],
        }
    }

    /// Serves calls until the store is lost. Returns the connection if it is worth keeping.
    async fn hold(&mut self, current: Current) -> Option<Kept> {
        self.shared.bring_up(current.clone());
        let mut pause = PROBE_EVERY;
        loop {
            tokio::select! {
                () = self.shared.opened() => {}
                () = sleep(self.jitter.stretch(pause)) => {
                    pause = PROBE_EVERY;
                    for reply in self.probe(&current).await {
                        if !self.shared.conclude_probe(&current, &reply) {
                            pause = RETRY_FIRST;
                        }
                    }
                }
            }
            if let LinkState::Down { why, .. } = self.shared.state() {
                return why.keeps_connection().then_some(Kept { current, late: 0 });
            }
        }
    }
}

impl Jitter {
    fn stretch(&mut self, pause: Duration) -> Duration {
        // SplitMix64: its numbers are well spread even for seeds in a row.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = u32::try_from((mixed >> 33) % 512).unwrap_or_default();
        pause * (768 + part) / 1024
    }
}
