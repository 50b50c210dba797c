//! Who is left alone, until when, and how it comes back.

use std::time::Duration;

use snapshot::{RestReason, SecretVersion, Strategy};

use super::{Bench, guessed, name_of, refuse, refused, stated, succeed};
use crate::{
    NoneUsable, Outcome, Pick, Rest, RestEnd, RestScope, Settled, Store,
    rest::PROBE_LOCK,
    testing::{World, credential, lane, members, provider_name},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    a_stated_end_reopens_fully(make).await;
    ends_are_bounded_by_who_gave_them(make).await;
    the_later_end_wins_and_the_soonest_return_is_told(make).await;
    a_guessed_end_reopens_through_one_probe(make).await;
    a_guessed_end_doubles_and_a_success_resets_it(make).await;
    calls_refused_together_are_one_step(make).await;
    a_rest_for_one_model_leaves_the_others_usable(make).await;
    a_late_refusal_cannot_restore_a_cleared_rest(make).await;
    a_new_secret_ends_unauthorized_at_once(make).await;
    a_secret_that_was_heard_of_is_no_news(make).await;
    a_shorter_rest_is_not_prolonged_by_the_lock_of_a_probe(make).await;
    a_success_that_was_the_last_for_now_rests_even_after_a_probe(make).await;
}

fn one() -> World {
    World::new(Strategy::RoundRobin, &members("a"))
}

async fn a_stated_end_reopens_fully<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, one());
    bench.lease().await.settle(refused(stated(7200)));
    assert_eq!(
        bench.none().await,
        NoneUsable::Resting {
            soonest: bench.after(7200),
            reason: RestReason::QuotaExhausted
        }
    );
    bench.step(7200);
    let leases = [bench.lease().await, bench.lease().await];
    assert!(leases.iter().all(|lease| !lease.is_probe()), "no doubt is left");
}

async fn ends_are_bounded_by_who_gave_them<S: Store>(make: &impl Fn() -> S) {
    const HOUR: u64 = 3600;
    const YEAR: Duration = Duration::from_secs(365 * 24 * HOUR);
    let cases = [
        (RestEnd::Hinted(YEAR), HOUR),
        (RestEnd::Hinted(Duration::from_secs(20)), 20),
        (RestEnd::Stated(Duration::from_secs(5 * HOUR)), 5 * HOUR),
        (RestEnd::Stated(YEAR), 31 * 24 * HOUR),
        (RestEnd::For(YEAR), 31 * 24 * HOUR),
        (RestEnd::Guessed, 5),
    ];
    for (end, seconds) in cases {
        let bench = Bench::new(make, one());
        let reason = RestReason::RateLimited;
        bench.lease().await.settle(refused(Rest { reason, end }));
        let soonest = bench.after(seconds);
        assert_eq!(
            bench.none().await,
            NoneUsable::Resting { soonest, reason },
            "{end:?}"
        );
    }
    let bench = Bench::new(make, one());
    bench.lease().await.settle(refused(stated(0)));
    assert_eq!(bench.calls(1).await, "a", "nothing rests for no time");
}

async fn the_later_end_wins_and_the_soonest_return_is_told<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(
        make,
        World::new(Strategy::RoundRobin, &members("ab")).tier(&members("c")),
    );
    for (name, seconds) in [("a", 10), ("b", 20), ("c", 30)] {
        bench.report(name, stated(seconds));
    }
    let soonest = |seconds| NoneUsable::Resting {
        soonest: bench.after(seconds),
        reason: RestReason::QuotaExhausted,
    };
    assert_eq!(bench.none().await, soonest(10));
    bench.report("a", stated(5));
    assert_eq!(bench.none().await, soonest(10), "an earlier end changes nothing");
    bench.report("a", stated(40));
    assert_eq!(bench.none().await, soonest(20), "a has become later than b");
    bench.report("b", stated(50));
    assert_eq!(bench.none().await, soonest(30), "c is in another tier");
}

