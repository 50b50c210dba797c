//! What holds after any sequence of operations.

use std::time::Duration;

use proptest::prelude::*;
use snapshot::{Breaker, CallLimits, SecretVersion, Strategy as Selection, Timestamp};

use crate::{
    Admission, Clock, Lease, Member, NoneUsable, Outcome, Pick, Pool, Rest, RestEnd, RestReason, RestScope,
    Resting, Settled, TokenCounts,
    rest::PROBE_LOCK,
    testing::{World, credential, member, provider_name},
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Pick {
        tried: Option<usize>,
        affinity: Option<u64>,
    },
    Settle {
        which: usize,
        outcome: Outcome,
        rest: Option<(RestScope, Rest)>,
        withdraw: bool,
    },
    Commit(usize),
    Drop(usize),
    Report(usize, Rest),
    Clear(usize),
    SecretChanged(usize),
    Wait(u64),
}

#[derive(Clone, Debug)]
struct Setup {
    strategy: Selection,
    limits: Vec<CallLimits>,
    client: CallLimits,
    provider: Option<u32>,
    second_tier: bool,
}

struct Held {
    lease: Lease,
    admission: Admission,
    name: usize,
    /// The rests that it finds out about.
    probes: Vec<Resting>,
    at: Timestamp,
}

/// The pool, and what an observer outside it knows.
struct Run {
    setup: Setup,
    world: World,
    pool: Pool,
    held: Vec<Held>,
    secrets: u32,
    picks: Vec<(usize, Timestamp)>,
    admissions: Vec<Timestamp>,
}

fn any_rest() -> impl Strategy<Value = Rest> {
    let reason = prop_oneof![
        Just(RestReason::RateLimited),
        Just(RestReason::Unauthorized),
        Just(RestReason::Failing)
    ];
    let end = prop_oneof![
        (0..200u64).prop_map(|seconds| RestEnd::Stated(Duration::from_secs(seconds))),
        (0..20_000u64).prop_map(|seconds| RestEnd::Hinted(Duration::from_secs(seconds))),
        Just(RestEnd::Guessed),
        Just(RestEnd::Guessed),
    ];
    (reason, end).prop_map(|(reason, end)| Rest { reason, end })
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Succeeded),
        1 => Just(Outcome::CallerFault),
        2 => Just(Outcome::CredentialFault),
        2 => Just(Outcome::UpstreamFault),
        1 => Just(Outcome::Cancelled),
    ];
    let scope = prop_oneof![Just(RestScope::Credential), Just(RestScope::CredentialAndModel)];
    let rest = prop::option::weighted(0.3, (scope, any_rest()));
    let settle = (any::<usize>(), outcome, rest, any::<bool>());
    prop_oneof![
        10 => (prop::option::weighted(0.2, 0..4usize), prop::option::weighted(0.3, 0..3u64))
            .prop_map(|(tried, affinity)| Step::Pick { tried, affinity }),
        6 => settle.prop_map(|(which, outcome, rest, withdraw)| Step::Settle { which, outcome, rest, withdraw }),
        1 => any::<usize>().prop_map(Step::Commit),
        2 => any::<usize>().prop_map(Step::Drop),
        1 => (0..4usize, any_rest()).prop_map(|(name, rest)| Step::Report(name, rest)),
        1 => (0..4usize).prop_map(Step::Clear),
        1 => (0..4usize).prop_map(Step::SecretChanged),
        6 => (0..30_000u64).prop_map(Step::Wait),
    ]
}

fn any_strategy() -> impl Strategy<Value = Selection> {
    prop_oneof![
        Just(Selection::RoundRobin),
        Just(Selection::Weighted),
        Just(Selection::LeastBusy),
        Just(Selection::FillFirst)
    ]
}

fn any_limits() -> impl Strategy<Value = CallLimits> {
    let limit = |range: std::ops::Range<u32>| prop::option::of(range);
    (limit(0..4), limit(0..6), limit(0..50)).prop_map(|(concurrency, requests, tokens)| CallLimits {
        concurrency,
        requests_per_minute: requests,
        tokens_per_minute: tokens.map(u64::from),
    })
}

