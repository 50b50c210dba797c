//! What is given back, and what can be seen.

use snapshot::{CallLimits, ClientName, Strategy};

use super::{Bench, stated};
use crate::{
    Outcome, Settled, Store, TokenCounts,
    testing::{World, member, members, provider_name},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    whatever_the_end_all_places_are_given_back(make).await;
    whoever_is_looked_up_is_shown_in_the_order_asked_for(make).await;
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

async fn whoever_is_looked_up_is_shown_in_the_order_asked_for<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("ab")));
    let (admission, lease) = bench
        .pool
        .enter(bench.world.admit(), bench.world.pick())
        .await
        .expect("no limits");
    bench.report("b", stated(60));
    let asked = [member("unused"), member("b"), member("a")];
    let states = bench.pool.look_up(&provider_name(), &asked).await;
    let seen: Vec<_> = states
        .iter()
        .map(|state| (state.name.name(), state.in_flight, state.rests.len()))
        .collect();
    assert_eq!(seen, [("unused", 0, 0), ("b", 0, 1), ("a", 1, 0)]);
    let other: ClientName = "ns/other".parse().expect("a valid name");
    let asked = [(&other, &[][..]), (&bench.world.client, &[])];
    let states = bench.pool.look_up_clients(&asked).await;
    let seen: Vec<_> = states
        .iter()
        .map(|state| (state.name.name(), state.in_flight))
        .collect();
    assert_eq!(seen, [("other", 0), ("client", 1)]);
    drop((admission, lease));
}
