//! Who has used the least of its quota.

use std::time::Duration;

use snapshot::{QuotaWindow, Strategy};

use super::{Bench, name_of, stated, succeed, used};
use crate::{
    Headroom, Member, Outcome, Pick, Settled, Store,
    testing::{World, credential, lane, members, provider_name, requests, rolling, tokens, with_quota},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    requests_are_shared_in_proportion_to_limits(make).await;
    tokens_count_when_they_are_known(make).await;
    the_tightest_window_counts_and_other_limits_do_not(make).await;
    what_the_upstream_says_counts_until_its_reset(make).await;
    a_period_that_ends_gives_its_part_back(make).await;
    all_models_see_the_same_quota(make).await;
    a_reset_gives_all_of_it_back(make).await;
}

const HOUR: u64 = 3600;

fn world(quotas: &[(&str, QuotaWindow)]) -> World {
    let members: Vec<Member> = quotas
        .iter()
        .map(|(name, window)| with_quota(name, std::slice::from_ref(window)))
        .collect();
    World::new(Strategy::MostHeadroom, &members)
}

fn says(used: u32, seconds: u64) -> Settled {
    Settled {
        headroom: Some(Headroom {
            used,
            resets_in: Duration::from_secs(seconds),
        }),
        ..Settled::new(Outcome::Succeeded)
    }
}

async fn requests_are_shared_in_proportion_to_limits<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(
        make,
        world(&[("a", requests("1h", HOUR, 10)), ("b", requests("1h", HOUR, 5))]),
    );
    // Of equally used ones that which was picked less often, then by name.
    assert_eq!(bench.calls(15).await, "ababaabaabaabaa");
    bench.none().await;
    let equal = World::new(Strategy::MostHeadroom, &members("abc"));
    let bench = Bench::new(make, equal);
    assert_eq!(bench.calls(6).await, "abcabc", "without numbers each in turn");
}

async fn tokens_count_when_they_are_known<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(
        make,
        world(&[("a", tokens("1h", HOUR, 1000)), ("b", tokens("1h", HOUR, 1000))]),
    );
    let a = bench.lease().await;
    let b = bench.lease().await;
    assert_eq!((name_of(&a), name_of(&b)), ("a", "b"));
    a.settle(used(300));
    b.settle(used(200));
    let b = bench.lease().await;
    assert_eq!(name_of(&b), "b", "it has used less");
    let again = bench.lease().await;
    assert_eq!(name_of(&again), "b", "what is under way does not count yet");
    b.settle(used(101));
    assert_eq!(bench.calls(1).await, "a", "301 of b");
}

async fn the_tightest_window_counts_and_other_limits_do_not<S: Store>(make: &impl Fn() -> S) {
    let mut a = with_quota("a", &[requests("1h", HOUR, 100), tokens("day", 24 * HOUR, 1000)]);
    a.limits.requests_per_minute = Some(10);
    let b = with_quota("b", &[requests("1h", HOUR, 10), rolling("free", HOUR)]);
    let bench = Bench::new(make, World::new(Strategy::MostHeadroom, &[a, b]));
    bench.lease().await.settle(used(150));
    // a has used a hundredth of its requests and 15 % of its tokens; each call is a tenth of b's.
    let order = bench.calls(4).await;
    assert_eq!(order, "bbaa", "0 < 15 %, 10 < 15 %, 20 > 15 %");
}

async fn what_the_upstream_says_counts_until_its_reset<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::MostHeadroom, &members("ab")));
    bench.lease().await.settle(says(500_000, 60));
    assert_eq!(bench.calls(3).await, "bbb", "a is half used");
    bench.lease().await.settle(says(900_000, 600));
    assert_eq!(bench.calls(1).await, "a", "b is used more");
    bench.lease().await.settle(says(950_000, 30));
    assert_eq!(bench.calls(1).await, "b", "the last word counts");
    bench.step(29);
    assert_eq!(bench.calls(1).await, "b", "a second before a's reset");
    bench.step(1);
    assert_eq!(bench.calls(2).await, "aa", "and then");
    bench.lease().await.settle(says(4_000_000, 60));
    assert_eq!(bench.calls(1).await, "b", "more than all is all");
    bench.report("b", stated(120));
    bench.step(120);
    assert_eq!(bench.calls(2).await, "aa", "b returns as used as it was");
    bench.step(450);
    assert_eq!(bench.calls(2).await, "ba", "nothing is known of either");
}

async fn a_period_that_ends_gives_its_part_back<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(
        make,
        world(&[
            ("a", requests("1h", HOUR, 100)),
            ("b", requests("2h", 2 * HOUR, 100)),
        ]),
    );
    assert_eq!(bench.calls(4).await, "abab");
    bench.step(HOUR);
    assert_eq!(bench.calls(4).await, "aaba", "a begins anew and b has used two");
}

async fn all_models_see_the_same_quota<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(
        make,
        world(&[("a", requests("1h", HOUR, 10)), ("b", requests("1h", HOUR, 10))]),
    );
    let other = [lane(
        "other",
        Strategy::MostHeadroom,
        bench.world.lanes[0].members(),
    )];
    let pick = Pick {
        model: "other",
        lanes: &other,
        ..bench.world.pick()
    };
    for (expected, model) in [("a", "model"), ("b", "other"), ("a", "other"), ("b", "model")] {
        let pick = if model == "model" {
            bench.world.pick()
        } else {
            pick
        };
        let lease = bench.lease_for(pick).await;
        assert_eq!(name_of(&lease), expected);
        succeed(lease);
    }
}

async fn a_reset_gives_all_of_it_back<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(
        make,
        world(&[("a", requests("1h", HOUR, 100)), ("b", requests("1h", HOUR, 100))]),
    );
    assert_eq!(bench.calls(6).await, "ababab");
    bench.lease().await.settle(says(990_000, HOUR));
    assert_eq!(bench.calls(2).await, "bb", "a is nearly used up");
    bench.pool.reset_quota(&provider_name(), &credential("a"));
    assert_eq!(bench.calls(6).await, "aaaaab", "b has used five");
}
