//! What holds after any sequence of operations.

mod steps;

use std::time::Duration;

use proptest::prelude::*;
use snapshot::{
    Breaker, CallLimits, CredentialName, QuotaWindow, SecretVersion, Strategy as Selection, Timestamp,
};

use self::steps::{Setup, Step, any_setup, any_step};
use crate::{
    Admission, Clock, CredentialState, Lease, Member, NoneUsable, Pick, Pool, Resting, WindowState,
    quota::{MILLION, used_ppm},
    rest::PROBE_LOCK,
    testing::{World, credential, member, provider_name},
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

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
    /// What the upstream last said of each one's quota, and until when that holds.
    said: [(u32, Timestamp); 4],
}

impl Run {
    fn new(setup: Setup) -> Self {
        let members: Vec<Member> = (1..)
            .zip(NAMES)
            .zip(setup.limits.iter().zip(&setup.quotas))
            .map(|((weight, name), (limits, quota))| Member {
                limits: *limits,
                quota: quota.as_slice().into(),
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
        world.budgets.clone_from(&setup.budgets);
        let pool = Pool::in_memory(world.clock.clone());
        Self {
            setup,
            world,
            pool,
            held: Vec::new(),
            secrets: 0,
            picks: Vec::new(),
            admissions: Vec::new(),
            said: [(0, Timestamp::EPOCH); 4],
        }
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Pick { tried, affinity } => self.pick(tried, affinity).await,
            Step::Settle { which, settled } => {
                if let Some(held) = self.take(which) {
                    if let Some(headroom) = settled.headroom {
                        self.said[held.name] = (headroom.used, self.now() + headroom.resets_in);
                    }
                    held.lease.settle(settled);
                    held.admission.settle(settled.usage.unwrap_or_default().total());
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
            Step::ResetQuota(name) => {
                self.said[name] = (0, Timestamp::EPOCH);
                self.pool.reset_quota(&provider_name(), &credential(NAMES[name]));
            }
            Step::ResetBudgets => self.pool.reset_budgets(&self.world.client),
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
        let budgets = self.budgets().await;
        let Ok((admission, lease)) = self.pool.enter(self.world.admit(), pick).await else {
            return;
        };
        assert!(!budgets, "a budget was used up");
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
                assert!(
                    !state.is_some_and(|state| self.out_of_quota(name, state)),
                    "{name} was out of quota"
                );
                if self.setup.strategy == Selection::MostHeadroom && affinity.is_none() {
                    self.had_most_headroom(name, &before, &tried);
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
                    NoneUsable::Empty | NoneUsable::UnknownObject => None,
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

    /// Whether a budget of the caller is used up.
    async fn budgets(&self) -> bool {
        let asked = [(&self.world.client, &*self.world.budgets)];
        let state = self.pool.look_up_clients(&asked).await.remove(0);
        used_up(&self.setup.budgets, &state.budgets)
    }

    fn out_of_quota(&self, name: usize, state: &CredentialState) -> bool {
        used_up(&self.setup.quotas[name], &state.windows)
    }

    /// Nobody of the tier that could have served has used a smaller part of its quota.
    fn had_most_headroom(&self, picked: usize, before: &[CredentialState], tried: &[CredentialName]) {
        let tier = |name: usize| self.setup.second_tier && name >= 2;
        let lead = self.lead(picked, before);
        for (name, letter) in NAMES.iter().enumerate() {
            if name == picked || tier(name) != tier(picked) || tried.contains(&credential(letter)) {
                continue;
            }
            let other = self.lead(name, before);
            assert!(
                other >= lead || self.cannot_serve(name),
                "{letter} has used {other}, {} {lead}",
                NAMES[picked]
            );
        }
    }

    fn lead(&self, name: usize, states: &[CredentialState]) -> u32 {
        let (said, until) = self.said[name];
        let mut lead = if until > self.now() { said.min(MILLION) } else { 0 };
        let state = states.iter().find(|state| state.name.name() == NAMES[name]);
        for used in state.map(|state| &*state.windows).unwrap_or_default() {
            let mut windows = self.setup.quotas[name].iter();
            let window = windows.find(|window| window.name == used.name).expect("listed");
            let parts = [(window.requests, used.requests), (window.tokens, used.tokens)];
            for (limit, used) in parts {
                lead = lead.max(limit.map_or(0, |limit| used_ppm(used, limit)));
            }
        }
        lead
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
            // Who is full because of tokens is looked at again when a call ends; that they may be the reason
            // is enough here.
            || limits.tokens_per_minute.is_some()
            || self.setup.quotas[name].iter().any(|window| window.tokens.is_some())
            || state.is_some_and(|state| self.out_of_quota(name, state))
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
            Err(NoneUsable::Empty | NoneUsable::UnknownObject) => {
                panic!("there are members, and none was tried")
            }
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

/// Whether the limit of a window is reached.
fn used_up(windows: &[QuotaWindow], used: &[WindowState]) -> bool {
    windows.iter().any(|window| {
        let found = used.iter().find(|used| used.name == window.name);
        let (requests, tokens) = found.map_or((0, 0), |used| (used.requests, used.tokens));
        window.requests.is_some_and(|most| requests >= most)
            || window.tokens.is_some_and(|most| tokens >= most)
    })
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
