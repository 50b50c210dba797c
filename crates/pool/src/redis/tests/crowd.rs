//! Many ask at once, and ask much.

use std::{future::poll_fn, task::Poll, time::Duration};

use futures_util::future::join_all;
use snapshot::{CallLimits, ClientName, QuotaWindow, Strategy};
use tokio::time::{sleep, timeout};

use super::fleet::{Fleet, GENEROUS, PACE, eventually, heard, succeed, world};
use crate::{
    Admission, Denied, Lease, Member, NoneUsable, Outcome, Pool, Settled, Store,
    testing::{World, member, members, narrow, requests, tokens, with_quota},
};

/// An admission and a lease, or why there is none.
type Entered<S> = Result<(Admission<S>, Result<Lease<S>, NoneUsable>), Denied>;

#[tokio::test]
async fn many_that_wait_ask_the_store_seldom() {
    let members = [narrow("a", 1), narrow("b", 1)];
    let world = World::new(Strategy::RoundRobin, &members).max_wait(Duration::from_secs(1));
    let fleet = Fleet::start(world, 1, GENEROUS).await;
    let held = fleet.a().leases(&fleet.world, 2).await;
    let before = fleet.scripts_run();
    let waiting = (0..100).map(|_| fleet.a().pool.pick(fleet.world.pick()));
    let found = join_all(waiting).await;
    assert!(found.iter().all(Result::is_err), "all was taken");
    let looks = fleet.scripts_run() - before;
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
    let before = fleet.scripts_run();
    let keys = fleet.server.cli(&["KEYS", "*"]);
    let states = fleet.a().pool.look_up_clients(&asked).await;
    assert_eq!(states.len(), 500, "one for each");
    assert_eq!(fleet.scripts_run() - before, 500, "each was looked up");
    assert!(
        fleet.a().pool.shared.store.tags().is_empty(),
        "nobody speaks for them"
    );
    assert_eq!(fleet.server.cli(&["KEYS", "*"]), keys, "no key was made");
}

/// What came of each of many calls, as far as it is the same in both stores.
fn told<S: Store>(entered: &[Entered<S>]) -> Vec<String> {
    let one = |entered: &Entered<S>| match entered {
        Ok((_, Ok(lease))) => lease.credential().name().to_owned(),
        Ok((_, Err(none))) => format!("{none:?}"),
        Err(denied) => format!("{:?}", denied.limit),
    };
    entered.iter().map(one).collect()
}

/// Ends every other call, and gives the rest.
fn end_some<S: Store>(entered: Vec<Entered<S>>) -> Vec<Entered<S>> {
    let mut kept = Vec::new();
    for (place, entered) in entered.into_iter().enumerate() {
        match entered {
            Ok((admission, Ok(lease))) if place % 2 == 0 => {
                lease.settle(Settled::new(Outcome::Succeeded));
                admission.settle(10);
            }
            other => kept.push(other),
        }
    }
    kept
}

