//! When an endpoint is left alone.

use std::time::Duration;

use snapshot::{Breaker, RestReason, Strategy};

use super::{Bench, guessed, names, refuse, refused, stated, succeed};
use crate::{
    Blame, NoneUsable, Outcome, Pick, RestScope, Settled, Store,
    rest::PROBE_LOCK,
    testing::{World, credential, members},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    failures_in_a_row_open_the_breaker_and_one_probe_closes_it(make).await;
    a_lost_probe_of_the_endpoint_frees_its_place(make).await;
    a_provider_that_refuses_half_of_its_credentials_is_to_blame(make).await;
    what_came_after_a_refusal_stays_when_the_provider_is_to_blame(make).await;
    refusals_that_say_nothing_about_the_provider_do_not_count(make).await;
    credentials_of_all_tiers_count_when_a_provider_is_judged(make).await;
    a_call_that_no_credential_fits_hears_of_the_breaker_first(make).await;
}

fn world(credentials: &str) -> World {
    let mut world = World::new(Strategy::RoundRobin, &members(credentials));
    world.provider.breaker = Breaker {
        consecutive_failures: 2,
        open_for: Duration::from_secs(30),
    };
    world
}

async fn failures_in_a_row_open_the_breaker_and_one_probe_closes_it<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, world("ab"));
    let early = bench.lease().await;
    for outcome in [
        Outcome::UpstreamFault,
        Outcome::CallerFault,
        Outcome::UpstreamFault,
    ] {
        bench.lease().await.settle(Settled::new(outcome));
    }
    drop(bench.lease().await);
    let open = NoneUsable::BreakerOpen {
        until: bench.after(30),
    };
    bench.lease().await.settle(Settled::new(Outcome::UpstreamFault));
    assert_eq!(
        bench.none().await,
        open,
        "two failed in a row; a cancelled call says nothing"
    );
    succeed(early);
    assert_eq!(bench.none().await, open, "a call from before is no evidence");

    bench.step(30);
    let probe = bench.lease().await;
    assert!(probe.is_probe(), "one call finds out");
    assert!(
        matches!(bench.none().await, NoneUsable::BreakerOpen { .. }),
        "and only one"
    );
    probe.settle(Settled::new(Outcome::UpstreamFault));
    assert_eq!(
        bench.none().await,
        NoneUsable::BreakerOpen {
            until: bench.after(30)
        },
        "it failed"
    );
    bench.step(30);
    drop(bench.lease().await);
    let mut probe = bench.lease().await;
    assert!(probe.is_probe(), "the cancelled one gave its place back");
    probe.commit();
    assert!(
        !bench.lease().await.is_probe(),
        "content has come: others may pass"
    );
    probe.settle(Settled::new(Outcome::UpstreamFault));
    assert!(!bench.lease().await.is_probe(), "one failure does not open it");
    assert_eq!(bench.pool.breakers()[0].open_until, None, "which can be seen");
}

async fn a_lost_probe_of_the_endpoint_frees_its_place<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, world("ab"));
    for _ in 0..2 {
        bench.lease().await.settle(Settled::new(Outcome::UpstreamFault));
    }
    bench.step(30);
    let lost = bench.lease().await;
    bench.none().await;
    bench.world.clock.step(PROBE_LOCK);
    let second = bench.lease().await;
    assert!(second.is_probe(), "the first was not heard of");
    bench.none().await;
    drop(lost);
    bench.none().await;
    succeed(second);
    drop(bench.lease().await);
}

async fn a_provider_that_refuses_half_of_its_credentials_is_to_blame<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, world("abcdef"));
    let mut blames = Vec::new();
    for _ in 0..3 {
        blames.push(refuse(bench.lease().await, RestReason::Unauthorized));
        bench.step(5);
    }
    assert_eq!(
        blames,
        [Blame::AsSettled, Blame::AsSettled, Blame::Provider],
        "three of six within a minute"
    );
    assert_eq!(
        bench.none().await,
        NoneUsable::BreakerOpen {
            until: bench.after(25)
        },
        "the endpoint is left alone"
    );
    let resting: usize = bench.pool.states().iter().map(|state| state.rests.len()).sum();
    assert_eq!(resting, 0, "nobody rests for it");

    bench.step(25);
    let probe = refuse(bench.lease().await, RestReason::Unauthorized);
    assert_eq!(probe, Blame::Provider, "it still refuses");
    bench.step(30);
    succeed(bench.lease().await);
    let later = refuse(bench.lease().await, RestReason::Unauthorized);
    assert_eq!(
        later,
        Blame::AsSettled,
        "it accepted one: this one is to blame itself"
    );
}

