//! The server loses what it knew.

use std::time::Duration;

use snapshot::{Calendar, CalendarUnit, Period, QuotaWindow, RestReason, RestScope, Strategy, Timestamp};

use super::fleet::{Fleet, GENEROUS, PACE, Replica, eventually, heard, per_minute, succeed, used, world};
use super::linked;
use crate::{
    Lease, Outcome, Pick, Pool, Redis, RedisSettings, Rest, RestEnd, Settled,
    redis::{
        link::{LinkState, Urgency},
        scripts::BEAT,
        tag::Pace,
        testing::Server,
    },
    testing::{World, credential, lane, member, provider_name, requests, tokens, with_quota},
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
        let (admission, lease) = replica.enter(world).await.expect("there is room");
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

#[tokio::test]
async fn a_crash_forgets_nothing_that_matters() {
    let day = [requests("day", 86_400, 100)];
    let members = ["a", "b", "c", "d"].map(|name| with_quota(name, &day));
    let mut fleet = Fleet::start(World::new(Strategy::RoundRobin, &members), 2, GENEROUS).await;
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
    let for_long = Rest {
        reason: RestReason::QuotaExhausted,
        end: RestEnd::Stated(Duration::from_secs(600)),
    };
    let refused = fleet.a().lease(&fleet.world).await;
    let resting = refused.credential().clone();
    refused.settle(Settled {
        rest: Some((RestScope::Credential, for_long)),
        ..Settled::new(Outcome::CredentialFault)
    });
    fleet.server.restart().await;
    for replica in &fleet.replicas {
        replica.reaches(true).await;
    }
    fleet
        .settles_at(5, "what is still under way, and nothing else")
        .await;
    eventually("the rest is shared", async || {
        let states = fleet.b().pool.look_up(&provider_name(), &members).await;
        states
            .iter()
            .all(|state| state.rests.is_empty() != (state.name == resting))
    })
    .await;
    succeed(kept);
    fleet.is_quiet().await;
    let used = async || {
        let states = fleet.b().pool.look_up(&provider_name(), &members).await;
        let windows = states.iter().flat_map(|state| &state.windows);
        windows.map(|window| window.requests).sum::<u64>()
    };
    eventually("all calls are counted", async || used().await >= 10).await;
    assert_eq!(
        used().await,
        10,
        "each once, whether it was made before or meanwhile"
    );
    for _ in 0..8 {
        let lease = fleet.b().lease(&fleet.world).await;
        assert_ne!(*lease.credential(), resting, "it rests for all");
    }
}

#[tokio::test]
async fn what_was_used_in_a_period_that_is_over_counts_in_no_other() {
    let day = QuotaWindow {
        period: Period::Calendar(Calendar {
            unit: CalendarUnit::Day,
            hour: 8,
            minute: 5,
            zone: jiff::tz::TimeZone::UTC,
        }),
        ..requests("day", 0, 100)
    };
    let members = [with_quota("a", &[day])];
    let world = World::new(Strategy::RoundRobin, &members);
    let mut server = Server::start(&[]).await;
    let link = linked(&server).await;
    let settings = RedisSettings {
        prefix: "periods".to_owned(),
        owner: "owner".to_owned(),
        callers_clock: true,
    };
    let pool = Pool::new(Redis::new(link.clone(), settings), world.clock.clone());
    let used_of = async || pool.look_up(&provider_name(), &members).await.remove(0);
    let settle = |lease: Lease<Redis>| lease.settle(used(7));
    let first = pool.pick(world.pick()).await.expect("it is usable");
    let second = pool.pick(world.pick()).await.expect("it is usable");
    settle(first);
    assert_eq!(used_of().await.windows[0].requests, 2, "by 08:00");

    server.kill();
    let mut changes = link.changes();
    let down = changes.wait_for(|state| !matches!(state, LinkState::Up { .. }));
    assert!(down.await.is_ok(), "the server is away");
    settle(second);
    settle(pool.pick(world.pick()).await.expect("it is usable"));
    let kept = pool.pick(world.pick()).await.expect("it is usable");
    // The period ends at 08:05.
    world.clock.step(Duration::from_secs(600));
    settle(pool.pick(world.pick()).await.expect("it is usable"));

    server.restart().await;
    eventually("what is under way is told", async || {
        link.is_up() && used_of().await.in_flight == 1
    })
    .await;
    let window = used_of().await.windows.remove(0);
    assert_eq!((window.requests, window.tokens), (1, 7), "the last one alone");
    settle(kept);
    assert_eq!(used_of().await.windows[0].tokens, 14, "settled in this period");
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
        let (admission, lease) = replica.enter(&fleet.world).await.expect("there is room");
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

#[tokio::test]
async fn rests_outlive_what_the_server_knew() {
    let fleet = Fleet::by_hand(world("ab"), 1, GENEROUS, PACE).await;
    let refused = fleet.a().lease(&fleet.world).await;
    let resting = refused.credential().clone();
    let for_long = Rest {
        reason: RestReason::QuotaExhausted,
        end: RestEnd::Stated(Duration::from_secs(86_400)),
    };
    refused.settle(Settled {
        rest: Some((RestScope::Credential, for_long)),
        ..Settled::new(Outcome::CredentialFault)
    });
    heard(fleet.a()).await;
    assert_eq!(fleet.server.cli(&["FLUSHALL"]), "OK", "it is empty");
    for _ in 0..4 {
        let lease = fleet.a().lease(&fleet.world).await;
        assert_ne!(*lease.credential(), resting, "it still rests");
    }
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_credential_that_was_first_used_away_is_restored_too() {
    let members = ["a", "b"].map(|name| with_quota(name, &[requests("day", 86_400, 5)]));
    let world = World::new(Strategy::FillFirst, &members[..1]);
    // The process asks for this lane only while the server is away.
    let both = [lane("both", Strategy::FillFirst, &members)];
    let mut fleet = Fleet::by_hand(world, 1, GENEROUS, PACE).await;
    fleet.a().lease(&fleet.world).await.settle(used(1));
    heard(fleet.a()).await;
    fleet.server.kill();
    fleet.a().reaches(false).await;
    let tried = [credential("a")];
    let of_b = async |fleet: &Fleet| {
        let pick = Pick {
            tried: &tried,
            lanes: &both,
            ..fleet.world.pick()
        };
        fleet.a().pool.pick(pick).await
    };
    for _ in 0..5 {
        of_b(&fleet).await.expect("it is usable").settle(used(1));
    }
    fleet.server.restart().await;
    fleet.a().reaches(true).await;
    heard(fleet.a()).await;
    fleet.world.lanes = both.to_vec();
    assert_eq!(fleet.a().windows(&fleet.world).await, [(1, 1), (5, 5)], "of both");
    assert!(of_b(&fleet).await.is_err(), "it is spent");
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_batch_that_was_heard_is_not_applied_again() {
    let members = [with_quota("a", &[tokens("day", 86_400, 1_000_000)])];
    let fleet = Fleet::by_hand(World::new(Strategy::RoundRobin, &members), 1, GENEROUS, PACE).await;
    let lease = fleet.a().lease(&fleet.world).await;
    heard(fleet.a()).await;
    let tag = fleet.a().tag();
    let epoch = tag.epoch().await.expect("the server answers");
    lease.settle(used(1_000));
    let sending = tag.send().expect("there is something to say");
    let answer = fleet.a().link.run(sending.call(), Urgency::Background).await;
    answer.expect("the server answers");
    // The answer is lost, and the state of the store seems to be.
    tag.lost(&epoch);
    tag.epoch().await.expect("the server answers");
    drop(sending);
    heard(fleet.a()).await;
    assert_eq!(
        fleet.a().windows(&fleet.world).await,
        [(1, 1_000)],
        "it counts once"
    );
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_script_that_was_forgotten_between_an_admission_and_its_pick_is_no_loss() {
    let mut world = world("ab");
    world.budgets = vec![requests("day", 86_400, 100)];
    // It says that it lives only to find out what the store has lost.
    let pace = Pace {
        beat: Duration::from_secs(600),
        stale: Duration::from_secs(600),
        ..PACE
    };
    let fleet = Fleet::by_hand(world, 1, GENEROUS, pace).await;
    drop(fleet.a().enter(&fleet.world).await.expect("there is room"));
    heard(fleet.a()).await;
    assert_eq!(fleet.server.cli(&["SCRIPT", "FLUSH"]), "OK", "all forgotten");
    // The script of picks is known again, that of admissions is not.
    fleet.a().lease(&fleet.world).await.settle(used(1));
    let (admission, lease) = fleet.a().enter(&fleet.world).await.expect("there is room");
    let beat = redis::Script::new(BEAT.source());
    let known = fleet.server.cli(&["SCRIPT", "EXISTS", beat.get_hash()]);
    assert_eq!(known, "0", "nothing seemed lost");
    fleet.settles_at(1, "it was picked once").await;
    lease.settle(used(1));
    admission.settle(1);
    fleet.is_quiet().await;
    let asked = [(&fleet.world.client, &*fleet.world.budgets)];
    let state = fleet.a().pool.look_up_clients(&asked).await.remove(0);
    assert_eq!(state.budgets[0].requests, 2, "each is counted once");
}
