//! A process dies.

use std::mem::forget;

use super::fleet::{Fleet, GENEROUS, Replica, world};
use crate::testing::requests;

#[tokio::test]
async fn what_a_dead_process_held_comes_back() {
    let mut world = world("abc");
    world.budgets = vec![requests("day", 86_400, 1_000)];
    let fleet = Fleet::start(world, 1, GENEROUS).await;
    let url = fleet.server.url();
    let doomed = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (world, server) = (fleet.world.lanes.clone(), url);
    let held = doomed.spawn(async move {
        let mut theirs = super::fleet::world("abc");
        theirs.lanes = world;
        theirs.budgets = vec![requests("day", 86_400, 1_000)];
        let replica = Replica::start(&server, "doomed", GENEROUS).await;
        for _ in 0..4 {
            let entered = replica.pool.enter(theirs.admit(), theirs.pick()).await;
            // It ends without a word.
            forget(entered.expect("there is room"));
        }
        forget(replica);
    });
    held.await.expect("it took its leases");
    let entered = fleet.a().enter(&fleet.world).await.expect("there is room");
    fleet.settles_at(5, "it holds four of five").await;
    doomed.shutdown_background();
    fleet.settles_at(1, "only the living hold something").await;
    drop(entered);
    fleet.is_quiet().await;
}
