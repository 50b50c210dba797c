//! The status of objects: what is true of them, told in them.
//!
//! Everything here is a function of what is published, of what gateways have and report, and of what the store says;
//! every replica computes it, and the one that leads writes it. Start reading at [`run`].
//!
//! ```text
//! publications ─┐
//! gateways ─────┤
//! reports ──────┼──> desired ──> board ──> write ──> transition ──> events
//! readings ─────┤
//! handled ──────┘
//! ```

mod board;
mod client;
mod credential;
mod desired;
mod fact;
mod fleet;
mod gauges;
mod measured;
mod provider;
mod reports;
mod route;
mod told;
mod transition;
mod write;

use std::{
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use kube::Client;
use pool::Clock;
use proto::Reported;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

pub use board::Rates;
pub use gauges::Gauges;
pub use measured::{Measured, Pace, Reading, follow};

use crate::{
    annotations::Handled, events::Events, gateways::Gateway, kubernetes::CallError, published::Publications,
    watch::Party,
};
use board::{Board, Failed, Write};
use desired::View;
use fleet::Fleet;
use reports::Reports;

/// What statuses are made of.
pub struct Inputs {
    /// What is published.
    pub publications: Publications,
    /// The gateways that are known.
    pub gateways: Box<dyn Fn() -> Vec<Gateway> + Send + Sync>,
    /// Changes when they do.
    pub gateways_changed: watch::Receiver<u64>,
    /// What they report.
    pub reports: mpsc::Receiver<Reported>,
    /// What the store says; see [`follow`].
    pub readings: watch::Receiver<Reading>,
    /// The annotations that were acted on.
    pub handled: watch::Receiver<Handled>,
    /// Whether this replica writes.
    pub leads: watch::Receiver<bool>,
}

/// Where what is told goes.
pub struct Outputs {
    /// Writes the statuses.
    pub client: Client,
    /// Whether they can be written.
    pub party: Party,
    /// What happened.
    pub events: Events,
    /// What Credentials are like at present.
    pub gauges: Gauges,
}

/// How often everything is looked at although nothing was heard: rests end, keys expire and gateways are forgotten.
const LOOK: Duration = Duration::from_secs(3);
/// How long what is heard is gathered before it is looked at.
const GATHER: Duration = Duration::from_millis(50);
/// How much longer than a look the time between two is at least, so that thousands of objects leave time to write.
const SPARING: u32 = 3;
/// Writes at a time.
const AT_ONCE: usize = 8;

/// Keeps the status of all objects, until nothing is published any more.
pub async fn run(mut inputs: Inputs, outputs: Outputs, clock: Arc<dyn Clock>, rates: Rates) {
    let mut teller = Teller {
        outputs,
        board: Board::new(rates, Instant::now()),
        reports: Reports::default(),
        clock,
        under_way: FuturesUnordered::new(),
    };
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // When to look at what was heard, and how long that takes.
    let mut look: Option<Instant> = None;
    let mut took = Duration::ZERO;
    let mut reports_end = false;
    loop {
        let now = Instant::now();
        if look.is_some_and(|look| look <= now) {
            look = None;
            teller.look(&mut inputs);
            took = now.elapsed();
        }
        if *inputs.leads.borrow() {
            teller.begin_writes();
        }
        let wake = [look, teller.wakes(*inputs.leads.borrow())]
            .into_iter()
            .flatten()
            .min();
        let pause = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        let heard = tokio::select! {
            changed = inputs.publications.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
            // Whoever is gone has nothing more to say, and must not keep this loop busy.
            true = heard(&mut inputs.gateways_changed) => true,
            true = heard(&mut inputs.readings) => true,
            true = heard(&mut inputs.handled) => true,
            true = heard(&mut inputs.leads) => true,
            report = inputs.reports.recv(), if !reports_end => {
                reports_end = report.is_none();
                if let Some(report) = report {
                    teller.reports.take(report, teller.clock.now(), Instant::now());
                }
                !reports_end
            }
            _ = ticks.tick() => true,
            Some((write, result)) = teller.under_way.next() => {
                teller.conclude(&write, result);
                false
            }
            () = pause => false,
        };
        if heard && look.is_none() {
            look = Some(Instant::now() + GATHER.max(took * SPARING));
        }
    }
}

/// Waits for a change; for ever when there can be none.
async fn heard<T>(receiver: &mut watch::Receiver<T>) -> bool {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    true
}

type Ended = (Write, Result<u64, CallError>);

struct Teller {
    outputs: Outputs,
    board: Board,
    reports: Reports,
    clock: Arc<dyn Clock>,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
}

impl Teller {
    /// Looks at everything anew.
    fn look(&mut self, inputs: &mut Inputs) {
        let Some(published) = inputs.publications.borrow_and_update().clone() else {
            return;
        };
        self.reports.retain(published.contents.snapshot());
        let gateways = (inputs.gateways)();
        let fleet = Fleet::new(published.contents.versions(), &gateways, StdInstant::now());
        let reading = inputs.readings.borrow().clone();
        let handled = Arc::clone(&inputs.handled.borrow());
        let wanted = desired::wanted(&View {
            published: &published,
            fleet: &fleet,
            reading: &reading,
            reports: &self.reports,
            handled: &handled,
            board: &self.board,
            now: self.clock.now(),
        });
        let leads = *inputs.leads.borrow();
        self.outputs.gauges.show(leads.then_some(&wanted));
        self.board.update(wanted.into_iter(), Instant::now());
    }

    /// When there may be something to write.
    fn wakes(&self, leads: bool) -> Option<Instant> {
        if !leads || self.under_way.len() >= AT_ONCE {
            return None;
        }
        self.board.wakes(Instant::now())
    }

    fn begin_writes(&mut self) {
        while self.under_way.len() < AT_ONCE
            && let Some(write) = self.board.next(Instant::now())
        {
            let client = self.outputs.client.clone();
            let written = async move {
                let result = write::write(&client, &write).await;
                (write, result)
            };
            self.under_way.push(written.boxed());
        }
    }

    fn conclude(&mut self, write: &Write, result: Result<u64, CallError>) {
        let result = match result {
            Ok(version) => {
                self.outputs.party.works();
                let told = write.told.as_deref();
                for note in transition::notes(&write.identity, write.uid.as_ref(), told, &write.status) {
                    self.outputs.events.note(note);
                }
                Ok(version)
            }
            Err(error) if error.code() == Some(404) => {
                self.outputs.party.works();
                Err(Failed::Gone)
            }
            Err(error) => {
                self.outputs.party.fails(&error);
                Err(Failed::Again)
            }
        };
        self.board.done(write, result, Instant::now());
    }
}

#[cfg(test)]
mod tests;
