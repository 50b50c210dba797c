//! A day of one client, three accounts with quotas, a revoked key and an outage.

use std::time::Duration;

use snapshot::{Breaker, Strategy, Timestamp};

use crate::{
    Clock, NoneUsable, Outcome, Pick, Pool, Rest, RestEnd, RestReason, RestScope, Settled,
    testing::{START, World, members},
};

const HOUR: u64 = 3600;

/// An upstream that grants each account so many calls in five hours, the first of which starts the clock.
struct Upstream {
    quotas: [Quota; 3],
}

#[derive(Clone, Copy)]
struct Quota {
    left: u32,
    resets: Timestamp,
}

const QUOTA: u32 = 1600;
const WINDOW: Duration = Duration::from_secs(5 * HOUR);

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    served: u32,
    exhausted: u32,
    unauthorized: u32,
    failed: u32,
    unserved_in_outage: u32,
    unserved: u32,
}

impl Upstream {
    fn answer(&mut self, account: usize, now: Timestamp) -> Settled {
        let hour = now.since(START).as_secs() / HOUR;
        let minute = now.since(START).as_secs() / 60;
        if (12 * 60..12 * 60 + 10).contains(&minute) {
            return Settled::new(Outcome::UpstreamFault);
        }
        let refused = |reason, end| Settled {
            rest: Some((RestScope::Credential, Rest { reason, end })),
            ..Settled::new(Outcome::CredentialFault)
        };
        if account == 1 && hour == 6 {
            return refused(RestReason::Unauthorized, RestEnd::Guessed);
        }
        let quota = &mut self.quotas[account];
        if now >= quota.resets {
            *quota = Quota {
                left: QUOTA,
                resets: now + WINDOW,
            };
        }
        if quota.left == 0 {
            let reset = RestEnd::Stated(quota.resets.since(now));
            return refused(RestReason::QuotaExhausted, reset);
        }
        quota.left -= 1;
        Settled::new(Outcome::Succeeded)
    }
}

/// One call with up to three attempts, as the gateway makes it.
async fn call(pool: &Pool, world: &World, upstream: &mut Upstream, tally: &mut Tally) -> bool {
    let mut tried = Vec::new();
    for _ in 0..3 {
        let pick = Pick {
            tried: &tried,
            ..world.pick()
        };
        let Ok(lease) = pool.pick(pick).await else {
            return false;
        };
        tried.push(lease.credential().clone());
        let account = usize::from(lease.credential().name().as_bytes()[0] - b'a');
        let settled = upstream.answer(account, world.clock.now());
        lease.settle(settled);
        match (settled.outcome, settled.rest) {
            (Outcome::Succeeded, _) => {
                tally.served += 1;
                return true;
            }
            (Outcome::UpstreamFault, _) => tally.failed += 1,
            (_, Some((_, rest))) if rest.reason == RestReason::Unauthorized => tally.unauthorized += 1,
            _ => tally.exhausted += 1,
        }
    }
    false
}

#[tokio::test]
async fn a_day_with_quotas_a_revoked_key_and_an_outage_loses_no_call_that_could_be_served() {
    let mut world = World::new(Strategy::RoundRobin, &members("abc"));
    world.provider.breaker = Breaker::default();
    let pool = Pool::in_memory(world.clock.clone());
    let fresh = Quota {
        left: 0,
        resets: START,
    };
    let mut upstream = Upstream { quotas: [fresh; 3] };
    let mut tally = Tally::default();
    // A call every five seconds: 3,600 in each five hours, of which the quotas allow 4,800.
    for second in (0..24 * HOUR).step_by(5) {
        if !call(&pool, &world, &mut upstream, &mut tally).await {
            let outage = (12 * HOUR..12 * HOUR + 10 * 60 + 30).contains(&second);
            if outage {
                tally.unserved_in_outage += 1;
            } else {
                tally.unserved += 1;
            }
        }
        world.clock.step(Duration::from_secs(5));
    }
    assert_eq!(tally.unserved, 0, "one account could always serve: {tally:?}");
    assert_eq!(tally.served + tally.unserved_in_outage, 17_280, "{tally:?}");
    assert!(
        (120..=126).contains(&tally.unserved_in_outage),
        "ten minutes, and at most half a minute until the next probe: {tally:?}"
    );
    assert!(
        tally.failed <= 5 + 20,
        "five failures, then one probe in 30 s: {tally:?}"
    );
    assert_eq!(
        tally.unauthorized, 6,
        "a revoked key is tried after 0, 1, 3, 7, 15 and 31 minutes: {tally:?}"
    );

    // Three accounts under a third of the load each never run dry. With one of them all day, its quota does.
    let world = World::new(Strategy::RoundRobin, &members("c"));
    let pool = Pool::in_memory(world.clock.clone());
    let mut upstream = Upstream { quotas: [fresh; 3] };
    let mut tally = Tally::default();
    for _ in (0..10 * HOUR).step_by(5) {
        let served = call(&pool, &world, &mut upstream, &mut tally).await;
        if !served {
            let none = pool.pick(world.pick()).await.expect_err("its quota is gone");
            let NoneUsable::Resting { soonest, reason } = none else {
                panic!("it rests: {none:?}");
            };
            assert_eq!(reason, RestReason::QuotaExhausted);
            assert_eq!(
                soonest, upstream.quotas[2].resets,
                "the vendor's word is passed on"
            );
        }
        world.clock.step(Duration::from_secs(5));
    }
    let expected = Tally {
        served: 2 * QUOTA,
        exhausted: 2,
        ..Tally::default()
    };
    assert_eq!(
        tally, expected,
        "each window is used up to the last call, at the price of one refusal"
    );
}
