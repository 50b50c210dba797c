//! The store against a real server.

mod beside;
mod bounds;
mod cluster;
mod crowd;
mod death;
mod differential;
mod failover;
mod fleet;
mod keys;
mod lanes;
mod late;
mod loss;
mod marks;
mod sharing;
mod silence;
mod slow;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{
    Redis, RedisSettings,
    link::{Link, LinkSettings, Observe, Why},
    testing::{PATIENCE, Server},
};
use crate::conformance;

/// Nobody listens.
struct Silent;

impl Observe for Silent {
    fn command(&self, _: &'static str, _: Duration, _: bool) {}
    fn up(&self) {}
    fn down(&self, _: Why) {}
}

/// A link to a server that is in reach.
async fn linked(server: &Server) -> Link {
    let mut settings = LinkSettings::new(server.url().parse().expect("an address"));
    settings.scripts = Redis::scripts();
    // Tests share two cores with others: a slow answer is no finding.
    settings.deadline = Duration::from_secs(5);
    settings.background_deadline = Duration::from_secs(5);
    let link = Link::open(settings, Arc::new(Silent)).expect("a link");
    let mut changes = link.changes();
    let up = changes.wait_for(|state| matches!(state, super::link::LinkState::Up { .. }));
    let reached = tokio::time::timeout(PATIENCE, up).await;
    assert!(reached.is_ok_and(|state| state.is_ok()), "the server is reached");
    link
}

/// Makes stores that know nothing of each other, on one server.
fn apart(link: &Link) -> impl Fn() -> Redis {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let link = link.clone();
    move || {
        let settings = RedisSettings {
            prefix: format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            owner: "owner".to_owned(),
            callers_clock: true,
        };
        Redis::new(link.clone(), settings)
    }
}

#[tokio::test]
async fn it_passes_the_suite_of_stores() {
    let server = Server::start(&[]).await;
    conformance::suite(apart(&linked(&server).await)).await;
}
