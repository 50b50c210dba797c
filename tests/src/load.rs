//! A steady stream of calls, and what became of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::interval,
};

use crate::{Client, Request, eventually};

/// Calls under way at most: beyond it the load waits, so that a stuck gateway does not get all of it at once later.
const AT_ONCE: usize = 256;

/// Failures that are told in full.
const TOLD: usize = 8;

/// Calls of the model `m` at a fixed rate, every fourth a stream. Dropping it stops them.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    task: JoinHandle<Tally>,
}

/// What became of the calls of a [`Load`].
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Whole answers, by status.
    pub answers: BTreeMap<u16, usize>,
    /// Calls without a whole answer.
    pub broken: usize,
    told: Vec<String>,
}

impl Load {
    /// Starts calling so often, with these clients in turn.
    pub fn start(clients: Vec<Client>, per_second: u32) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        Self {
            task: tokio::spawn(run(clients, per_second, Arc::clone(&stop), Arc::clone(&done))),
            stop,
            done,
        }
    }

    /// How many calls have ended.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits until `count` more calls have ended.
    pub async fn until_more(&self, count: usize) {
        let wanted = self.done() + count;
        eventually(
            &format!("{count} more calls of the load have ended"),
            Duration::from_secs(60),
            || async { (self.done() >= wanted).then_some(()) },
        )
        .await;
    }

    /// Stops calling, waits for the calls under way, and returns what became of all.
    pub async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        (&mut self.task).await.expect("the load does not panic")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tally {
    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.answers.values().sum::<usize>() + self.broken
    }

    /// Asserts that every call got a whole answer with status 200.
    #[track_caller]
    pub fn expect_all_served(&self, during: &str) {
        let served = self.answers.get(&200).copied().unwrap_or(0);
        assert!(
            served == self.calls() && served > 0,
            "{during}: expected {} answers of status 200, found {:?} and {} calls without a whole answer; the first \
             that failed:\n{}",
            self.calls(),
            self.answers,
            self.broken,
            self.told.join("\n")
        );
    }

    fn add(&mut self, after: Duration, outcome: Result<u16, (Option<u16>, String)>) {
        let (status, failure) = match outcome {
            Ok(status) => (Some(status), None),
            Err((status, failure)) => (status, Some(failure)),
        };
        match status {
            Some(status) => *self.answers.entry(status).or_default() += 1,
            None => self.broken += 1,
        }
        if let Some(failure) = failure.filter(|_| self.told.len() < TOLD) {
            self.told.push(format!("after {after:?}: {failure}"));
        }
    }
}

async fn run(clients: Vec<Client>, per_second: u32, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Tally {
    let started = Instant::now();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    let mut calls = JoinSet::new();
    let mut tally = Tally::default();
    for number in 0_usize.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        ticks.tick().await;
        let place = Arc::clone(&places).acquire_owned().await;
        let client = &clients[number % clients.len()];
        // Not in step with the clients' turns.
        let streamed = number / clients.len() % 4 == 3;
        let request = if streamed {
            client.chat_stream_request("m")
        } else {
            client.chat_request("m")
        };
        let done = Arc::clone(&done);
        calls.spawn(async move {
            let outcome = call(request, streamed).await;
            done.fetch_add(1, Ordering::SeqCst);
            drop(place);
            (started.elapsed(), outcome)
        });
        while let Some(Ok((after, outcome))) = calls.try_join_next() {
            tally.add(after, outcome);
        }
    }
    while let Some(Ok((after, outcome))) = calls.join_next().await {
        tally.add(after, outcome);
    }
    tally
}

/// Makes one call: the status of a whole answer, or what is wrong with it.
async fn call(request: Request, streamed: bool) -> Result<u16, (Option<u16>, String)> {
    let answer = request.attempt_in_time().await.map_err(|error| (None, error))?;
    let whole = !streamed || answer.text().trim_end().ends_with("data: [DONE]");
    match answer.status {
        200 if whole => Ok(200),
        200 => Err((None, format!("a stream without an end: {}", answer.text()))),
        status => Err((Some(status), format!("status {status}: {}", answer.text()))),
    }
}
