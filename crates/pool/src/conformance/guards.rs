//! What is given back, and what is counted.

use snapshot::{CallLimits, Strategy};

use super::Bench;
use crate::{
    Outcome, Pick, Settled, Store, TokenCounts, Totals,
    testing::{World, members},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    whatever_the_end_all_places_are_given_back(make).await;
    usage_is_counted_once_for_the_credential_and_the_client(make).await;
}

async fn whatever_the_end_all_places_are_given_back<S: Store>(make: &impl Fn() -> S) {
    let outcomes = [
        None,
        Some(Outcome::Succeeded),
        Some(Outcome::CallerFault),
        Some(Outcome::CredentialFault),
        Some(Outcome::UpstreamFault),
        Some(Outcome::Cancelled),
    ];
    for outcome in outcomes {
        let mut limited = members("a");
        limited[0].limits.tokens_per_minute = Some(1000);
        let mut world = World::new(Strategy::RoundRobin, &limited);
        world.limits = CallLimits {
            tokens_per_minute: Some(1000),
            ..CallLimits::default()
        };
        let bench = Bench::new(make, world);
        // The first call teaches what the second holds.
        for round in 0..2 {
            let (admission, lease) = bench
                .pool
                .enter(bench.world.admit(), bench.world.pick())
                .await
                .expect("within the limits");
            let lease = lease.expect("a is usable");
            let held = (
                bench.pool.states()[0].in_flight,
                bench.pool.states()[0].reserved_tokens,
                bench.pool.clients()[0].in_flight,
                bench.pool.clients()[0].reserved_tokens,
                bench.pool.breakers()[0].in_flight,
            );
            assert_eq!(held, (1, round * 10, 1, round * 10, 1), "held in round {round}");
            let usage = TokenCounts {
                input: 10,
                ..TokenCounts::default()
            };
            match outcome.filter(|_| round == 1) {
                None if round == 1 => drop((admission, lease)),
                None => {
                    lease.settle(Settled {
                        usage: Some(usage),
                        ..Settled::new(Outcome::Succeeded)
                    });
                    admission.settle(usage.total());
                }
                Some(outcome) => {
                    lease.settle(Settled::new(outcome));
                    admission.settle(0);
                }
            }
        }
        let held = (
            bench.pool.states()[0].in_flight,
            bench.pool.states()[0].reserved_tokens,
            bench.pool.clients()[0].in_flight,
            bench.pool.clients()[0].reserved_tokens,
            bench.pool.breakers()[0].in_flight,
        );
        assert_eq!(held, (0, 0, 0, 0, 0), "all is given back after {outcome:?}");
    }
}

async fn usage_is_counted_once_for_the_credential_and_the_client<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("ab")));
    let usage = TokenCounts {
        input: 100,
        cached: 40,
        cache_write: 5,
        output: 20,
        reasoning: 7,
    };
    let (admission, lease) = bench
        .pool
        .enter(bench.world.admit(), bench.world.pick())
        .await
        .expect("no limits");
    let first = lease.expect("a is usable");
    first.settle(Settled::new(Outcome::UpstreamFault));
    let second = bench.lease_for(Pick { ..bench.world.pick() }).await;
    second.settle(Settled {
        usage: Some(usage),
        ..Settled::new(Outcome::Succeeded)
    });
    admission.settle(usage.total());
    let states: Vec<_> = bench.pool.states().iter().map(|state| state.totals).collect();
    let unanswered = Totals {
        requests: 1,
        ..Totals::default()
    };
    let answered = Totals {
        requests: 1,
        tokens: usage,
    };
    assert_eq!(states, [unanswered, answered], "each credential was used once");
    let client = &bench.pool.clients()[0];
    assert_eq!(client.totals, answered, "the client made one call");
}