async fn a_guessed_end_reopens_through_one_probe<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, one());
    refuse(bench.lease().await, RestReason::Unauthorized);
    assert_eq!(
        bench.none().await,
        NoneUsable::Resting {
            soonest: bench.after(60),
            reason: RestReason::Unauthorized
        }
    );
    bench.step(60);
    let probe = bench.lease().await;
    assert!(probe.is_probe(), "one call finds out");
    assert_eq!(
        bench.none().await,
        NoneUsable::Resting {
            soonest: bench.after(PROBE_LOCK.as_secs()),
            reason: RestReason::Unauthorized
        },
        "others wait for its answer"
    );
    // Neither a cancelled call, nor one that failed for another reason, is an answer.
    drop(probe);
    for outcome in [Outcome::Cancelled, Outcome::CallerFault, Outcome::UpstreamFault] {
        let probe = bench.lease().await;
        assert!(probe.is_probe(), "no answer before {outcome:?}");
        probe.settle(Settled::new(outcome));
    }
    let lost = bench.lease().await;
    bench.none().await;
    bench.world.clock.step(PROBE_LOCK);
    let mut probe = bench.lease().await;
    assert!(probe.is_probe(), "a lost probe frees its place");
    drop(lost);
    bench.none().await;
    probe.commit();
    assert!(!probe.is_probe(), "content is an answer");
    assert!(!bench.lease().await.is_probe(), "the credential is open");
}

async fn a_guessed_end_doubles_and_a_success_resets_it<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, one());
    let refuse_and_rest = async |seconds: u64| {
        refuse(bench.lease().await, RestReason::Unauthorized);
        let soonest = bench.after(seconds);
        let reason = RestReason::Unauthorized;
        assert_eq!(bench.none().await, NoneUsable::Resting { soonest, reason });
        bench.step(seconds);
    };
    for seconds in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        refuse_and_rest(seconds).await;
    }
    succeed(bench.lease().await);
    refuse_and_rest(60).await;
}

async fn calls_refused_together_are_one_step<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, one());
    let together = [bench.lease().await, bench.lease().await, bench.lease().await];
    let slow = bench.lease().await;
    for lease in together {
        refuse(lease, RestReason::Unauthorized);
    }
    let soonest = bench.after(60);
    let reason = RestReason::Unauthorized;
    assert_eq!(bench.none().await, NoneUsable::Resting { soonest, reason });
    succeed(slow);
    assert_eq!(
        bench.none().await,
        NoneUsable::Resting { soonest, reason },
        "a success that began before the refusal is no evidence"
    );
}

async fn a_rest_for_one_model_leaves_the_others_usable<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("ab")));
    let other = [lane("other", Strategy::RoundRobin, &members("ab"))];
    bench.lease().await.settle(Settled {
        rest: Some((RestScope::CredentialAndModel, stated(60))),
        ..Settled::new(Outcome::CredentialFault)
    });
    assert_eq!(bench.calls(3).await, "bbb", "a rests for this model");
    let pick = Pick {
        model: "other",
        lanes: &other,
        ..bench.world.pick()
    };
    let lease = bench.lease_for(pick).await;
    assert_eq!(name_of(&lease), "a", "and serves the other");
    let rests = &bench.pool.states()[0].rests;
    assert_eq!(rests.len(), 1);
    assert_eq!(rests[0].model.as_deref(), Some("model"));
    bench.step(60);
    assert_eq!(bench.calls(2).await, "ab", "until its end");
}

