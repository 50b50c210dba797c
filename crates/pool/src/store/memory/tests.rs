use std::{sync::Arc, time::Duration};

use snapshot::Strategy;

use super::Memory;
use crate::{
    Outcome, Pool, Rest, RestEnd, RestReason, Settled, conformance,
    testing::{World, lane, member, members, provider_name},
};

mod day;
mod invariants;
mod mirror;

#[tokio::test(start_paused = true)]
async fn the_memory_store_conforms() {
    conformance::suite(Memory::default).await;
    conformance::waiting_suite(Memory::default).await;
}

fn thousand() -> Vec<crate::Member> {
    (0..1000).map(|number| member(&format!("{number:04}"))).collect()
}

async fn call(pool: &Pool, world: &World) {
    let lease = pool.pick(world.pick()).await.expect("one is usable");
    lease.settle(Settled::new(Outcome::Succeeded));
}

fn looks(pool: &Pool) -> u64 {
    pool.shared.store.state().looks
}

#[tokio::test]
async fn a_pick_costs_the_same_however_many_are_unusable() {
    let members = thousand();
    let world = World::new(Strategy::RoundRobin, &members);
    let pool = Pool::in_memory(world.clock.clone());
    for member in &members[..999] {
        let rest = Rest {
            reason: RestReason::QuotaExhausted,
            end: RestEnd::Stated(Duration::from_secs(3600)),
        };
        pool.report(&provider_name(), &member.credential, None, rest);
    }
    call(&pool, &world).await;
    let before = looks(&pool);
    for _ in 0..100 {
        call(&pool, &world).await;
    }
    assert_eq!(
        looks(&pool) - before,
        100,
        "one look per pick once the others are parked"
    );
}

#[tokio::test]
async fn a_release_of_one_of_many_full_members_costs_one_look() {
    let mut members = thousand();
    for member in &mut members {
        member.limits.concurrency = Some(1);
    }
    let world = World::new(Strategy::LeastBusy, &members);
    let pool = Pool::in_memory(world.clock.clone());
    let mut leases = Vec::new();
    while let Ok(lease) = pool.pick(world.pick()).await {
        leases.push(lease);
    }
    assert_eq!(leases.len(), 1000, "each has one place");
    let before = looks(&pool);
    for lease in leases {
        let name = lease.credential().clone();
        drop(lease);
        let again = pool.pick(world.pick()).await.expect("one place is free");
        assert_eq!(*again.credential(), name, "the one that was released");
        std::mem::forget(again);
    }
    assert_eq!(looks(&pool) - before, 1000, "one look per pick");
}

#[tokio::test]
async fn what_is_not_used_is_forgotten() {
    let world = World::new(Strategy::LeastBusy, &members("abc"));
    let pool = Pool::in_memory(world.clock.clone());
    let sizes = || {
        let state = pool.shared.store.state();
        (
            state.orders.iter().count(),
            state.credentials.iter().count(),
            state.clients.iter().count(),
            state.upstreams.iter().count(),
        )
    };
    let held = pool.pick(world.pick()).await.expect("a is usable");
    // Each generation of members is another lane.
    for number in 0..100 {
        let members = [member("a"), member(&format!("x{number}"))];
        let lanes = [lane("model", Strategy::LeastBusy, &members)];
        let pick = crate::Pick {
            lanes: &lanes,
            ..world.pick()
        };
        drop(pool.pick(pick).await.expect("one is usable"));
    }
    assert_eq!(sizes().0, 101, "all lanes are known");
    world.clock.step(Duration::from_secs(601));
    call(&pool, &world).await;
    assert_eq!(sizes().0, 1, "lanes that were not used are gone");
    let upstreams: Vec<u32> = {
        let state = pool.shared.store.state();
        state
            .upstreams
            .iter()
            .map(|(_, upstream)| upstream.credentials)
            .collect()
    };
    assert_eq!(upstreams, [3], "and their members are not counted any more");

    world.clock.step(Duration::from_secs(48 * 3600));
    let other = World::new(Strategy::RoundRobin, &members("z"));
    drop(pool.pick(other.pick()).await);
    world.clock.step(Duration::from_secs(60));
    drop(pool.pick(other.pick()).await);
    let names: Vec<_> = pool.states().into_iter().map(|state| state.name).collect();
    assert_eq!(
        names,
        [held.credential().clone(), member("z").credential],
        "what is in use stays"
    );
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn caps_hold_when_many_threads_call_at_once() {
    use std::sync::atomic::{AtomicU32, Ordering};
    const CAP: u32 = 3;
    let members: Vec<_> = ["a", "b"].map(|name| crate::testing::narrow(name, CAP)).to_vec();
    let world = World::new(Strategy::LeastBusy, &members).max_wait(Duration::from_secs(60));
    let world = Arc::new(world);
    let pool = Pool::in_memory(Arc::new(crate::SystemClock::default()));
    let busy = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32 {
        let (world, pool, busy) = (Arc::clone(&world), pool.clone(), Arc::clone(&busy));
        tasks.spawn(async move {
            for call in 0..100 {
                let (admission, lease) = pool
                    .enter(world.admit(), world.pick())
                    .await
                    .expect("the client has no limits");
                let lease = lease.expect("a place becomes free within a minute");
                let busy = &busy[usize::from(lease.credential().name() == "b")];
                let now = busy.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(now <= CAP, "{now} at once");
                tokio::task::yield_now().await;
                busy.fetch_sub(1, Ordering::SeqCst);
                if (task + call) % 3 == 0 {
                    drop((lease, admission));
                } else {
                    lease.settle(Settled::new(Outcome::Succeeded));
                    admission.settle(1);
                }
            }
        });
    }
    tasks.join_all().await;
    let in_flight: Vec<_> = pool.states().iter().map(|state| state.in_flight).collect();
    assert_eq!(in_flight, [0, 0], "all places are given back");
}