fn any_setup() -> impl Strategy<Value = Setup> {
    (
        any_strategy(),
        prop::collection::vec(any_limits(), 4),
        any_limits(),
        prop::option::weighted(0.3, 1..6u32),
        any::<bool>(),
    )
        .prop_map(|(strategy, limits, mut client, provider, second_tier)| {
            // The caller is limited widely, or there would be little to see.
            client.concurrency = client.concurrency.map(|limit| limit + 4);
            client.requests_per_minute = client.requests_per_minute.map(|limit| limit * 4);
            Setup {
                strategy,
                limits,
                client,
                provider,
                second_tier,
            }
        })
}

impl Run {
    fn new(setup: Setup) -> Self {
        let members: Vec<Member> = (1..)
            .zip(NAMES.iter().zip(&setup.limits))
            .map(|(weight, (name, limits))| Member {
                limits: *limits,
                weight,
                ..member(name)
            })
            .collect();
        let first = if setup.second_tier { 2 } else { 4 };
        let mut world = World::new(setup.strategy, &members[..first]);
        if setup.second_tier {
            world = world.tier(&members[first..]);
        }
        world.provider.concurrency = setup.provider;
        world.provider.breaker = Breaker {
            consecutive_failures: 2,
            open_for: Duration::from_secs(20),
        };
        world.limits = setup.client;
        let pool = Pool::in_memory(world.clock.clone());
        Self {
            setup,
            world,
            pool,
            held: Vec::new(),
            secrets: 0,
            picks: Vec::new(),
            admissions: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Pick { tried, affinity } => self.pick(tried, affinity).await,
            Step::Settle {
                which,
                outcome,
                rest,
                withdraw,
            } => {
                if let Some(held) = self.take(which) {
                    let usage = TokenCounts {
                        input: 7,
                        ..TokenCounts::default()
                    };
                    let receipt = held.lease.settle(Settled {
                        outcome,
                        usage: Some(usage),
                        rest,
                        headroom: None,
                    });
                    held.admission.settle(usage.total());
                    if withdraw {
                        self.pool.withdraw(receipt);
                    }
                }
            }
            Step::Commit(which) => {
                let count = self.held.len().max(1);
                if let Some(held) = self.held.get_mut(which % count) {
                    held.lease.commit();
                    held.probes.clear();
                }
            }
            Step::Drop(which) => drop(self.take(which).map(|held| (held.lease, held.admission))),
            Step::Report(name, rest) => {
                let name = credential(NAMES[name]);
                self.pool.report(&provider_name(), &name, None, rest);
            }

            Step::Clear(name) => self.pool.clear_rest(&provider_name(), &credential(NAMES[name])),
            Step::SecretChanged(name) => {
                self.secrets += 1;
                let version = SecretVersion(self.secrets.to_string().into());
                self.pool
                    .secret_changed(&provider_name(), &credential(NAMES[name]), &version);
            }
            Step::Wait(millis) => self.world.clock.step(Duration::from_millis(millis)),
        }
        self.check();
    }

    fn take(&mut self, which: usize) -> Option<Held> {
        (!self.held.is_empty()).then(|| self.held.swap_remove(which % self.held.len()))
    }

