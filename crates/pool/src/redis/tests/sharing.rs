//! Processes share turns, limits and probes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use snapshot::{RestReason, RestScope, Strategy};

use super::fleet::{Fleet, GENEROUS, eventually, heard, per_minute, succeed, world};
use crate::{
    NoneUsable, Outcome, Rest, RestEnd, Settled,
    testing::{World, narrow},
};

#[tokio::test]
async fn replicas_take_turns_together() {
    let fleet = Fleet::start(world("abcdef"), 3, GENEROUS).await;
    let mut served = String::new();
    let mut leases = Vec::new();
    for turn in 0..12 {
        let lease = fleet.replicas[turn % 3].lease(&fleet.world).await;
        served.push_str(lease.credential().name());
        leases.push(lease);
    }
    assert_eq!(served, "abcdefabcdef", "each process goes on where another was");
    fleet.settles_at(12, "all see all").await;
    succeed(leases);
    fleet.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_per_minute_is_exact_however_many_ask_at_once() {
    let mut world = world("abc");
    world.limits = per_minute(100);
    let fleet = Fleet::start(world, 3, GENEROUS).await;
    let asked = (0..300).map(|call| fleet.replicas[call % 3].pool.admit(fleet.world.admit()));
    let admitted = join_all(asked).await;
    let admitted: Vec<_> = admitted.into_iter().flatten().collect();
    assert_eq!(admitted.len(), 100, "of 300 at once");
    for admission in admitted {
        admission.settle(0);
    }
    fleet.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_calls_run_at_once_than_allowed_by_ten_replicas() {
    let members = [narrow("a", 2), narrow("b", 3)];
    let fleet = Fleet::start(World::new(Strategy::LeastBusy, &members), 10, GENEROUS).await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let calls = fleet.replicas.iter().map(|replica| async {
        for _ in 0..30 {
            let Ok(lease) = replica.pool.pick(fleet.world.pick()).await else {
                continue;
            };
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            lease.settle(Settled::new(Outcome::Succeeded));
        }
    });
    join_all(calls).await;
    let most = most.load(Ordering::SeqCst);
    assert!((1..=5).contains(&most), "{most} at once");
    fleet.is_quiet().await;
}

#[tokio::test]
async fn one_of_all_replicas_probes() {
    let fleet = Fleet::start(world("a"), 3, GENEROUS).await;
    let guessed = Rest {
        reason: RestReason::RateLimited,
        end: RestEnd::Guessed,
    };
    let lease = fleet.a().lease(&fleet.world).await;
    lease.settle(Settled {
        rest: Some((RestScope::Credential, guessed)),
        ..Settled::new(Outcome::CredentialFault)
    });
    let rests = async || {
        let picked = fleet.b().pool.pick(fleet.world.pick()).await;
        matches!(picked, Err(NoneUsable::Resting { .. }))
    };
    eventually("all leave it alone", rests).await;
    // Five seconds, by the server's clock.
    let mut probes = Vec::new();
    eventually("one may find out", async || {
        let asked = (0..30).map(|call| fleet.replicas[call % 3].pool.pick(fleet.world.pick()));
        probes.extend(join_all(asked).await.into_iter().flatten());
        !probes.is_empty()
    })
    .await;
    assert_eq!(probes.len(), 1, "of thirty that asked at once");
    assert!(probes.iter().all(crate::Lease::is_probe), "it is to find out");
    succeed(probes);
    for replica in &fleet.replicas {
        heard(replica).await;
    }
    let (a, b) = (fleet.a().lease(&fleet.world).await, fleet.b());
    let again = b.lease(&fleet.world).await;
    assert!(!again.is_probe(), "the answer was yes, for all");
    succeed(vec![a, again]);
    fleet.is_quiet().await;
}
