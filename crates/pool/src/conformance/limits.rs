//! What may be asked at most.

use std::time::Duration;

use snapshot::{CallLimits, Strategy};

use super::{Bench, name_of, stated, succeed, used};
use crate::{
    Denied, Limit, Member, NoneUsable, Store,
    testing::{World, member, members, narrow},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    a_client_is_held_to_its_concurrency(make).await;
    a_client_is_held_to_its_requests_in_any_minute(make).await;
    a_client_is_held_to_its_tokens_and_what_is_under_way_counts(make).await;
    a_denied_caller_takes_nothing(make).await;
    a_full_credential_is_passed_over_until_a_release(make).await;
    a_credential_is_held_to_its_requests_in_any_minute(make).await;
    a_credential_is_held_to_its_tokens(make).await;
    a_provider_is_held_to_its_concurrency(make).await;
    the_soonest_moment_counts_whatever_it_is_waited_for(make).await;
}

async fn a_client_is_held_to_its_concurrency<S: Store>(make: &impl Fn() -> S) {
    let mut world = World::new(Strategy::RoundRobin, &members("a"));
    world.limits.concurrency = Some(2);
    let bench = Bench::new(make, world);
    let first = bench.pool.admit(bench.world.admit()).await.expect("one of two");
    let second = bench.pool.admit(bench.world.admit()).await.expect("two of two");
    let denied = bench.pool.admit(bench.world.admit()).await.expect_err("three");
    assert_eq!(
        denied,
        Denied {
            limit: Limit::Concurrency,
            retry_after: Duration::from_secs(1)
        }
    );
    first.settle(0);
    drop(second);
    for _ in 0..2 {
        let admission = bench.pool.admit(bench.world.admit()).await;
        std::mem::forget(admission.expect("both places are free again"));
    }
}

async fn a_client_is_held_to_its_requests_in_any_minute<S: Store>(make: &impl Fn() -> S) {
    let mut world = World::new(Strategy::RoundRobin, &members("a"));
    world.limits.requests_per_minute = Some(3);
    let bench = Bench::new(make, world);
    for _ in 0..3 {
        drop(
            bench
                .pool
                .admit(bench.world.admit())
                .await
                .expect("within the limit"),
        );
        bench.step(10);
    }
    let denied = bench.pool.admit(bench.world.admit()).await.expect_err("a fourth");
    assert_eq!(
        denied,
        Denied {
            limit: Limit::RequestsPerMinute,
            retry_after: Duration::from_secs(31)
        },
        "cancelled calls count too"
    );
    bench.world.clock.step(denied.retry_after);
    drop(
        bench
            .pool
            .admit(bench.world.admit())
            .await
            .expect("the promised moment"),
    );
    bench
        .pool
        .admit(bench.world.admit())
        .await
        .expect_err("and only one");
}

async fn a_client_is_held_to_its_tokens_and_what_is_under_way_counts<S: Store>(make: &impl Fn() -> S) {
    let mut world = World::new(Strategy::RoundRobin, &members("a"));
    world.limits.tokens_per_minute = Some(1000);
    let bench = Bench::new(make, world);
    let enter = async || bench.pool.admit(bench.world.admit()).await;
    enter().await.expect("nothing is used").settle(400);
    // 400 used; calls of this client with this model are expected to use 400.
    let second = enter().await.expect("400 of 1,000");
    let third = enter().await.expect("800 of 1,000");
    let denied = enter().await.expect_err("1,200 of 1,000");
    assert_eq!(
        denied,
        Denied {
            limit: Limit::TokensPerMinute,
            retry_after: Duration::from_secs(1)
        },
        "one that is under way may turn out smaller"
    );
    drop(second);
    let second = enter().await.expect("a cancelled call frees what it held");
    bench.step(5);
    second.settle(5000);
    third.settle(0);
    let denied = enter().await.expect_err("5,400 of 1,000");
    assert_eq!(
        denied,
        Denied {
            limit: Limit::TokensPerMinute,
            retry_after: Duration::from_secs(61)
        },
        "what was used beyond the limit counts for its minute"
    );
    bench.step(61);
    enter().await.expect("all of it is a minute old").settle(0);
}