    async fn pick(&mut self, tried: Option<usize>, affinity: Option<u64>) {
        let now = self.now();
        let before = self.pool.states();
        let tried: Vec<_> = tried.map(|name| credential(NAMES[name])).into_iter().collect();
        let pick = Pick {
            tried: &tried,
            affinity,
            ..self.world.pick()
        };
        let Ok((admission, lease)) = self.pool.enter(self.world.admit(), pick).await else {
            return;
        };
        self.admissions.push(now);
        match lease {
            Ok(lease) => {
                let name = NAMES
                    .iter()
                    .position(|name| lease.credential().name() == *name)
                    .expect("one of ours");
                assert!(!tried.contains(lease.credential()), "it was tried");
                let state = before.iter().find(|state| state.name == *lease.credential());
                let rests = state.map(|state| state.rests.clone()).unwrap_or_default();
                for rest in &rests {
                    assert!(rest.until <= now, "{name} was picked though it has {rest:?}");
                    assert!(lease.is_probe(), "only a probe may use what has {rest:?}");
                    assert!(
                        !self.is_probed(name, rest),
                        "another probe of {rest:?} is under way"
                    );
                }
                self.picks.push((name, now));
                let held = Held {
                    probes: rests,
                    lease,
                    admission,
                    name,
                    at: now,
                };
                self.held.push(held);
            }
            Err(reason) => {
                let soonest = match reason {
                    NoneUsable::Empty => None,
                    NoneUsable::Resting { soonest, .. } | NoneUsable::Full { soonest } => Some(soonest),
                    NoneUsable::BreakerOpen { until } => Some(until),
                };
                assert!(
                    soonest.is_none_or(|soonest| soonest > now),
                    "{reason:?} is not in the future"
                );
                for (name, letter) in NAMES.iter().enumerate() {
                    let excused = tried.contains(&credential(letter))
                        || matches!(reason, NoneUsable::BreakerOpen { .. })
                        || self
                            .setup
                            .provider
                            .is_some_and(|most| self.held.len() >= most as usize)
                        || self.cannot_serve(name);
                    assert!(excused, "{letter} is usable, but {reason:?}");
                }
            }
        }
    }

    /// Whether a probe of this rest is neither answered nor lost.
    fn is_probed(&self, name: usize, rest: &Resting) -> bool {
        let now = self.now();
        let probes =
            |held: &Held| held.name == name && held.probes.contains(rest) && held.at + PROBE_LOCK > now;
        self.held.iter().any(probes)
    }

    fn cannot_serve(&self, name: usize) -> bool {
        let now = self.now();
        let limits = self.setup.limits[name];
        let in_flight = self.held.iter().filter(|held| held.name == name).count();
        let since = now.as_secs().saturating_sub(60);
        let recent = self
            .picks
            .iter()
            .filter(|(who, at)| *who == name && at.as_secs() >= since);
        let states = self.pool.states();
        let state = states.iter().find(|state| state.name == credential(NAMES[name]));
        limits.concurrency.is_some_and(|most| in_flight >= most as usize)
            || limits.requests_per_minute.is_some_and(|most| recent.count() >= most as usize)
            // Tokens are checked on their own; here it is enough that they may be the reason.
            || limits.tokens_per_minute.is_some()
            || state.is_some_and(|state| {
                state.rests.iter().any(|rest| rest.until > now || self.is_probed(name, rest))
            })
    }

    fn check(&self) {
        let now = self.now();
        for state in self.pool.states() {
            let name = NAMES
                .iter()
                .position(|name| state.name.name() == *name)
                .expect("one of ours");
            let limits = self.setup.limits[name];
            let held = self.held.iter().filter(|held| held.name == name).count();
            assert_eq!(state.in_flight as usize, held, "calls in flight on {name}");
            assert!(
                limits.concurrency.is_none_or(|most| held <= most as usize),
                "too many on {name}"
            );
            let recent =
                |(who, at): &&(usize, Timestamp)| *who == name && now.since(*at) < Duration::from_secs(60);
            let recent = self.picks.iter().filter(recent).count();
            assert!(
                limits
                    .requests_per_minute
                    .is_none_or(|most| recent <= most as usize),
                "{recent} calls of {name} within a minute"
            );
        }
        let limits = self.setup.client;
        assert!(
            limits
                .concurrency
                .is_none_or(|most| self.held.len() <= most as usize)
        );
        assert!(
            self.setup
                .provider
                .is_none_or(|most| self.held.len() <= most as usize)
        );
        let recent = |at: &&Timestamp| now.since(**at) < Duration::from_secs(60);
        let recent = self.admissions.iter().filter(recent).count();
        assert!(
            limits
                .requests_per_minute
                .is_none_or(|most| recent <= most as usize)
        );
    }

