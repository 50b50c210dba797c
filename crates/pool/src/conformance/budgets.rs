//! What a caller may use within longer periods.

use std::time::Duration;

use snapshot::{QuotaWindow, Strategy};

use super::{Bench, name_of};
use crate::{
    Denied, Limit, Store,
    testing::{World, members, requests, tokens},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    a_client_is_held_to_its_requests_in_a_period(make).await;
    a_client_is_held_to_its_tokens_in_a_period(make).await;
    the_limit_that_lasts_longest_is_told(make).await;
    a_reset_begins_the_budgets_anew(make).await;
    a_caller_without_budget_takes_nothing(make).await;
}

const DAY: u64 = 24 * 3600;

fn bench<S: Store>(make: &impl Fn() -> S, budgets: &[QuotaWindow]) -> Bench<S> {
    let mut world = World::new(Strategy::RoundRobin, &members("ab"));
    world.budgets = budgets.to_vec();
    Bench::new(make, world)
}

fn denied(limit: Limit, seconds: u64) -> Result<(), Denied> {
    Err(Denied {
        limit,
        retry_after: Duration::from_secs(seconds),
    })
}

/// Makes a call that uses so many tokens.
async fn call<S: Store>(bench: &Bench<S>, tokens: u64) -> Result<(), Denied> {
    bench.pool.admit(bench.world.admit()).await?.settle(tokens);
    Ok(())
}

/// What is used of each budget, and the seconds until its end.
async fn budgets<S: Store>(bench: &Bench<S>) -> Vec<(u64, u64, u64)> {
    let asked = [(&bench.world.client, &*bench.world.budgets)];
    let states = bench.pool.look_up_clients(&asked).await;
    let budgets = states[0].budgets.iter();
    budgets
        .map(|budget| {
            let left = budget.resets_at.since(bench.after(0)).as_secs();
            (budget.requests, budget.tokens, left)
        })
        .collect()
}

async fn a_client_is_held_to_its_requests_in_a_period<S: Store>(make: &impl Fn() -> S) {
    let bench = bench(make, &[requests("daily", DAY, 2)]);
    assert_eq!(budgets(&bench).await, [], "no day has begun");
    assert_eq!(call(&bench, 0).await, Ok(()));
    bench.step(60);
    drop(bench.pool.admit(bench.world.admit()).await.expect("the second"));
    assert_eq!(
        budgets(&bench).await,
        [(2, 0, DAY - 60)],
        "cancelled calls count too"
    );
    assert_eq!(call(&bench, 0).await, denied(Limit::Budget, DAY - 60));
    bench.step(DAY - 60);
    assert_eq!(call(&bench, 0).await, Ok(()), "another day");
}

async fn a_client_is_held_to_its_tokens_in_a_period<S: Store>(make: &impl Fn() -> S) {
    let bench = bench(make, &[tokens("daily", DAY, 1000)]);
    assert_eq!(call(&bench, 400).await, Ok(()));
    let second = bench.pool.admit(bench.world.admit()).await.expect("400 of 1,000");
    let third = bench.pool.admit(bench.world.admit()).await.expect("800 of 1,000");
    assert_eq!(
        call(&bench, 0).await,
        denied(Limit::Budget, 1),
        "1,200 of 1,000, but those under way may turn out smaller"
    );
    drop(second);
    bench.step(60);
    third.settle(5000);
    assert_eq!(budgets(&bench).await, [(3, 5400, DAY - 60)]);
    assert_eq!(call(&bench, 0).await, denied(Limit::Budget, DAY - 60));
    bench.step(DAY - 60);
    assert_eq!(call(&bench, 0).await, Ok(()), "another day");
}

async fn the_limit_that_lasts_longest_is_told<S: Store>(make: &impl Fn() -> S) {
    let mut bench = bench(make, &[requests("short", 30, 1), requests("long", 300, 1)]);
    bench.world.limits.requests_per_minute = Some(1);
    assert_eq!(call(&bench, 0).await, Ok(()));
    assert_eq!(call(&bench, 0).await, denied(Limit::Budget, 300));
    bench.world.budgets.pop();
    assert_eq!(call(&bench, 0).await, denied(Limit::RequestsPerMinute, 61));
    bench.world.limits.requests_per_minute = None;
    assert_eq!(call(&bench, 0).await, denied(Limit::Budget, 30));
    bench.world.limits.concurrency = Some(0);
    assert_eq!(call(&bench, 0).await, denied(Limit::Budget, 30));
}

async fn a_reset_begins_the_budgets_anew<S: Store>(make: &impl Fn() -> S) {
    let bench = bench(make, &[requests("daily", DAY, 1)]);
    assert_eq!(call(&bench, 7).await, Ok(()));
    assert_eq!(call(&bench, 7).await, denied(Limit::Budget, DAY));
    bench.pool.reset_budgets(&bench.world.client);
    assert_eq!(budgets(&bench).await, []);
    bench.step(60);
    assert_eq!(call(&bench, 7).await, Ok(()));
    assert_eq!(budgets(&bench).await, [(1, 7, DAY)]);
}

async fn a_caller_without_budget_takes_nothing<S: Store>(make: &impl Fn() -> S) {
    let bench = bench(make, &[requests("daily", DAY, 1)]);
    let enter = async || bench.pool.enter(bench.world.admit(), bench.world.pick()).await;
    let (_admission, lease) = enter().await.expect("the first");
    assert_eq!(name_of(&lease.expect("a is usable")), "a");
    enter().await.expect_err("the second");
    assert_eq!(budgets(&bench).await, [(1, 0, DAY)]);
    assert_eq!(
        bench.calls(1).await,
        "b",
        "the denied call did not move the order"
    );
}