async fn a_denied_caller_takes_nothing<S: Store>(make: &impl Fn() -> S) {
    let mut world = World::new(Strategy::RoundRobin, &members("ab"));
    world.limits.requests_per_minute = Some(1);
    let bench = Bench::new(make, world);
    let (admission, lease) = bench
        .pool
        .enter(bench.world.admit(), bench.world.pick())
        .await
        .expect("the first");
    let lease = lease.expect("a is usable");
    assert_eq!(name_of(&lease), "a");
    bench
        .pool
        .enter(bench.world.admit(), bench.world.pick())
        .await
        .expect_err("the second");
    succeed(lease);
    admission.settle(0);
    assert_eq!(
        bench.calls(1).await,
        "b",
        "the denied call did not move the order"
    );
}

async fn a_full_credential_is_passed_over_until_a_release<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(
        make,
        World::new(Strategy::RoundRobin, &[narrow("a", 1), narrow("b", 2)]),
    );
    let leases = [bench.lease().await, bench.lease().await, bench.lease().await];
    assert_eq!(leases.each_ref().map(|lease| name_of(lease)), ["a", "b", "b"]);
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(1)
        },
        "nobody knows when calls end"
    );
    let [a, b, c] = leases;
    drop(b);
    assert_eq!(bench.calls(2).await, "bb", "b has room again");
    succeed(a);
    assert_eq!(bench.calls(2).await, "ab", "and so has a");
    drop(c);
}

async fn a_credential_is_held_to_its_requests_in_any_minute<S: Store>(make: &impl Fn() -> S) {
    let mut limited = members("ab");
    limited[0].limits.requests_per_minute = Some(2);
    limited[1].limits.requests_per_minute = Some(1);
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &limited));
    assert_eq!(bench.calls(2).await, "ab");
    bench.step(20);
    assert_eq!(bench.calls(1).await, "a", "b is used up");
    bench.step(20);
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(21)
        },
        "the calls of 40 s ago leave when their second is a minute old"
    );
    bench.step(21);
    assert_eq!(bench.calls(2).await, "ab", "as promised");
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(20)
        },
        "a's second call leaves first"
    );
}

async fn a_credential_is_held_to_its_tokens<S: Store>(make: &impl Fn() -> S) {
    let limited = Member {
        limits: CallLimits {
            tokens_per_minute: Some(100),
            ..CallLimits::default()
        },
        ..member("a")
    };
    let world = || World::new(Strategy::RoundRobin, std::slice::from_ref(&limited));
    let bench = Bench::new(make, world());
    bench.lease().await.settle(used(60));
    let lease = bench.lease().await;
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(1)
        },
        "60 are used and 60 are expected"
    );
    lease.settle(used(20));
    let lease = bench.lease().await;
    bench.step(1);
    lease.settle(used(40));
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(60)
        },
        "120 are used; the first 80 leave first"
    );
    bench.step(60);
    drop(bench.lease().await);

    let bench = Bench::new(make, world());
    let late = bench.lease().await;
    bench.lease().await.settle(used(100));
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(61)
        }
    );
    bench.step(10);
    late.settle(used(100));
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(61)
        },
        "what a call under way used in the end moves the moment"
    );
}

async fn a_provider_is_held_to_its_concurrency<S: Store>(make: &impl Fn() -> S) {
    let mut world = World::new(Strategy::RoundRobin, &members("ab"));
    world.provider.concurrency = Some(1);
    let bench = Bench::new(make, world);
    let lease = bench.lease().await;
    assert_eq!(
        bench.none().await,
        NoneUsable::Full {
            soonest: bench.after(1)
        }
    );
    drop(lease);
    assert_eq!(bench.calls(2).await, "ba", "one after another");
}

async fn the_soonest_moment_counts_whatever_it_is_waited_for<S: Store>(make: &impl Fn() -> S) {
    let mut limited = members("ab");
    limited[0].limits.requests_per_minute = Some(1);
    for tiers in [1, 2] {
        let mut world = World::new(Strategy::RoundRobin, &limited);
        if tiers == 2 {
            world = World::new(Strategy::RoundRobin, &limited[..1]).tier(&limited[1..]);
        }
        let bench = Bench::new(make, world);
        assert_eq!(bench.calls(1).await, "a");
        bench.report("b", stated(7));
        assert_eq!(
            bench.none().await,
            NoneUsable::Full {
                soonest: bench.after(7)
            },
            "a is full for a minute, b rests for less, in {tiers} tiers"
        );
    }
}
