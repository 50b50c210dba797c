//! Against real servers.

mod cluster;
mod node;
mod outage;
mod refusal;
mod sentinel;
mod tls;

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use redis::Value;
use tokio::time::timeout;

use super::{Away, Invocation, Link, LinkSettings, LinkState, Observe, Script, Urgency, Why};
use crate::redis::testing::PATIENCE;

/// Adds to a number and returns it.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "add",
        &[
            "local by = tonumber(ARGV[1])\n",
            "return redis.call('INCRBY', KEYS[1], by)",
        ],
    )
});

/// What a link reported.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<Report>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Command(&'static str, bool),
    Up,
    Down(Why),
}

impl Seen {
    fn all(&self) -> Vec<Report> {
        self.0.lock().expect("no test panics with it").clone()
    }

    /// Ups and downs.
    fn changes(&self) -> Vec<Report> {
        let mut all = self.all();
        all.retain(|report| !matches!(report, Report::Command(..)));
        all
    }

    fn note(&self, report: Report) {
        self.0.lock().expect("no test panics with it").push(report);
    }
}

impl Observe for Seen {
    fn command(&self, name: &'static str, _: Duration, ok: bool) {
        self.note(Report::Command(name, ok));
    }

    fn up(&self) {
        self.note(Report::Up);
    }

    fn down(&self, why: Why) {
        self.note(Report::Down(why));
    }
}

/// The machine that tests may be slow, so the deadlines are not those of use.
fn settings(url: &str) -> LinkSettings {
    LinkSettings {
        deadline: Duration::from_millis(400),
        background_deadline: Duration::from_secs(4),
        ..LinkSettings::new(url.parse().expect("a valid address"))
    }
}

fn open(settings: LinkSettings) -> (Link, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let link = Link::open(settings, Arc::clone(&seen) as Arc<dyn Observe>).expect("a runtime");
    (link, seen)
}

async fn up(link: &Link) -> u64 {
    match reached(link, |state| matches!(state, LinkState::Up { .. })).await {
        LinkState::Up { connection, .. } => connection,
        LinkState::Down { .. } => 0,
    }
}

async fn down(link: &Link, expected: Why) {
    let is = |state: &LinkState| matches!(state, LinkState::Down { why, .. } if *why == expected);
    reached(link, is).await;
}

async fn reached(link: &Link, is: impl Fn(&LinkState) -> bool) -> LinkState {
    let mut changes = link.changes();
    let now = link.changes();
    let found = timeout(PATIENCE, changes.wait_for(|state| is(state))).await;
    *found
        .unwrap_or_else(|_| panic!("the link stays {:?}", *now.borrow()))
        .expect("the link lives")
}

fn add(key: &str, by: i64) -> Invocation {
    ADD.on(&[key]).arg(by)
}

async fn added(link: &Link, key: &str) -> Result<Value, Away> {
    link.run(&add(key, 1), Urgency::Awaited).await
}