async fn a_late_refusal_cannot_restore_a_cleared_rest<S: Store>(make: &impl Fn() -> S) {
    for (scope, end) in [
        (RestScope::Credential, stated(600)),
        (RestScope::Credential, guessed(RestReason::Failing)),
        (RestScope::CredentialAndModel, stated(600)),
    ] {
        let bench = Bench::new(make, one());
        let settled = Settled {
            rest: Some((scope, end)),
            ..Settled::new(Outcome::CredentialFault)
        };
        let late = bench.lease().await;
        bench.lease().await.settle(settled);
        bench.none().await;
        bench.pool.clear_rest(&provider_name(), &credential("a"));
        assert_eq!(bench.calls(1).await, "a", "usable at once");
        late.settle(settled);
        assert_eq!(bench.calls(1).await, "a", "that call began before the clearing");
        bench.lease().await.settle(settled);
        bench.none().await;
    }
}

async fn a_new_secret_ends_unauthorized_at_once<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, one());
    let late = bench.lease().await;
    let late_for_model = bench.lease().await;
    refuse(bench.lease().await, RestReason::Unauthorized);
    bench.none().await;
    bench
        .pool
        .secret_changed(&provider_name(), &credential("a"), &version("2"));
    assert!(!bench.lease().await.is_probe(), "the new secret is not in doubt");
    refuse(late, RestReason::Unauthorized);
    assert_eq!(bench.calls(1).await, "a", "that call used the old secret");
    late_for_model.settle(Settled {
        rest: Some((RestScope::CredentialAndModel, guessed(RestReason::Unauthorized))),
        ..Settled::new(Outcome::CredentialFault)
    });
    assert_eq!(bench.calls(1).await, "a", "so did that one, whatever the model");
    bench.report("a", stated(60));
    bench
        .pool
        .secret_changed(&provider_name(), &credential("a"), &version("3"));
    bench.none().await;
}

async fn a_secret_that_was_heard_of_is_no_news<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, one());
    refuse(bench.lease().await, RestReason::Unauthorized);
    hear(&bench, "1");
    refuse(bench.lease().await, RestReason::Unauthorized);
    hear(&bench, "1");
    bench.none().await;
    hear(&bench, "2");
    refuse(bench.lease().await, RestReason::Unauthorized);
    hear(&bench, "1");
    assert_eq!(
        bench.calls(1).await,
        "a",
        "back to one before the last is a change too"
    );

    let bench = Bench::new(make, one());
    hear(&bench, "1");
    refuse(bench.lease().await, RestReason::Unauthorized);
    hear(&bench, "1");
    bench.none().await;
}

fn hear<S: Store>(bench: &Bench<S>, text: &str) {
    bench
        .pool
        .secret_changed(&provider_name(), &credential("a"), &version(text));
}

async fn a_shorter_rest_is_not_prolonged_by_the_lock_of_a_probe<S: Store>(make: &impl Fn() -> S) {
    for reported in [false, true] {
        let bench = Bench::new(make, one());
        refuse(bench.lease().await, RestReason::Unauthorized);
        bench.step(60);
        let probe = bench.lease().await;
        bench.none().await;
        if reported {
            bench.report("a", stated(5));
        } else {
            probe.settle(refused(stated(5)));
        }
        bench.step(5);
        assert_eq!(
            bench.calls(1).await,
            "a",
            "reported outside of the probe: {reported}"
        );
    }
}

async fn a_success_that_was_the_last_for_now_rests_even_after_a_probe<S: Store>(make: &impl Fn() -> S) {
    for commit in [false, true] {
        let bench = Bench::new(make, one());
        refuse(bench.lease().await, RestReason::RateLimited);
        bench.step(5);
        let mut probe = bench.lease().await;
        if commit {
            probe.commit();
        }
        probe.settle(Settled {
            rest: Some((RestScope::Credential, stated(60))),
            ..Settled::new(Outcome::Succeeded)
        });
        assert_eq!(
            bench.none().await,
            NoneUsable::Resting {
                soonest: bench.after(60),
                reason: RestReason::QuotaExhausted
            },
            "committed: {commit}"
        );
        bench.step(60);
        assert!(!bench.lease().await.is_probe(), "its end was stated");
    }
}

fn version(version: &str) -> SecretVersion {
    SecretVersion(version.into())
}
