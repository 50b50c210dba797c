//! Memory as what is kept up beside a store that replicas share.

use std::time::Duration;

use snapshot::{RestReason, Strategy, Timestamp};

use crate::{
    Admit, Limit, Memory, Outcome, Pool, Reserves, Settled, Store,
    rest::{PROBE_LOCK, Told},
    store::memory::{Hold, Probes, Taken, ToldRest},
    testing::{START, World, credential, member, narrow, provider_name, requests, tokens, with_quota},
};

fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn adopt(memory: &Memory, world: &World, name: &str, taken: Taken) -> Option<Hold> {
    let pick = world.pick();
    memory.adopt(START, &pick, &world.lanes[0], &credential(name), 40, taken)
}

fn told(name: &str, model: Option<&str>, seconds: u64) -> ToldRest {
    ToldRest {
        credential: credential(name),
        model: model.map(Into::into),
        rest: Told {
            reason: RestReason::QuotaExhausted,
            until: at(seconds),
            guessed: false,
        },
    }
}

#[tokio::test]
async fn a_place_that_was_given_elsewhere_is_taken_and_given_back() {
    let mut limited = with_quota("a", &[requests("1h", 3600, 1), tokens("2h", 7200, 1000)]);
    limited.limits.concurrency = Some(1);
    let world = World::new(Strategy::LeastBusy, &[limited, member("b")]);
    let memory = Memory::default();
    let holds = [(); 2].map(|()| adopt(&memory, &world, "a", Taken::default()).expect("a member"));
    let state = &memory.credentials(START)[0];
    assert_eq!(
        (state.in_flight, state.reserved_tokens),
        (2, 80),
        "whatever its limits"
    );
    assert_eq!(state.windows[0].requests, 2, "and it counts");
    let picked = memory
        .pick(START, &world.pick(), Reserves::default(), Duration::ZERO)
        .await;
    assert_eq!(picked.expect("b is usable").credential, credential("b"));
    for hold in holds {
        memory.settle(START, hold, &Settled::new(Outcome::Succeeded));
    }
    let state = &memory.credentials(START)[0];
    assert_eq!((state.in_flight, state.reserved_tokens), (0, 0));
    assert!(
        adopt(&memory, &world, "x", Taken::default()).is_none(),
        "no member of this lane"
    );
}

#[tokio::test]
async fn a_probe_that_was_given_elsewhere_keeps_others_away() {
    let world = World::new(Strategy::RoundRobin, &[member("a")]);
    let memory = Memory::default();
    let mut rest = told("a", None, 0);
    rest.rest.guessed = true;
    memory.set_rests(START, &provider_name(), &[rest.clone()]);
    let probes = Probes {
        whole: true,
        model: false,
    };
    let taken = Taken {
        probes,
        probes_endpoint: false,
    };
    let probe = adopt(&memory, &world, "a", taken).expect("a member");
    let soonest = START + PROBE_LOCK;
    let pick = async || {
        let picked = memory
            .pick(START, &world.pick(), Reserves::default(), Duration::ZERO)
            .await;
        picked
            .map(|picked| picked.probe)
            .map_err(|shortage| shortage.reason)
    };
    let reason = RestReason::QuotaExhausted;
    assert_eq!(pick().await, Err(crate::NoneUsable::Resting { soonest, reason }));
    memory.set_rests(START, &provider_name(), &[rest]);
    assert!(
        pick().await.is_err(),
        "hearing of the rest once more changes nothing"
    );
    memory.settle(START, probe, &Settled::new(Outcome::Succeeded));
    assert_eq!(pick().await, Ok(false), "the probe has succeeded");
}

#[tokio::test]
async fn a_caller_that_was_let_in_elsewhere_has_its_seat() {
    let mut world = World::new(Strategy::RoundRobin, &[member("a")]);
    world.limits.concurrency = Some(1);
    world.budgets = vec![tokens("1h", 3600, 100)];
    let memory = Memory::default();
    let seats = [(); 2].map(|()| memory.adopt_seat(START, &world.admit(), 30));
    let state = &memory.clients(START)[0];
    assert_eq!((state.in_flight, state.reserved_tokens), (2, 60));
    for seat in seats {
        memory.leave(START, seat, Some(50));
    }
    let state = &memory.clients(START)[0];
    assert_eq!((state.in_flight, state.reserved_tokens), (0, 0));
    assert_eq!((state.budgets[0].requests, state.budgets[0].tokens), (2, 100));
    let denied = memory
        .admit(START, &world.admit(), Reserves::default())
        .await
        .expect_err("it is used up");
    assert_eq!(denied.limit, Limit::Budget, "known here too");
}

