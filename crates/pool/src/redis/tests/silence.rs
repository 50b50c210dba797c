//! A process says nothing for a while.

use std::time::Duration;

use snapshot::Strategy;
use tokio::time::sleep;

use super::fleet::{Fleet, GENEROUS, PACE, eventually, heard, used};
use crate::{
    Clock, NoneUsable,
    redis::tag::Pace,
    testing::{World, narrow, requests, with_quota},
};

#[tokio::test]
async fn a_tag_that_was_let_go_and_comes_back_is_heard() {
    let pace = Pace {
        idle: Duration::from_secs(1),
        sweep: Duration::from_millis(50),
        ..PACE
    };
    let world = World::new(Strategy::RoundRobin, &[narrow("a", 2)]);
    let fleet = Fleet::by_hand(world, 1, GENEROUS, pace).await;
    let speak = async || {
        fleet.a().lease(&fleet.world).await.settle(used(1));
        heard(fleet.a()).await;
    };
    for _ in 0..5 {
        speak().await;
    }
    eventually("it is let go", async || {
        fleet.a().pool.shared.store.tags().is_empty()
    })
    .await;
    for _ in 0..4 {
        // Were the store to take it for a repetition, nothing would be given back.
        speak().await;
    }
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_call_that_begins_after_a_silence_is_not_taken_for_dead() {
    let pace = Pace {
        active: Duration::from_millis(100),
        stale: Duration::from_millis(200),
        beat: Duration::from_millis(100),
        ..PACE
    };
    let world = World::new(Strategy::RoundRobin, &[narrow("a", 1)]);
    let fleet = Fleet::by_hand(world, 2, GENEROUS, pace).await;
    let clock = &fleet.world.clock;
    fleet.a().lease(&fleet.world).await.settle(used(1));
    heard(fleet.a()).await;
    sleep(Duration::from_millis(400)).await;
    fleet.step(Duration::from_secs(11)).await;
    let silent = fleet.signed("a").expect("it is known");
    assert!(
        silent + 10_000_000 < clock.now().as_micros(),
        "it passes for dead"
    );
    let long = fleet.a().lease(&fleet.world).await;
    let refused = async || {
        let picked = fleet.b().pool.pick(fleet.world.pick()).await;
        assert!(matches!(picked, Err(NoneUsable::Full { .. })), "{picked:?}");
    };
    refused().await;
    for _ in 0..3 {
        fleet.step(Duration::from_secs(6)).await;
        eventually("it lives as long as its call", async || {
            fleet.signed("a") == Some(clock.now().as_micros())
        })
        .await;
        refused().await;
    }
    long.settle(used(1));
    fleet.is_quiet().await;
}

#[tokio::test]
async fn what_is_used_away_while_taken_for_dead_is_charged_once() {
    let pace = Pace {
        active: Duration::from_millis(100),
        beat: Duration::from_millis(100),
        ..PACE
    };
    let members = [with_quota("a", &[requests("day", 86_400, 1_000)])];
    let world = World::new(Strategy::RoundRobin, &members);
    let fleet = Fleet::by_hand(world, 2, Duration::from_millis(200), pace).await;
    let (a, b, world) = (fleet.a(), fleet.b(), &fleet.world);
    // Two processes, each of which may have been slow once.
    for replica in [a, b] {
        replica.lease(world).await.settle(used(1));
        heard(replica).await;
    }
    let before = b.windows(world).await;
    sleep(Duration::from_millis(400)).await;
    fleet.step(Duration::from_secs(11)).await;
    eventually("the one is dead to the other", async || {
        b.lease(world).await.settle(used(0));
        heard(b).await;
        fleet.signed("a").is_none()
    })
    .await;
    let charged = b.windows(world).await[0];
    assert!(charged.0 > before[0].0, "those of the living");
    fleet.server.freeze();
    a.misses_the_server(world).await;
    for _ in 0..3 {
        a.lease(world).await.settle(used(10));
    }
    let held = a.lease(world).await;
    fleet.server.thaw();
    a.reaches(true).await;
    heard(a).await;
    b.reaches(true).await;
    let told = async || b.windows(world).await == [(charged.0 + 4, charged.1 + 30)];
    eventually("each is charged once", told).await;
    held.settle(used(10));
    heard(a).await;
    assert_eq!(
        b.windows(world).await,
        [(charged.0 + 4, charged.1 + 40)],
        "and none again"
    );
    fleet.is_quiet().await;
}
