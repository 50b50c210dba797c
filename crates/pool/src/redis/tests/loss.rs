//! The server loses what it knew.

use snapshot::{RestReason, RestScope, Strategy, Timestamp};

use super::fleet::{Fleet, GENEROUS, Replica, eventually, per_minute, succeed, world};
use crate::{
    Admission, Lease, Outcome, Redis, Rest, RestEnd, Settled, TokenCounts,
    testing::{World, credential, member, provider_name, requests, tokens, with_quota},
};

#[tokio::test]
async fn everything_that_is_under_way_is_told_again_to_a_server_that_was_emptied() {
    let day = requests("day", 86_400, 100);
    let mut limited = with_quota("a", &[day.clone(), tokens("hour", 3_600, 10_000)]);
    limited.limits = per_minute(1_000);
    let members = [limited, with_quota("b", std::slice::from_ref(&day)), member("c")];
    let mut world = World::new(Strategy::RoundRobin, &members);
    world.budgets = vec![day, tokens("hour", 3_600, 10_000)];
    let fleet = Fleet::start(world, 2, GENEROUS).await;
    let world = &fleet.world;
    let budgets = [(&world.client, &*world.budgets)];
    let state = async |replica: &Replica| {
        let mut credentials = replica.pool.look_up(&provider_name(), &members).await;
        let mut callers = replica.pool.look_up_clients(&budgets).await;
        let windows = credentials.iter_mut().flat_map(|state| &mut state.windows);
        for window in windows.chain(callers.iter_mut().flat_map(|state| &mut state.budgets)) {
            // A process dates the first request when it is asked for, the server when it hears of it.
            window.resets_at = Timestamp::EPOCH;
        }
        (credentials, callers)
    };
    let mut held = Vec::new();
    for turn in 0..12 {
        let replica = &fleet.replicas[turn % 2];
        let (admission, lease) = enter(replica, world).await;
        if turn < 6 {
            // The next ones are expected to use as much.
            lease.settle(used(40));
            admission.settle(40);
        } else {
            held.push((admission, lease));
        }
    }
    fleet.settles_at(6, "two for each member").await;
    let before = state(fleet.a()).await;
    assert_eq!(fleet.server.cli(&["FLUSHALL"]), "OK", "it is empty");
    fleet.settles_at(6, "both have told what they hold").await;
    for replica in &fleet.replicas {
        eventually("all is as it was", async || state(replica).await == before).await;
    }
    for (admission, lease) in held {
        lease.settle(used(1));
        admission.settle(1);
    }
    fleet.is_quiet().await;
}

/// A call of a caller with limits.
async fn enter(replica: &Replica, world: &World) -> (Admission<Redis>, Lease<Redis>) {
    let entered = replica.pool.enter(world.admit(), world.pick()).await;
    let (admission, lease) = entered.expect("there is room");
    (admission, lease.expect("a credential is usable"))
}

fn used(tokens: u64) -> Settled {
    Settled {
        usage: Some(TokenCounts {
            input: tokens,
            ..TokenCounts::default()
        }),
        ..Settled::new(Outcome::Succeeded)
    }
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
        let (admission, lease) = enter(replica, &fleet.world).await;
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
