//! The server is there and does not answer in time.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::fleet::{Fleet, GENEROUS, Replica, USUAL, succeed, world};
use crate::{Outcome, Settled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_stops_nobody_and_all_comes_back() {
    let fleet = Fleet::start(world("abcd"), 3, USUAL).await;
    let until = Instant::now() + Duration::from_secs(4);
    let calls = fleet.replicas.iter().map(|replica| async {
        let mut kept = Vec::new();
        let mut calls = 0;
        while Instant::now() < until {
            let lease = replica.lease(&fleet.world).await;
            calls += 1;
            if calls % 20 == 0 {
                kept.push(lease);
            } else {
                sleep(Duration::from_millis(2)).await;
                lease.settle(Settled::new(Outcome::Succeeded));
            }
        }
        kept
    });
    let freeze = async {
        sleep(Duration::from_millis(500)).await;
        fleet.server.freeze();
        sleep(Duration::from_secs(3)).await;
        fleet.server.thaw();
    };
    let (kept, ()) = tokio::join!(join_all(calls), freeze);
    let kept: Vec<_> = kept.into_iter().flatten().collect();
    for replica in &fleet.replicas {
        replica.reaches(true).await;
    }
    let open = u32::try_from(kept.len()).expect("a few");
    fleet.settles_at(open, "what is kept").await;
    succeed(kept);
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_lease_whose_answer_is_late_is_given_up() {
    let fleet = Fleet::start(world("ab"), 1, GENEROUS).await;
    let hasty = Replica::start(&fleet.server.url(), "hasty", USUAL).await;
    succeed(hasty.leases(&fleet.world, 2).await);
    fleet.is_quiet().await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        // All commands wait; those that came will be run.
        assert_eq!(
            fleet.server.cli(&["CLIENT", "PAUSE", "200", "ALL"]),
            "OK",
            "it waits"
        );
        kept.push(hasty.lease(&fleet.world).await);
        sleep(Duration::from_millis(300)).await;
        hasty.reaches(true).await;
    }
    fleet
        .settles_at(3, "those that were taken instead, and no other")
        .await;
    // A call that nobody waits for any more.
    for _ in 0..20 {
        let picked = tokio::time::timeout(Duration::from_micros(200), hasty.lease(&fleet.world)).await;
        kept.extend(picked);
    }
    let open = u32::try_from(kept.len()).expect("a few");
    fleet.settles_at(open, "those that somebody has").await;
    succeed(kept);
    fleet.is_quiet().await;
}