async fn what_came_after_a_refusal_stays_when_the_provider_is_to_blame<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, world("abcdef"));
    refuse(bench.lease().await, RestReason::Unauthorized);
    bench.report("a", stated(7200));
    refuse(bench.lease().await, RestReason::Unauthorized);
    let third = refuse(bench.lease().await, RestReason::Unauthorized);
    assert_eq!(third, Blame::Provider);
    bench.step(30);
    let mut called: Vec<char> = bench.calls(10).await.chars().collect();
    called.sort_unstable();
    called.dedup();
    assert_eq!(
        String::from_iter(called),
        "bcdef",
        "one has used up its quota since"
    );
}

async fn refusals_that_say_nothing_about_the_provider_do_not_count<S: Store>(make: &impl Fn() -> S) {
    let unauthorized = guessed(RestReason::Unauthorized);
    let cases = [
        (
            "rate limits",
            "abcdef",
            refused(guessed(RestReason::RateLimited)),
            0,
        ),
        ("quotas", "abcdef", refused(stated(600)), 0),
        (
            "a closed model",
            "abcdef",
            Settled {
                rest: Some((
                    RestScope::CredentialAndModel,
                    guessed(RestReason::ModelUnavailable),
                )),
                ..Settled::new(Outcome::CredentialFault)
            },
            0,
        ),
        ("too few of them", "abcdefg", refused(unauthorized), 0),
        ("too small a Provider", "ab", refused(unauthorized), 0),
        ("too long apart", "abcdef", refused(unauthorized), 31),
    ];
    for (what, credentials, settled, pause) in cases {
        let bench = Bench::new(make, world(credentials));
        let leases = [bench.lease().await, bench.lease().await];
        let third = if credentials.len() > 2 {
            Some(bench.lease().await)
        } else {
            None
        };
        for lease in leases.into_iter().chain(third) {
            assert_eq!(lease.settle(settled), Blame::AsSettled, "{what}");
            bench.step(pause);
        }
    }
}

async fn credentials_of_all_tiers_count_when_a_provider_is_judged<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, world("abc").tier(&members("defg")));
    for _ in 0..3 {
        let blame = refuse(bench.lease().await, RestReason::Unauthorized);
        assert_eq!(
            blame,
            Blame::AsSettled,
            "three of seven, though the others were not in turn yet"
        );
    }
    let blame = refuse(bench.lease().await, RestReason::Unauthorized);
    assert_eq!(blame, Blame::Provider, "four of seven");
}

async fn a_call_that_no_credential_fits_hears_of_the_breaker_first<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, world("ab"));
    let nobody = credential("nobody");
    let pick = Pick {
        pinned: Some(&nobody),
        ..bench.world.pick()
    };
    assert_eq!(
        bench.none_for(pick).await,
        NoneUsable::Empty,
        "there is no such one"
    );
    for _ in 0..2 {
        bench.lease().await.settle(Settled::new(Outcome::UpstreamFault));
    }
    let open = NoneUsable::BreakerOpen {
        until: bench.after(30),
    };
    assert_eq!(bench.none_for(pick).await, open, "one that is not eligible");
    let tried = names("a");
    let pick = Pick {
        pinned: tried.first(),
        tried: &tried,
        ..bench.world.pick()
    };
    assert_eq!(bench.none_for(pick).await, open, "one that was tried");
    let pick = Pick {
        lanes: &[],
        ..bench.world.pick()
    };
    assert_eq!(bench.none_for(pick).await, open, "none at all");
}