    /// With nothing under way, the moment that is told is the first at which a pick succeeds.
    async fn the_soonest_moment_is_true(&mut self) {
        let limited_to_nothing = |limits: &CallLimits| {
            limits.concurrency == Some(0)
                || limits.requests_per_minute == Some(0)
                || limits.tokens_per_minute == Some(0)
        };
        if self.setup.limits.iter().any(limited_to_nothing) {
            return;
        }
        let soonest = match self.pool.pick(self.world.pick()).await.map(drop) {
            Err(NoneUsable::Resting { soonest, .. } | NoneUsable::Full { soonest }) => soonest,
            Ok(()) | Err(NoneUsable::BreakerOpen { .. }) => return,
            Err(NoneUsable::Empty) => panic!("there are members, and none was tried"),
        };
        let instant = Duration::from_micros(1);
        let nearly = soonest.since(self.now() + instant);
        self.world.clock.step(nearly);
        let early = self.pool.pick(self.world.pick()).await;
        assert!(early.is_err(), "{early:?} before {soonest}");
        self.world.clock.step(instant);
        let there = self.pool.pick(self.world.pick()).await;
        assert!(there.is_ok(), "{there:?} at {soonest}");
    }

    async fn end(mut self) {
        self.held.clear();
        self.the_soonest_moment_is_true().await;
        for state in self.pool.states() {
            assert_eq!((state.in_flight, state.reserved_tokens), (0, 0), "{}", state.name);
        }
        for client in self.pool.clients() {
            assert_eq!(
                (client.in_flight, client.reserved_tokens),
                (0, 0),
                "{}",
                client.name
            );
        }
        assert!(self.pool.breakers().iter().all(|breaker| breaker.in_flight == 0));
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_cap_is_exceeded_nobody_usable_is_overlooked_and_nothing_leaks(
        setup in any_setup(),
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        block_on(async {
            let mut run = Run::new(setup);
            for step in steps {
                run.step(step).await;
            }
            run.end().await;
        });
    }

    #[test]
    fn round_robin_is_exact_whatever_is_in_flight(
        count in 1usize..8,
        ends in prop::collection::vec(any::<Option<u8>>(), 1..200),
    ) {
        block_on(async {
            let members: Vec<_> = (0..count).map(|number| member(&number.to_string())).collect();
            let world = World::new(Selection::RoundRobin, &members);
            let pool = Pool::in_memory(world.clock.clone());
            let mut served = vec![0u32; count];
            let mut held = Vec::new();
            for end in ends {
                let lease = pool.pick(world.pick()).await.expect("all are usable");
                served[lease.credential().name().parse::<usize>().expect("a number")] += 1;
                held.push(lease);
                if let Some(which) = end {
                    drop(held.swap_remove(usize::from(which) % held.len()));
                }
                let most = served.iter().max().expect("not empty");
                let least = served.iter().min().expect("not empty");
                assert!(most - least <= 1, "{served:?}");
            }
        });
    }

    #[test]
    fn weights_are_shares_at_every_moment(weights in prop::collection::vec(1u32..10, 1..6)) {
        block_on(async {
            let members: Vec<_> = weights
                .iter()
                .enumerate()
                .map(|(number, weight)| Member { weight: *weight, ..member(&number.to_string()) })
                .collect();
            let world = World::new(Selection::Weighted, &members);
            let pool = Pool::in_memory(world.clock.clone());
            let total: u32 = weights.iter().sum();
            let mut served = vec![0u32; weights.len()];
            for calls in 1..=total * 5 {
                let lease = pool.pick(world.pick()).await.expect("all are usable");
                served[lease.credential().name().parse::<usize>().expect("a number")] += 1;
                for (served, weight) in served.iter().zip(&weights) {
                    let due = f64::from(calls) * f64::from(*weight) / f64::from(total);
                    // A member is at most one own turn ahead, and behind by at most what all others were ahead.
                    let slack = 1.0 + f64::from(*weight);
                    assert!((f64::from(*served) - due).abs() <= slack, "{served} of {due} due");
                }
            }
            let expected: Vec<_> = weights.iter().map(|weight| weight * 5).collect();
            assert_eq!(served, expected, "exact after whole rounds");
        });
    }
}
