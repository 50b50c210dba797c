//! From the first signal to the end of the process.
//!
//! SIGTERM: unready → keep serving for `min` → stop accepting, close idle connections → let calls finish until
//! `max` → ask what still streams to end in its own dialect → flush → done. A second signal ends at once.

use std::{future::Future, pin::pin, time::Duration};

use telemetry::Health;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

/// How far the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nobody asked us to leave.
    Serving,
    /// Unready, but everything is still served, also new connections.
    Draining,
    /// No new connections; each connection closes after the calls it carries.
    Closing,
    /// Streams end now, each in its own dialect.
    Ending,
}

/// Tells components how far the drain is. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Phase>);

/// Moves a [`Drain`] forward. When it is dropped, nothing moves any more.
#[derive(Debug)]
pub struct DrainControl(watch::Sender<Phase>);

/// How long each part of the way out may take.
#[derive(Clone, Copy, Debug)]
pub struct DrainSettings {
    /// How long everything is served after the signal, so that load balancers can notice.
    pub min: Duration,
    /// How long calls may go on, counted from the signal.
    pub max: Duration,
    /// How long streams may take to end in their dialect after `max`, and to flush.
    pub grace: Duration,
}

/// How the process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every call ended by itself or in its own dialect.
    Drained,
    /// Some calls did not end in time and were cut.
    Cut,
    /// A second signal cut everything.
    Interrupted,
    /// What serves ended although nobody asked.
    Failed,
}

impl Drain {
    /// A pair of the two ends, in [`Phase::Serving`].
    pub fn new() -> (DrainControl, Self) {
        let (sender, receiver) = watch::channel(Phase::Serving);
        (DrainControl(sender), Self(receiver))
    }

    /// The phase of this moment.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits for the next phase and gives it. Pends for ever once nothing can move any more. Cancel safe.
    pub async fn changed(&mut self) -> Phase {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow_and_update(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until the given phase or a later one. Owns what it needs, so that it can be kept beside a stream.
    pub async fn reached(mut self, phase: Phase) {
        if self.0.wait_for(|now| *now >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl DrainControl {
    /// Enters a phase. Going back is ignored.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let forward = phase > *now;
            *now = phase.max(*now);
            forward
        });
    }
}

/// Runs `serving`, which observes the drain and returns when its connections are gone, until a signal asks to
/// leave; then drains, and runs `flush` in every case but an interruption.
pub async fn run<S, F>(
    serving: S,
    control: DrainControl,
    settings: DrainSettings,
    health: &Health,
    mut signals: mpsc::Receiver<()>,
    flush: impl FnOnce() -> F,
) -> End
where
    S: Future<Output = ()>,
    F: Future<Output = ()>,
{
    let mut serving = pin!(serving);
    tokio::select! {
        () = &mut serving => {
            tracing::error!("the server ended by itself");
            flush_within(settings.grace, flush).await;
            return End::Failed;
        }
        () = next(&mut signals) => (),
    }
    tracing::info!(
        min_seconds = settings.min.as_secs(),
        max_seconds = settings.max.as_secs(),
        "draining; a second signal ends at once"
    );
    health.draining();
    tokio::select! {
        biased;
        () = next(&mut signals) => {
            tracing::warn!("interrupted by a second signal; open calls are cut");
            End::Interrupted
        }
        end = drain(serving, control, settings) => {
            flush_within(settings.grace, flush).await;
            tracing::info!("ended");
            end
        }
    }
}

async fn drain(
    mut serving: impl Future<Output = ()> + Unpin,
    control: DrainControl,
    settings: DrainSettings,
) -> End {
    let last = Instant::now() + settings.max;
    control.enter(Phase::Draining);
    tokio::select! {
        () = &mut serving => return End::Failed,
        () = sleep(settings.min) => control.enter(Phase::Closing),
    }
    tokio::select! {
        () = &mut serving => return End::Drained,
        () = sleep_until(last) => control.enter(Phase::Ending),
    }
    tracing::warn!("calls are still open at the end of the drain; their streams are ended");
    if timeout(settings.grace, serving).await.is_ok() {
        return End::Drained;
    }
    tracing::warn!("some calls did not end in time and are cut");
    End::Cut
}

async fn flush_within<F: Future<Output = ()>>(limit: Duration, flush: impl FnOnce() -> F) {
    if timeout(limit, flush()).await.is_err() {
        tracing::warn!("flushing took too long and was given up");
    }
}

async fn next(signals: &mut mpsc::Receiver<()>) {
    if signals.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
