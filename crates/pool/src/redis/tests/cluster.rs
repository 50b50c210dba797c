//! A caller's and a Provider's state are on different servers.

use snapshot::Strategy;

use super::fleet::{GENEROUS, PACE, Replica, heard, per_minute, used};
use crate::{
    redis::testing::Cluster,
    testing::{World, requests, with_quota},
};

#[tokio::test]
async fn a_caller_that_is_denied_uses_nobodys_quota() {
    let cluster = Cluster::start(3, &[]).await;
    let members = [with_quota("a", &[requests("day", 86_400, 20)])];
    let mut world = World::new(Strategy::RoundRobin, &members);
    world.limits = per_minute(1);
    let replica = Replica::begin(&cluster.url(), "a", GENEROUS, PACE, Some(&world)).await;
    let mut served = 0;
    for _ in 0..15 {
        if let Ok((admission, lease)) = replica.pool.enter(world.admit(), world.pick()).await {
            served += 1;
            lease.expect("it is usable").settle(used(1));
            admission.settle(1);
        }
    }
    heard(&replica).await;
    assert_eq!(served, 1, "fourteen were denied");
    assert_eq!(replica.windows(&world).await, [(1, 1)], "that of the one");
    assert_eq!(replica.in_flight(&world).await, [0], "nothing is under way");
}
