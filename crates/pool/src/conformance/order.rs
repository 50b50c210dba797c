//! Who is next.

use snapshot::{RestReason, Strategy};

use super::{Bench, name_of, names, stated, succeed};
use crate::{
    Outcome, Pick, RestScope, Settled, Store,
    testing::{World, lane, member, members, narrow},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    strategies_share_as_they_say(make).await;
    least_busy_looks_at_calls_in_flight_on_all_models(make).await;
    a_returning_member_does_not_catch_up(make).await;
    a_tried_member_keeps_its_place(make).await;
    the_next_tier_serves_only_when_the_one_before_cannot(make).await;
    an_equal_lane_shares_its_order_and_a_changed_one_starts_anew(make).await;
    nobody_is_left_when_there_is_nobody_or_all_were_tried(make).await;
}

async fn strategies_share_as_they_say<S: Store>(make: &impl Fn() -> S) {
    let mut weighted = members("abc");
    weighted[0].weight = 4;
    weighted[1].weight = 2;
    let cases = [
        (Strategy::RoundRobin, members("cab"), "abcabcabc"),
        (Strategy::RoundRobin, weighted.clone(), "abcabcabc"),
        // Virtual time: a is charged a quarter, b a half, c a whole; ties go by name.
        (Strategy::Weighted, weighted, "abcaabaabcaaba"),
        (Strategy::LeastBusy, members("abc"), "abcabc"),
        (Strategy::FillFirst, members("abc"), "aaaa"),
    ];
    for (strategy, members, expected) in cases {
        let bench = Bench::new(make, World::new(strategy, &members));
        assert_eq!(bench.calls(expected.len()).await, expected, "{strategy:?}");
    }
}

async fn least_busy_looks_at_calls_in_flight_on_all_models<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::LeastBusy, &members("abc")));
    let a = bench.lease().await;
    let other_model = [lane("other", Strategy::LeastBusy, &members("abc"))];
    let b = bench
        .lease_for(Pick {
            model: "other",
            lanes: &other_model,
            ..bench.world.pick()
        })
        .await;
    assert_eq!(name_of(&b), "b", "a is busy with another model");
    let c = bench.lease().await;
    assert_eq!(name_of(&c), "c", "the only idle one");
    succeed(b);
    let b = bench.lease().await;
    assert_eq!(name_of(&b), "b", "idle again");
    let again = bench.lease().await;
    assert_eq!(name_of(&again), "a", "all are equally busy and it was used least");
    drop((a, b, c, again));
}

async fn a_returning_member_does_not_catch_up<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("abc")));
    bench.report("a", stated(60));
    assert_eq!(bench.calls(6).await, "bcbcbc", "a rests");
    bench.step(60);
    assert_eq!(
        bench.calls(6).await,
        "abcabc",
        "a takes its turns, not those it missed"
    );
}

async fn a_tried_member_keeps_its_place<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("abc")));
    let tried = names("a");
    let lease = bench
        .lease_for(Pick {
            tried: &tried,
            ..bench.world.pick()
        })
        .await;
    assert_eq!(name_of(&lease), "b", "a was tried by this call");
    succeed(lease);
    assert_eq!(bench.calls(5).await, "acabc", "a is still first for others");
}

async fn the_next_tier_serves_only_when_the_one_before_cannot<S: Store>(make: &impl Fn() -> S) {
    let world = World::new(Strategy::RoundRobin, &[narrow("a", 1), member("b")]).tier(&members("c"));
    let bench = Bench::new(make, world);
    assert_eq!(bench.calls(4).await, "abab", "the first tier serves");
    bench.report("b", stated(60));
    let a = bench.lease().await;
    assert_eq!(name_of(&a), "a", "one is left in the first tier");
    assert_eq!(bench.calls(2).await, "cc", "a is full and b rests");
    succeed(a);
    assert_eq!(bench.calls(2).await, "aa", "a has room again");
    bench.step(60);
    assert_eq!(bench.calls(4).await, "abab", "b has rested");
    let mut last = Settled::new(Outcome::Succeeded);
    last.rest = Some((RestScope::Credential, stated(60)));
    for _ in 0..2 {
        bench.lease().await.settle(last);
    }
    assert_eq!(
        bench.calls(1).await,
        "c",
        "both said with an answer that they are used up"
    );
}

async fn an_equal_lane_shares_its_order_and_a_changed_one_starts_anew<S: Store>(make: &impl Fn() -> S) {
    let mut bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("abc")));
    assert_eq!(bench.calls(1).await, "a", "the first");
    bench.world.lanes = World::new(Strategy::RoundRobin, &members("bca")).lanes;
    assert_eq!(
        bench.calls(1).await,
        "b",
        "an equal list goes on where the other was"
    );
    bench.world.lanes = World::new(Strategy::RoundRobin, &members("abcd")).lanes;
    assert_eq!(bench.calls(4).await, "abcd", "another list is another order");
}

async fn nobody_is_left_when_there_is_nobody_or_all_were_tried<S: Store>(make: &impl Fn() -> S) {
    use crate::NoneUsable::{Empty, Resting};
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("ab")));
    for lanes in [vec![], vec![lane("model", Strategy::RoundRobin, &[])]] {
        let pick = Pick {
            lanes: &lanes,
            ..bench.world.pick()
        };
        assert_eq!(bench.none_for(pick).await, Empty, "nobody");
    }
    let tried = names("baa");
    let pick = Pick {
        tried: &tried,
        ..bench.world.pick()
    };
    assert_eq!(bench.none_for(pick).await, Empty, "all were tried");
    bench.report("a", stated(30));
    assert_eq!(bench.none_for(pick).await, Empty, "b was tried and does not rest");
    bench.report("b", stated(20));
    assert_eq!(
        bench.none_for(pick).await,
        Resting {
            soonest: bench.after(20),
            reason: RestReason::QuotaExhausted
        },
        "all rest by now, and b is the first to return"
    );
}
