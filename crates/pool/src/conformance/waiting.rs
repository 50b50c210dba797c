//! Waiting for credentials that are merely full. Needs a runtime whose time is paused.
#![expect(clippy::disallowed_methods, reason = "what a case starts ends with it")]

use std::{sync::Arc, time::Duration};

use snapshot::Strategy;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{Bench, name_of, stated, succeed};
use crate::{
    Lease, NoneUsable, Pick, Store,
    testing::{World, member, members, narrow},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    a_full_pool_is_waited_for_until_a_release(make).await;
    nobody_waits_longer_than_the_maximum(make).await;
    nobody_waits_for_what_cannot_come_in_time(make).await;
    a_window_that_opens_in_time_is_waited_for(make).await;
    those_who_wait_are_served_in_order_and_all(make).await;
    a_release_that_the_first_cannot_use_reaches_the_next(make).await;
    a_dropped_waiter_takes_nothing(make).await;
    a_conversation_waits_for_its_credential_and_then_moves(make).await;
}

const MAX_WAIT: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn one_place<S: Store>(make: &impl Fn() -> S) -> Arc<Bench<S>> {
    let world = World::new(Strategy::RoundRobin, &[narrow("a", 1)]).max_wait(MAX_WAIT);
    Arc::new(Bench::waiting(make, world))
}

fn end_later<S: Store>(lease: Lease<S>, after: Duration) {
    tokio::spawn(async move {
        sleep(after).await;
        succeed(lease);
    });
}

async fn a_full_pool_is_waited_for_until_a_release<S: Store>(make: &impl Fn() -> S) {
    let bench = one_place(make);
    end_later(bench.lease().await, millis(300));
    let start = Instant::now();
    let lease = bench.lease().await;
    assert_eq!(start.elapsed(), millis(300), "not a moment longer");
    end_later(lease, millis(200));
    let (_admission, lease) = bench
        .pool
        .enter(bench.world.admit(), bench.world.pick())
        .await
        .expect("no limits");
    lease.expect("entering waits too");
    assert_eq!(start.elapsed(), millis(500));
}

async fn nobody_waits_longer_than_the_maximum<S: Store>(make: &impl Fn() -> S) {
    let bench = one_place(make);
    let _held = bench.lease().await;
    let start = Instant::now();
    assert!(matches!(bench.none().await, NoneUsable::Full { .. }));
    assert_eq!(start.elapsed(), MAX_WAIT);
}

async fn nobody_waits_for_what_cannot_come_in_time<S: Store>(make: &impl Fn() -> S) {
    let mut limited = member("a");
    limited.limits.requests_per_minute = Some(1);
    let world = World::new(Strategy::RoundRobin, &[limited]).max_wait(MAX_WAIT);
    let bench = Bench::waiting(make, world);
    let start = Instant::now();
    drop(bench.lease().await);
    assert!(
        matches!(bench.none().await, NoneUsable::Full { .. }),
        "for a minute"
    );
    bench.report("a", stated(1));
    assert!(
        matches!(bench.none().await, NoneUsable::Resting { .. }),
        "not full but resting"
    );
    assert_eq!(start.elapsed(), Duration::ZERO, "neither pays to wait for");
}

async fn a_window_that_opens_in_time_is_waited_for<S: Store>(make: &impl Fn() -> S) {
    let mut limited = member("a");
    limited.limits.requests_per_minute = Some(1);
    let world = World::new(Strategy::RoundRobin, &[limited]).max_wait(MAX_WAIT);
    let bench = Bench::waiting(make, world);
    let start = Instant::now();
    drop(bench.lease().await);
    sleep(millis(60_400)).await;
    drop(bench.lease().await);
    let waited = start.elapsed();
    assert!((millis(61_000)..millis(61_005)).contains(&waited), "{waited:?}");
}

