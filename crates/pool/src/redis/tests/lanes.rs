//! Lanes are written when they are first needed, and again when they were lost.

use std::{future::poll_fn, task::Poll, time::Duration};

use snapshot::{CallLimits, Strategy};
use tokio::{task::yield_now, time::Instant};

use super::fleet::{Fleet, GENEROUS, PREFIX, heard, used, world};
use crate::{
    Pick,
    testing::{credential, lane, members},
};

#[tokio::test]
async fn a_lane_whose_keys_were_evicted_is_filled_again() {
    let fleet = Fleet::start(world("ab"), 1, GENEROUS).await;
    fleet.a().lease(&fleet.world).await.settle(used(1));
    heard(fleet.a()).await;
    let pinned = credential("a");
    let turn = format!("{PREFIX}:{{p:ns/p}}:l:{}", fleet.world.lanes[0].id());
    for pinned in [None, Some(&pinned)] {
        assert_eq!(fleet.server.cli(&["DEL", &turn]), "1", "it was there");
        for _ in 0..3 {
            let pick = Pick {
                pinned,
                ..fleet.world.pick()
            };
            let picked = fleet.a().pool.pick(pick).await;
            picked.expect("a credential is usable").settle(used(1));
            heard(fleet.a()).await;
        }
        assert_eq!(fleet.server.cli(&["ZCARD", &turn]), "2", "both are in turn");
    }
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_caller_that_leaves_while_a_lane_is_filled_leaves_nothing_behind() {
    let mut world = world("abc");
    world.limits = CallLimits {
        concurrency: Some(1_000),
        ..CallLimits::default()
    };
    let fleet = Fleet::start(world, 1, GENEROUS).await;
    let mut left = 0;
    for call in 0..300_u32 {
        // Nobody has used this lane.
        let lanes = [lane(
            &format!("model{call}"),
            Strategy::RoundRobin,
            &members("abc"),
        )];
        let pick = Pick {
            lanes: &lanes,
            ..fleet.world.pick()
        };
        let mut entering = Box::pin(fleet.a().pool.enter(fleet.world.admit(), pick));
        // It leaves a little later each time: before the admission, between that and the pick, or after both.
        for look in 0..=call % 40 {
            let looked = poll_fn(|context| Poll::Ready(entering.as_mut().poll(context).is_ready())).await;
            if looked {
                break;
            }
            left += u32::from(look == call % 40);
            let until = Instant::now() + Duration::from_micros(30);
            while Instant::now() < until {
                yield_now().await;
            }
        }
    }
    assert!(left > 20, "{left} left early");
    fleet.is_quiet().await;
}