#[tokio::test]
async fn many_at_once_get_what_they_would_get_one_after_the_other() {
    let heavy = |name: &str, weight| Member {
        weight,
        ..member(name)
    };
    let narrow_and_wide = [narrow("a", 2), narrow("b", 3), member("c")];
    let with_quotas = [
        with_quota("a", &[requests("day", 86_400, 7)]),
        with_quota("b", &[tokens("day", 86_400, 1_000)]),
        member("c"),
    ];
    let worlds = [
        World::new(Strategy::RoundRobin, &members("abcdefgh")),
        World::new(Strategy::RoundRobin, &narrow_and_wide),
        World::new(Strategy::RoundRobin, &with_quotas),
        World::new(Strategy::RoundRobin, &[narrow("a", 4), narrow("b", 5)]).tier(&members("c")),
        World::new(Strategy::Weighted, &[heavy("a", 3), heavy("b", 1), heavy("c", 2)]),
        World::new(Strategy::LeastBusy, &members("abc")),
        World::new(Strategy::LeastBusy, &narrow_and_wide),
        World::new(Strategy::FillFirst, &narrow_and_wide),
    ];
    let limits = [
        CallLimits::default(),
        CallLimits {
            concurrency: Some(12),
            requests_per_minute: Some(40),
            tokens_per_minute: None,
        },
        CallLimits {
            tokens_per_minute: Some(150),
            ..CallLimits::default()
        },
    ];
    for (number, mut world) in worlds.into_iter().enumerate() {
        for limits in limits {
            world.limits = limits;
            world.budgets = vec![requests("month", 2_592_000, 60)];
            if number % 2 == 0 {
                world.provider.concurrency = Some(20);
            }
            let fleet = Fleet::by_hand(world.clone(), 1, GENEROUS, PACE).await;
            let world = &fleet.world;
            let shared = &fleet.a().pool;
            let memory = Pool::in_memory(world.clock.clone());
            let (mut theirs, mut ours) = (Vec::new(), Vec::new());
            for count in [1, 9, 17, 2, 30, 5] {
                let asked = (0..count).map(|_| shared.enter(world.admit(), world.pick()));
                let found: Vec<Entered<_>> = join_all(asked).await;
                let mut expected: Vec<Entered<_>> = Vec::new();
                for _ in 0..count {
                    expected.push(memory.enter(world.admit(), world.pick()).await);
                }
                assert_eq!(told(&found), told(&expected), "world {number}, {limits:?}");
                theirs.extend(found);
                ours.extend(expected);
                (theirs, ours) = (end_some(theirs), end_some(ours));
                heard(fleet.a()).await;
                fleet.step(Duration::from_millis(700)).await;
            }
            assert_eq!(
                fleet.a().in_flight(world).await.iter().sum::<u32>(),
                ours.iter()
                    .map(|call| u32::from(matches!(call, Ok((_, Ok(_))))))
                    .sum::<u32>(),
                "world {number}, {limits:?}: what is under way is counted"
            );
            drop(theirs);
            fleet.is_quiet().await;
        }
    }
}

#[tokio::test]
async fn many_at_once_cost_few_scripts() {
    let mut world = world("abcdefgh");
    world.limits.requests_per_minute = Some(1_000_000);
    let fleet = Fleet::start(world, 1, GENEROUS).await;
    let enter = async |count: usize| {
        let asked = (0..count).map(|_| fleet.a().pool.enter(fleet.world.admit(), fleet.world.pick()));
        let all: Vec<Entered<_>> = join_all(asked).await;
        assert!(
            all.iter().all(|one| matches!(one, Ok((_, Ok(_))))),
            "there is room for all"
        );
        all
    };
    // The first fills the lane.
    drop(enter(1).await);
    heard(fleet.a()).await;
    let before = fleet.scripts_run();
    let all = enter(64).await;
    let asked = fleet.scripts_run() - before;
    assert!(asked <= 8, "{asked} scripts for 64 calls");
    drop(all);
    fleet.is_quiet().await;
}

#[tokio::test]
async fn those_who_leave_while_it_is_asked_for_them_hold_nothing() {
    let mut world = world("ab");
    world.limits.concurrency = Some(100);
    let fleet = Fleet::start(world, 1, GENEROUS).await;
    let (pool, world) = (&fleet.a().pool, &fleet.world);
    drop(pool.enter(world.admit(), world.pick()).await);
    for moment in 0..40_u64 {
        let asked = join_all((0..20).map(|_| pool.enter(world.admit(), world.pick())));
        // Some leave before they are asked for, some before the answer, and some with it.
        drop(timeout(Duration::from_micros(moment * 50), asked).await);
    }
    heard(fleet.a()).await;
    fleet.is_quiet().await;
}

#[tokio::test]
async fn one_who_leaves_with_the_answer_unheard_holds_nothing() {
    let mut world = world("ab");
    world.limits.concurrency = Some(100);
    let fleet = Fleet::start(world, 1, GENEROUS).await;
    let (pool, world) = (&fleet.a().pool, &fleet.world);
    drop(pool.enter(world.admit(), world.pick()).await);
    fleet.is_quiet().await;
    let mut asked = Box::pin(pool.enter(world.admit(), world.pick()));
    let once = poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_pending())).await;
    assert!(once, "the store is asked");
    eventually("the store has given", async || !fleet.leftovers().is_empty()).await;
    // The answer is there, and nobody looks at it.
    sleep(Duration::from_millis(50)).await;
    drop(asked);
    fleet.is_quiet().await;
}
