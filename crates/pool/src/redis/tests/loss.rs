//! The server loses what it knew.

use snapshot::{RestReason, RestScope, Strategy};

use super::fleet::{Fleet, GENEROUS, eventually, succeed, world};
use crate::{
    Outcome, Rest, RestEnd, Settled,
    testing::{World, credential, provider_name, requests, with_quota},
};

#[tokio::test]
async fn everything_that_is_under_way_is_told_again_to_a_server_that_was_emptied() {
    let members = [
        with_quota("a", &[requests("day", 86_400, 100)]),
        with_quota("b", &[requests("day", 86_400, 100)]),
    ];
    let mut world = World::new(Strategy::RoundRobin, &members);
    world.budgets = vec![requests("day", 86_400, 100)];
    let fleet = Fleet::start(world, 2, GENEROUS).await;
    let mut held = Vec::new();
    for replica in fleet.replicas.iter().chain(&fleet.replicas) {
        let entered = replica.pool.enter(fleet.world.admit(), fleet.world.pick()).await;
        let (admission, lease) = entered.expect("there is room");
        held.push((admission, lease.expect("a credential is usable")));
    }
    fleet.settles_at(4, "two for each").await;
    assert_eq!(fleet.server.cli(&["FLUSHALL"]), "OK", "it is empty");
    fleet.settles_at(4, "both have told what they hold").await;
    let budgets = [(&fleet.world.client, &*fleet.world.budgets)];
    for replica in &fleet.replicas {
        eventually("what was used is known again", async || {
            let states = replica.pool.look_up(&provider_name(), &members).await;
            let used = states.iter().flat_map(|state| &state.windows);
            let callers = replica.pool.look_up_clients(&budgets).await;
            let budgets = callers.iter().flat_map(|state| &state.budgets);
            used.map(|window| window.requests).eq([2, 2])
                && budgets.map(|window| window.requests).eq([4])
                && callers.iter().all(|state| state.in_flight == 4)
        })
        .await;
    }
    for (admission, lease) in held {
        lease.settle(Settled::new(Outcome::Succeeded));
        admission.settle(1);
    }
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_crash_forgets_nothing_that_matters() {
    let mut fleet = Fleet::start(world("abcd"), 2, GENEROUS).await;
    let mut kept = fleet.a().leases(&fleet.world, 2).await;
    let mut ended = fleet.b().leases(&fleet.world, 2).await;
    fleet.server.kill();
    for replica in &fleet.replicas {
        replica.reaches(false).await;
    }
    // Each goes on alone.
    kept.extend(fleet.b().leases(&fleet.world, 3).await);
    ended.extend(fleet.a().leases(&fleet.world, 2).await);
    succeed(ended);
    let stated = Rest {
        reason: RestReason::QuotaExhausted,
        end: RestEnd::Stated(std::time::Duration::from_secs(600)),
    };
    let refused = fleet.a().lease(&fleet.world).await;
    let resting = refused.credential().clone();
    refused.settle(Settled {
        rest: Some((RestScope::Credential, stated)),
        ..Settled::new(Outcome::CredentialFault)
    });
    fleet.server.restart().await;
    for replica in &fleet.replicas {
        replica.reaches(true).await;
    }
    fleet
        .settles_at(5, "what is still under way, and nothing else")
        .await;
    let members: Vec<_> = fleet.world.lanes[0].members().to_vec();
    eventually("the rest is shared", async || {
        let states = fleet.b().pool.look_up(&provider_name(), &members).await;
        states
            .iter()
            .all(|state| state.rests.is_empty() != (state.name == resting))
    })
    .await;
    succeed(kept);
    fleet.is_quiet().await;
    for _ in 0..8 {
        let lease = fleet.b().lease(&fleet.world).await;
        assert_ne!(*lease.credential(), resting, "it rests for all");
    }
}

#[tokio::test]
async fn scripts_that_were_forgotten_are_told_again() {
    let mut world = world("ab");
    world.budgets = vec![requests("day", 86_400, 100)];
    let fleet = Fleet::start(world, 2, GENEROUS).await;
    let mut served = String::new();
    for turn in 0..6 {
        let replica = &fleet.replicas[turn % 2];
        assert_eq!(fleet.server.cli(&["SCRIPT", "FLUSH"]), "OK", "all forgotten");
        let entered = replica.pool.enter(fleet.world.admit(), fleet.world.pick()).await;
        let (admission, lease) = entered.expect("there is room");
        let lease = lease.expect("a credential is usable");
        served.push_str(lease.credential().name());
        assert_eq!(fleet.server.cli(&["SCRIPT", "FLUSH"]), "OK", "all forgotten");
        lease.settle(Settled::new(Outcome::Succeeded));
        admission.settle(1);
    }
    assert_eq!(served, "ababab", "none was made alone, none twice");
    fleet.is_quiet().await;
    let rested = credential("a");
    fleet.a().pool.clear_rest(&provider_name(), &rested);
    fleet.is_quiet().await;
}