#[tokio::test]
async fn a_share_of_each_limit_is_used_while_replicas_cannot_agree() {
    let mut limited = narrow("a", 4);
    limited.limits.requests_per_minute = Some(100);
    let mut world = World::new(Strategy::RoundRobin, &[limited, narrow("b", 1)]);
    world.limits.concurrency = Some(5);
    world.limits.requests_per_minute = Some(1000);
    let memory = Memory::default();
    let picks = async |memory: &Memory, world: &World| {
        let mut names = String::new();
        let mut holds = Vec::new();
        while let Ok(picked) = memory
            .pick(START, &world.pick(), Reserves::default(), Duration::ZERO)
            .await
        {
            names.push_str(picked.credential.name());
            holds.push(picked.hold);
        }
        (names, holds)
    };
    let admit = async |admit: Admit<'_>| memory.admit(START, &admit, Reserves::default()).await;
    memory.set_sharers(START, 2);
    let (names, mut holds) = picks(&memory, &world).await;
    assert_eq!(names, "aba", "two of four, and one of one");
    let seats = [admit(world.admit()).await, admit(world.admit()).await];
    let denied = admit(world.admit()).await.expect_err("five halves are two");
    assert_eq!(denied.limit, Limit::Concurrency);

    memory.set_sharers(START, 1);
    let (names, more) = picks(&memory, &world).await;
    assert_eq!(names, "aa", "all four again, though a was parked as full");
    admit(world.admit()).await.expect("all five again");
    holds.extend(more);
    drop((seats, holds));

    world.provider.concurrency = Some(7);
    let memory = Memory::default();
    memory.set_sharers(START, 3);
    assert_eq!(
        picks(&memory, &world).await.0,
        "ab",
        "a third of seven, and of four"
    );
}

#[test]
fn rests_follow_the_shared_store() {
    let memory = Memory::default();
    let provider = provider_name();
    let seen = || {
        let mut rests = memory.rests(START, &provider);
        rests.sort_by_key(|rest| (rest.credential.clone(), rest.model.clone()));
        rests
    };
    let [a, b] = [told("a", None, 100), told("b", Some("model"), 200)];
    memory.set_rests(START, &provider, &[a.clone(), b.clone()]);
    assert_eq!(seen(), [a.clone(), b.clone()]);
    assert_eq!(
        memory.rests(START, &"ns/other".parse().expect("a name")),
        [],
        "another's"
    );
    memory.set_rests(START, &"ns/other".parse().expect("a name"), &[]);
    assert_eq!(seen(), [a, b.clone()], "that says nothing of these");

    let a = told("a", None, 50);
    memory.set_rests(START, &provider, &[a.clone(), b]);
    assert_eq!(seen()[0], a, "cleared and put to rest anew");
    memory.set_rests(START, &provider, std::slice::from_ref(&a));
    assert_eq!(seen(), [a], "b was cleared elsewhere");
    memory.set_rests(START, &provider, &[]);
    assert_eq!(seen(), []);
}

#[test]
fn what_only_this_process_has_met_stays() {
    let world = World::new(Strategy::RoundRobin, &[member("a")]);
    let pool = Pool::in_memory(world.clock.clone());
    let memory = &pool.shared.store;
    let provider = provider_name();
    let report = |seconds| {
        let rest = crate::Rest {
            reason: RestReason::QuotaExhausted,
            end: crate::RestEnd::Stated(Duration::from_secs(seconds)),
        };
        pool.report(&provider, &credential("a"), None, rest);
    };
    report(100);
    memory.set_rests(START, &provider, &[]);
    let met = told("a", None, 100);
    assert_eq!(memory.rests(START, &provider).first(), Some(&met), "not told yet");
    memory.set_rests(START, &provider, &[told("a", None, 20)]);
    assert_eq!(memory.rests(START, &provider), [met], "the later end wins");
    memory.set_rests(START, &provider, &[told("a", None, 99)]);
    memory.set_rests(START, &provider, &[]);
    assert_eq!(
        memory.rests(START, &provider),
        [],
        "the store had heard of it, by its own clock, and then it was cleared"
    );
    report(100);
    memory.set_rests(START, &provider, &[told("a", None, 300)]);
    assert_eq!(memory.rests(START, &provider), [told("a", None, 300)]);
    report(400);
    memory.set_rests(START, &provider, &[told("a", None, 300)]);
    assert_eq!(
        memory.rests(START, &provider),
        [told("a", None, 400)],
        "met since"
    );
}
