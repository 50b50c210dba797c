//! Whatever happens in whatever order, everything that a process told the store counts once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use snapshot::Timestamp;

use super::{
    network::{Fate, Network, Numbers},
    process::{End, Process, usage},
    server,
};
use crate::{TokenCounts, redis::testing::Server, usage::Tally};

#[derive(Clone, Debug)]
enum Step {
    Begin {
        process: usize,
        name: usize,
        reserve: u64,
    },
    End {
        process: usize,
        which: usize,
        end: End,
    },
    Beat {
        process: usize,
        fates: Vec<Fate>,
    },
    /// A late message arrives.
    Arrive(usize),
    /// In milliseconds. Who does not beat meanwhile is paused.
    Wait(u64),
    /// It is gone at once, and another one starts in its place.
    Kill(usize),
    /// It leaves, as far as it gets, and another one starts in its place.
    Leave {
        process: usize,
        fates: Vec<Fate>,
    },
    /// The store is empty.
    Empty,
}

struct Run {
    network: Network,
    processes: Vec<Process>,
    started: usize,
}

const PROCESSES: usize = 3;
const NAMES: [&str; 2] = ["a", "b"];
/// Small, so that a flush is several scripts.
const PAGE: usize = 2;
/// Shortly before midnight.
const EVENING: Timestamp = Timestamp::from_micros(1_795_219_200_000_000 - 20_000_000);

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Arrives),
        1 => Just(Fate::Unsent),
        1 => Just(Fate::Unanswered),
        1 => Just(Fate::Doubled),
        1 => Just(Fate::Late),
        1 => any::<bool>().prop_map(|arrives| Fate::Abandoned { arrives }),
    ];
    prop::collection::vec(fate, 0..5)
}

fn end() -> impl Strategy<Value = End> {
    let usage = (0..1000_u64, 0..100_u64).prop_map(|(input, output)| TokenCounts {
        input,
        cached: input / 2,
        cache_write: input / 3,
        output,
        reasoning: output / 2,
    });
    (usage, 0..4).prop_map(|(usage, how)| match how {
        0 => End::Dropped,
        1 => End::Guessed(usage),
        _ => End::Known(usage),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let process = 0..PROCESSES;
    prop_oneof![
        8 => (process.clone(), 0..NAMES.len(), 0..500_u64)
            .prop_map(|(process, name, reserve)| Step::Begin { process, name, reserve }),
        8 => (process.clone(), any::<usize>(), end())
            .prop_map(|(process, which, end)| Step::End { process, which, end }),
        12 => (process.clone(), fates()).prop_map(|(process, fates)| Step::Beat { process, fates }),
        3 => any::<usize>().prop_map(Step::Arrive),
        3 => (0..4000_u64).prop_map(Step::Wait),
        2 => (10_000..15_000_u64).prop_map(Step::Wait),
        1 => process.clone().prop_map(Step::Kill),
        1 => (process, fates()).prop_map(|(process, fates)| Step::Leave { process, fates }),
        1 => Just(Step::Empty),
    ]
}

impl Run {
    fn new(server: &Server) -> Self {
        let network = Network::new(server, EVENING);
        network.flush_all(&BTreeMap::new());
        let mut run = Self {
            network,
            processes: Vec::new(),
            started: 0,
        };
        for _ in 0..PROCESSES {
            let process = run.start();
            run.processes.push(process);
        }
        run
    }

    fn start(&mut self) -> Process {
        self.started += 1;
        Process::new(&self.network, self.started, PAGE)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Begin {
                process,
                name,
                reserve,
            } => self.processes[process].begin(NAMES[name], reserve),
            Step::End { process, which, end } => self.processes[process].end(which, end),
            Step::Beat { process, fates } => {
                let process = &mut self.processes[process];
                self.network.doom(process.id, &fates);
                process.beat();
            }
            Step::Arrive(which) => self.network.arrive(which),
            Step::Wait(millis) => self.network.wait_millis(millis),
            Step::Kill(process) => self.processes[process] = self.start(),
            Step::Leave { process, fates } => {
                let next = self.start();
                let leaver = std::mem::replace(&mut self.processes[process], next);
                self.network.doom(leaver.id, &fates);
                leaver.goodbye();
            }
            Step::Empty => {
                let remembered = self.processes.iter().map(|process| (process.id, process.days()));
                self.network.flush_all(&remembered.collect());
            }
        }
    }

    /// Everything arrives that is late, and all beat in peace until the dead are taken over.
    fn settle(&mut self) {
        while self.network.late() > 0 {
            self.network.arrive(0);
        }
        for _ in 0..500 {
            self.network.wait_millis(1000);
            self.processes.iter_mut().for_each(|process| {
                process.steady_beat();
            });
            let owners: usize = self
                .network
                .query(::redis::cmd("ZCARD").arg("test:{usage}:owners"));
            if owners == PROCESSES {
                return;
            }
        }
        panic!("the dead are not taken over");
    }
}

/// Adds up what the store was told by all processes. What was open in the dead is estimated.
fn sum(told: &BTreeMap<usize, Numbers>, alive: impl Fn(usize) -> bool) -> Numbers {
    let mut sums = Numbers::new();
    for (process, numbers) in told {
        for (key, tally) in numbers {
            let tally = if alive(*process) { *tally } else { estimated(tally) };
            let sum = sums.entry(key.clone()).or_default();
            sum.counts.requests += tally.counts.requests;
            sum.counts.tokens.add(&tally.counts.tokens);
            sum.counts.estimated_requests += tally.counts.estimated_requests;
            sum.counts.estimated_tokens += tally.counts.estimated_tokens;
            sum.open += tally.open;
            sum.reserved += tally.reserved;
        }
    }
    sums
}

/// The numbers of a process that ended so.
fn estimated(tally: &Tally) -> Tally {
    let mut tally = *tally;
    tally.counts.estimated_requests += std::mem::take(&mut tally.open);
    tally.counts.estimated_tokens += std::mem::take(&mut tally.reserved);
    tally
}

#[test]
fn what_was_told_counts_once() {
    let server = server();
    let config = ProptestConfig {
        cases: 192,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..80))| {
        let mut run = Run::new(&server);
        for step in steps {
            run.step(step.clone());
            // Who is taken for dead at this moment is not known from outside, so open and estimated are one.
            let mut found = usage(&run.network, PAGE);
            for tally in found.values_mut() {
                *tally = estimated(tally);
            }
            prop_assert_eq!(found, sum(&run.network.told(), |_| false), "after {:?}", step);
        }
        run.settle();
        let alive: Vec<_> = run.processes.iter().map(|process| process.id).collect();
        let told = run.network.told();
        for process in &alive {
            let told = told.get(process).cloned().unwrap_or_default();
            for (key, counted) in run.network.counted(*process) {
                prop_assert_eq!(told.get(&key), Some(&counted), "nothing is untold of {:?}", key);
            }
        }
        let expected = sum(&told, |process| alive.contains(&process));
        prop_assert_eq!(usage(&run.network, PAGE), expected, "only the dead leave estimates");
    });
}
