//! Many ask at once, and ask much.

use std::time::Duration;

use futures_util::future::join_all;
use snapshot::{ClientName, QuotaWindow, Strategy};

use super::fleet::{Fleet, GENEROUS, succeed, world};
use crate::testing::{World, narrow};

/// How many scripts were run.
fn scripts_run(fleet: &Fleet) -> u32 {
    let stats = fleet.server.cli(&["INFO", "commandstats"]);
    let calls = stats.lines().filter_map(|line| {
        let (_, numbers) = line.split_once("cmdstat_evalsha:calls=")?;
        numbers.split(',').next()?.parse::<u32>().ok()
    });
    calls.sum()
}

#[tokio::test]
async fn many_that_wait_ask_the_store_seldom() {
    let members = [narrow("a", 1), narrow("b", 1)];
    let world = World::new(Strategy::RoundRobin, &members).max_wait(Duration::from_secs(1));
    let fleet = Fleet::start(world, 1, GENEROUS).await;
    let held = fleet.a().leases(&fleet.world, 2).await;
    let before = scripts_run(&fleet);
    let waiting = (0..100).map(|_| fleet.a().pool.pick(fleet.world.pick()));
    let found = join_all(waiting).await;
    assert!(found.iter().all(Result::is_err), "all was taken");
    let looks = scripts_run(&fleet) - before;
    // One that waits alone looks forty times.
    assert!((100..1_300).contains(&looks), "{looks} looks");
    succeed(held);
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_look_at_many_callers_leaves_nothing_behind() {
    let fleet = Fleet::start(world("a"), 1, GENEROUS).await;
    let callers = (0..500).map(|caller| format!("ns/caller{caller}").parse().expect("a valid name"));
    let callers: Vec<ClientName> = callers.collect();
    let asked: Vec<(&ClientName, &[QuotaWindow])> = callers.iter().map(|caller| (caller, &[][..])).collect();
    let before = scripts_run(&fleet);
    let keys = fleet.server.cli(&["KEYS", "*"]);
    let states = fleet.a().pool.look_up_clients(&asked).await;
    assert_eq!(states.len(), 500, "one for each");
    assert_eq!(scripts_run(&fleet) - before, 500, "each was looked up");
    assert!(
        fleet.a().pool.shared.store.tags().is_empty(),
        "nobody speaks for them"
    );
    assert_eq!(fleet.server.cli(&["KEYS", "*"]), keys, "no key was made");
}
