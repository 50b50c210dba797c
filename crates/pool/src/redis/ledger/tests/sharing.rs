//! Sizes, reading, and the server's own time.

use std::collections::BTreeMap;

use ::redis::{Value, cmd};

use super::{
    network::{Fate, Network},
    process::{End, Process, usage},
    server, wait,
};
use crate::{
    TokenCounts,
    redis::{
        ledger::{
            packed::Packed,
            script::{FLUSH, FOLD, ROSTER, SERVER_CLOCK},
        },
        testing::Cluster,
    },
    testing::START,
    usage::{Day, Dimension},
};

const DEAD: u64 = 11_000;

#[test]
fn many_names_are_written_taken_over_and_read_in_pages() {
    const NAMES: usize = 1000;
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, 500);
    let mut two = Process::new(&network, 2, 500);
    for number in 0..NAMES {
        one.begin(&format!("name-{number}"), 1);
    }
    // Of client, route, credential and model, and one Provider.
    assert_eq!(one.steady_beat().written, 4 * NAMES + 1);
    let told = usage(&network, 500);
    assert_eq!(told, network.counted(1));
    drop(one);
    network.wait_millis(DEAD);
    let mut steps = 0;
    while !two.steady_beat().folded {
        steps += 1;
        let found = usage(&network, 500);
        assert_eq!(found.len(), told.len());
        for (key, tally) in found {
            assert_eq!(
                tally.open + tally.counts.estimated_requests,
                told[&key].open,
                "{key:?}"
            );
        }
        assert!(steps < 10, "it comes to an end");
    }
    assert!(steps > 0, "it is too much for one beat");
    let taken_over = usage(&network, 500);
    assert!(taken_over.values().all(|tally| tally.open == 0));
    assert_eq!(taken_over.len(), told.len());
}

#[test]
fn the_base_has_a_bounded_number_of_names() {
    let server = server();
    let network = Network::new(&server, START);
    let most = Dimension::Model.most_names();
    for process in 1..=2 {
        let mut one = Process::new(&network, process, 500);
        for number in 0..600 {
            one.begin(&format!("model {process} {number}").replace(' ', "-"), 1);
        }
        one.goodbye().unwrap().unwrap();
    }
    let models: Vec<_> = usage(&network, 500)
        .into_iter()
        .filter(|((_, field), _)| field.starts_with("model|"))
        .collect();
    assert_eq!(models.len(), most + 1);
    let requests: u64 = models.iter().map(|(_, tally)| tally.counts.requests).sum();
    assert_eq!(requests, 1200);
}

#[test]
fn large_numbers_stay_exact() {
    let server = server();
    let network = Network::new(&server, START);
    let tokens = (1 << 40) - 1;
    let usage_each = TokenCounts {
        input: tokens,
        ..TokenCounts::default()
    };
    for process in 1..=3 {
        let mut one = Process::new(&network, process, 500);
        for _ in 0..1000 {
            one.begin("a", 0);
            one.end_all(End::Known(usage_each));
        }
        one.goodbye().unwrap().unwrap();
    }
    let key = (Day::of(START).to_string(), "client|ns/a".to_owned());
    assert_eq!(usage(&network, 500)[&key].counts.tokens.input, 3000 * tokens);
}

#[test]
fn reading_begins_anew_when_an_owner_is_taken_over_meanwhile() {
    let server = server();
    let network = Network::new(&server, START);
    for others in [0, 1, 2, 10, 40] {
        network.flush_all(&BTreeMap::new());
        let mut dead = Process::new(&network, 1, 500);
        let mut heir = Process::new(&network, 2, 500);
        // More than the server keeps in one piece.
        for number in 0..200 {
            dead.begin(&format!("name-{number}"), 1);
        }
        dead.steady_beat();
        drop(dead);
        network.wait_millis(DEAD / 2);
        heir.steady_beat();
        network.wait_millis(DEAD / 2);
        // The flush, the fence, and what moves all fields.
        network.doom(2, &[Fate::Arrives, Fate::Arrives, Fate::Late]);
        heir.beat();
        network.arrive_after(others);
        // In pages as small as the server makes them.
        let found = usage(&network, 1);
        assert!(!network.is_ambushed(), "it came before the end");
        let found: u64 = found.values().map(|tally| tally.counts.requests).sum();
        assert_eq!(found, 5 * 200, "after {others} scripts");
    }
}

#[test]
fn without_another_clock_the_time_is_the_servers() {
    let server = server();
    let network = Network::new(&server, START);
    let store = [
        "t:{usage}:store",
        "t:{usage}:owners",
        "t:{usage}:life:x",
        "t:{usage}:own:x:1970-01-01",
    ];
    let run = |source: &str, keys: &[&str], args: &[&str]| -> Value {
        let mut command = cmd("EVAL");
        network.query(command.arg(source).arg(keys.len()).arg(keys).arg(args))
    };
    let flush = [
        SERVER_CLOCK,
        "x",
        "1",
        "0",
        "e",
        "e",
        "1",
        "1970-01-01",
        "10000",
        "100",
        "client|a",
    ];
    let numbers = Packed::default().to_string();
    let flush: Vec<_> = flush.into_iter().chain([numbers.as_str()]).collect();
    let server_seconds = || -> u64 {
        let time: (u64, u64) = network.query(&cmd("TIME"));
        time.0
    };
    let _: u64 = network.query(cmd("HSET").arg(store[0]).arg("epoch").arg("e"));
    let before = server_seconds();
    run(FLUSH.source(), &store, &flush);
    run(ROSTER.source(), &store[..2], &[SERVER_CLOCK]);
    let beat: u64 = network.query(cmd("ZSCORE").arg(store[1]).arg("x"));
    assert!((before..=server_seconds()).contains(&(beat / 1000)));
    let fold = [SERVER_CLOCK, "x", "e", "10000", "0", "100", "100", "", "10"];
    let alive = Value::Array(vec![Value::BulkString(b"alive".to_vec())]);
    assert_eq!(run(FOLD.source(), &store[..3], &fold), alive);
}

#[test]
fn a_server_of_a_cluster_runs_the_scripts() {
    let cluster = wait(Cluster::start(1, &[]));
    let network = Network::new(&cluster.servers[0], START);
    let mut one = Process::new(&network, 1, 500);
    let mut two = Process::new(&network, 2, 500);
    one.begin("a", 1);
    one.steady_beat();
    network.wait_millis(DEAD);
    assert!(two.steady_beat().folded);
    assert!(one.steady_beat().risen);
    assert_eq!(usage(&network, 500), network.counted(1));
}