async fn those_who_wait_are_served_in_order_and_all<S: Store>(make: &impl Fn() -> S) {
    let bench = one_place(make);
    let held = bench.lease().await;
    let mut waiting = JoinSet::new();
    for number in 0..20 {
        let bench = Arc::clone(&bench);
        waiting.spawn(async move {
            sleep(millis(number)).await;
            let lease = bench.lease().await;
            sleep(millis(10)).await;
            drop(lease);
            number
        });
    }
    sleep(millis(100)).await;
    drop(held);
    let start = Instant::now();
    let mut served = Vec::new();
    while let Some(number) = waiting.join_next().await {
        served.push(number.expect("the task ends"));
    }
    assert_eq!(served, (0..20).collect::<Vec<_>>(), "as they came");
    assert_eq!(start.elapsed(), millis(200), "one after another, no time lost");
}

async fn a_release_that_the_first_cannot_use_reaches_the_next<S: Store>(make: &impl Fn() -> S) {
    let world = World::new(Strategy::RoundRobin, &[narrow("a", 1)]).max_wait(MAX_WAIT);
    let bench = Arc::new(Bench::waiting(make, world));
    let other = World::new(Strategy::RoundRobin, &[narrow("b", 1)]).lanes;
    let a = bench.lease().await;
    let elsewhere = Pick {
        lanes: &other,
        ..bench.world.pick()
    };
    let b = bench.lease_for(elsewhere).await;
    let first = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.pool.pick(bench.world.pick()).await.map(drop) }
    });
    sleep(millis(10)).await;
    let start = Instant::now();
    end_later(b, millis(100));
    let lease = bench.lease_for(elsewhere).await;
    assert_eq!(name_of(&lease), "b");
    assert_eq!(
        start.elapsed(),
        millis(100),
        "the first waits for a, so b's end is for the next"
    );
    drop(a);
    let first = first.await.expect("the task ends");
    first.expect("and a's end for the first");
}

async fn a_dropped_waiter_takes_nothing<S: Store>(make: &impl Fn() -> S) {
    let bench = one_place(make);
    let held = bench.lease().await;
    // Dropped while it waits, and dropped just when its turn has come.
    let left = timeout(
        millis(100),
        bench.pool.enter(bench.world.admit(), bench.world.pick()),
    )
    .await;
    left.expect_err("nothing became free");
    assert_eq!(
        bench.pool.clients()[0].in_flight,
        0,
        "the admission is given back"
    );
    let gone = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.lease().await }
    });
    let next = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move {
            sleep(millis(1)).await;
            bench.pool.pick(bench.world.pick()).await.map(drop)
        }
    });
    sleep(millis(10)).await;
    drop(held);
    gone.abort();
    let start = Instant::now();
    next.await
        .expect("the task ends")
        .expect("the turn went on to the next");
    assert_eq!(start.elapsed(), Duration::ZERO, "at once");
    gone.await.expect_err("it was dropped");
    assert_eq!(bench.pool.states()[0].in_flight, 0, "nothing is held");
}

async fn a_conversation_waits_for_its_credential_and_then_moves<S: Store>(make: &impl Fn() -> S) {
    let members = [narrow("a", 1), members("b").remove(0)];
    let world = World::new(Strategy::RoundRobin, &members).max_wait(MAX_WAIT);
    let bench = Bench::waiting(make, world);
    let talk = Pick {
        affinity: Some(1),
        ..bench.world.pick()
    };
    let start = Instant::now();
    end_later(bench.lease_for(talk).await, millis(400));
    let lease = bench.lease_for(talk).await;
    assert_eq!(
        (name_of(&lease), start.elapsed()),
        ("a", millis(400)),
        "worth the wait"
    );
    let moved = bench.lease_for(talk).await;
    assert_eq!(
        (name_of(&moved), start.elapsed()),
        ("b", millis(1400)),
        "full beyond the wait"
    );
    drop(lease);
    let stays = bench.lease_for(talk).await;
    assert_eq!(name_of(&stays), "b", "it has moved");
}
