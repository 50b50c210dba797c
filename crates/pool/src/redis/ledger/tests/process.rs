//! A process that counts, and what one knows of it from outside.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use snapshot::ClientName;

use super::network::{Network, Numbers, Wire};
use crate::{
    TokenCounts,
    redis::ledger::{Beat, Incarnation, LedgerError, Publisher, SharedLedger},
    testing::{credential, provider_name},
    usage::{Attempt, Call, Day, Ledger, Open, Row, Tally},
};

/// A process, which says what it counts to the network too.
pub(super) struct Process {
    pub(super) id: usize,
    pub(super) ledger: Arc<Ledger>,
    network: Network,
    publisher: Publisher<Wire>,
    open: Vec<Opened>,
}

struct Opened {
    guard: Open,
    day: String,
    fields: Vec<String>,
    reserved: u64,
}

/// How a call ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Known(TokenCounts),
    Guessed(TokenCounts),
    Dropped,
}

/// Who reads; no process.
const READER: usize = usize::MAX;

impl Process {
    pub(super) fn new(network: &Network, id: usize, page: usize) -> Self {
        let ledger = Arc::new(Ledger::default());
        let shared = Arc::new(shared(network, id, page));
        let incarnation = Incarnation::new(id as u128);
        Self {
            id,
            publisher: Publisher::new(shared, Arc::clone(&ledger), incarnation),
            ledger,
            network: network.clone(),
            open: Vec::new(),
        }
    }

    /// Begins a call, and an attempt with it.
    pub(super) fn begin(&mut self, name: &str, reserved: u64) {
        let now = self.network.now();
        let client: ClientName = format!("ns/{name}").parse().expect("a valid name");
        let call = Call {
            client: &client,
            route: name,
        };
        let attempt = Attempt {
            provider: &provider_name(),
            credential: &credential(name),
            model: name,
        };
        for (guard, fields) in [
            (
                self.ledger.begin_call(now, call, reserved),
                vec![format!("client|ns/{name}"), format!("route|{name}")],
            ),
            (
                self.ledger.begin_attempt(now, attempt, reserved),
                vec![
                    "provider|ns/p".to_owned(),
                    format!("credential|ns/{name}"),
                    format!("model|{name}"),
                ],
            ),
        ] {
            let opened = Opened {
                guard,
                day: Day::of(now).to_string(),
                fields,
                reserved,
            };
            self.count(&opened, |tally| {
                tally.counts.requests += 1;
                tally.open += 1;
                tally.reserved += reserved;
            });
            self.open.push(opened);
        }
    }

    /// Ends something that is open.
    pub(super) fn end(&mut self, which: usize, end: End) {
        if self.open.is_empty() {
            return;
        }
        let opened = self.open.remove(which % self.open.len());
        self.count(&opened, |tally| {
            tally.open -= 1;
            tally.reserved -= opened.reserved;
            if let End::Known(usage) | End::Guessed(usage) = end {
                let tokens = &mut tally.counts.tokens;
                tokens.input += usage.input;
                tokens.cached += usage.cached;
                tokens.cache_write += usage.cache_write;
                tokens.output += usage.output;
                tokens.reasoning += usage.reasoning;
            }
            if let End::Guessed(usage) = end {
                tally.counts.estimated_requests += 1;
                tally.counts.estimated_tokens += usage.input + usage.output;
            }
        });
        match end {
            End::Known(usage) => opened.guard.end(Some(usage), false),
            End::Guessed(usage) => opened.guard.end(Some(usage), true),
            End::Dropped => drop(opened.guard),
        }
    }

    /// Ends everything that is open.
    pub(super) fn end_all(&mut self, end: End) {
        while !self.open.is_empty() {
            self.end(0, end);
        }
    }

    /// A beat; `None` when it was dropped.
    pub(super) fn beat(&mut self) -> Option<Result<Beat, LedgerError>> {
        poll(self.publisher.beat(self.network.now()))
    }

    /// A beat that nothing disturbs.
    pub(super) fn steady_beat(&mut self) -> Beat {
        self.network.doom(self.id, &[]);
        let beat = self.beat().expect("it is not dropped");
        beat.expect("the store is there")
    }

    pub(super) fn goodbye(self) -> Option<Result<(), LedgerError>> {
        poll(self.publisher.goodbye(self.network.now()))
    }

    /// The days in its memory.
    pub(super) fn days(&self) -> Vec<String> {
        self.ledger.days().iter().map(Day::to_string).collect()
    }

    fn count(&self, opened: &Opened, change: impl Fn(&mut Tally)) {
        for field in &opened.fields {
            self.network.count(self.id, &opened.day, field, &change);
        }
    }
}

/// What all processes used yesterday and today, as the store says.
pub(super) fn usage(network: &Network, page: usize) -> Numbers {
    let shared = shared(network, READER, page);
    let today = Day::of(network.now());
    let report = poll(shared.usage(&(today.minus(1)..=today), None)).expect("it is not dropped");
    let rows = report.expect("the store is there").rows;
    let named = |row: Row| {
        let field = format!("{}|{}", row.dimension.as_str(), row.name);
        ((row.day.to_string(), field), row.tally)
    };
    let numbers = rows.into_iter().map(named);
    numbers.filter(|(_, tally)| *tally != Tally::default()).collect()
}

fn shared(network: &Network, process: usize, page: usize) -> SharedLedger<Wire> {
    let mut shared = SharedLedger::new(network.wire(process), "test");
    shared.page = page;
    shared
}

/// Drives what never waits, unless it waits forever.
fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
