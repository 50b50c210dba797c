//! Processes that die, pause and leave, and stores that forget.

use std::time::Duration;

use ::redis::{Cmd, cmd};

use super::{
    network::{Fate, Network},
    process::{End, Process, usage},
    server,
};
use crate::{
    TokenCounts,
    redis::ledger::fold::GRAVE_SECONDS,
    testing::START,
    usage::{Counts, Day, Tally},
};

const PAGE: usize = 500;
const DEAD: u64 = 11_000;
const USAGE: TokenCounts = TokenCounts {
    input: 100,
    cached: 0,
    cache_write: 0,
    output: 20,
    reasoning: 0,
};

/// What the store says of the client `a` today.
fn client(network: &Network) -> Tally {
    let key = (Day::of(network.now()).to_string(), "client|ns/a".to_owned());
    usage(network, PAGE).get(&key).copied().unwrap_or_default()
}

fn tally(requests: u64, ended: u64, estimated: u64, open: u64) -> Tally {
    Tally {
        counts: Counts {
            requests,
            tokens: TokenCounts {
                input: 100 * ended,
                output: 20 * ended,
                ..TokenCounts::default()
            },
            estimated_requests: estimated,
            estimated_tokens: 50 * estimated,
        },
        open,
        reserved: 50 * open,
    }
}

fn keys(network: &Network) -> Vec<String> {
    let mut keys: Vec<String> = network.query(cmd("KEYS").arg("*"));
    keys.sort();
    keys
}

/// A copy of the whole store.
fn copy(network: &Network) -> Vec<(String, Vec<u8>)> {
    let dump = |key: String| {
        let value = network.query(cmd("DUMP").arg(&key));
        (key, value)
    };
    keys(network).into_iter().map(dump).collect()
}

/// A server with that copy becomes the store, as when a replica takes over that lags behind.
fn fail_over_to(network: &Network, copy: &[(String, Vec<u8>)]) {
    network.query::<()>(&cmd("FLUSHALL"));
    for (key, value) in copy {
        let restore: &mut Cmd = &mut cmd("RESTORE");
        network.query::<()>(restore.arg(key).arg(0).arg(value));
    }
}

#[test]
fn numbers_of_processes_add_up_and_a_flush_is_repeated_at_will() {
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, PAGE);
    let mut two = Process::new(&network, 2, PAGE);
    one.begin("a", 50);
    two.begin("a", 50);
    two.end_all(End::Known(USAGE));
    network.doom(1, &[Fate::Arrives, Fate::Doubled]);
    assert!(one.beat().unwrap().is_err(), "the answer is lost");
    assert_eq!(one.steady_beat().written, 5, "so all is written again");
    assert_eq!(one.steady_beat().written, 0);
    two.steady_beat();
    assert_eq!(client(&network), tally(2, 1, 0, 1));
    one.end_all(End::Known(USAGE));
    one.steady_beat();
    network.arrive(0);
    assert_eq!(
        client(&network),
        tally(2, 2, 0, 0),
        "what is late changes nothing"
    );
}

#[test]
fn a_killed_process_leaves_estimates_for_what_was_open() {
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, PAGE);
    let mut two = Process::new(&network, 2, PAGE);
    one.begin("a", 50);
    one.end_all(End::Known(USAGE));
    one.begin("a", 50);
    one.steady_beat();
    one.begin("a", 50);
    drop(one);
    two.steady_beat();
    assert_eq!(client(&network), tally(2, 1, 0, 1));
    network.wait_millis(DEAD);
    assert!(two.steady_beat().folded);
    assert_eq!(
        client(&network),
        tally(2, 1, 1, 0),
        "what nobody was told of is lost"
    );
    network.wait_millis(DEAD);
    assert!(!two.steady_beat().folded, "once is enough");
    assert_eq!(client(&network), tally(2, 1, 1, 0));
}

#[test]
fn a_paused_process_goes_on_where_it_was() {
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, PAGE);
    let mut two = Process::new(&network, 2, PAGE);
    one.begin("a", 50);
    one.steady_beat();
    for life in 1..=3 {
        one.begin("a", 50);
        network.wait_millis(2 * DEAD);
        two.steady_beat();
        assert_eq!(
            client(&network),
            tally(life, 0, life, 0),
            "its calls are taken for lost"
        );
        let beat = one.steady_beat();
        assert!(beat.risen && !beat.restored, "{beat:?}");
        assert_eq!(
            client(&network),
            tally(life + 1, 0, 0, life + 1),
            "but they are not"
        );
    }
    one.end_all(End::Known(USAGE));
    one.steady_beat();
    assert_eq!(client(&network), tally(4, 4, 0, 0));
}

#[test]
fn a_process_that_was_paused_longer_than_graves_are_kept_counts_nothing_twice() {
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, PAGE);
    let mut two = Process::new(&network, 2, PAGE);
    one.begin("a", 50);
    one.end_all(End::Known(USAGE));
    one.begin("a", 50);
    one.steady_beat();
    let day = Day::of(network.now());
    network.wait_millis(DEAD);
    two.steady_beat();
    network.wait_millis(GRAVE_SECONDS * 1000);
    let owner = format!("{:032x}-0", 1);
    let ttl: u64 = network.query(cmd("TTL").arg(format!("test:{{usage}}:life:{owner}")));
    assert!(ttl > GRAVE_SECONDS - 60 && ttl <= GRAVE_SECONDS);
    for grave in [format!("life:{owner}"), format!("grave:{owner}:{day}")] {
        let removed: u64 = network.query(cmd("DEL").arg(format!("test:{{usage}}:{grave}")));
        assert_eq!(removed, 1, "{grave}");
    }
    two.steady_beat();
    one.steady_beat();
    one.end_all(End::Known(USAGE));
    one.steady_beat();
    let base: String = network.query(
        cmd("HGET")
            .arg(format!("test:{{usage}}:base:{day}"))
            .arg("client|ns/a"),
    );
    assert_eq!(base, "2 100 0 0 20 0 1 50 0 0");
    let own = format!("test:{{usage}}:own:{:032x}-1:{day}", 1);
    let own: String = network.query(cmd("HGET").arg(own).arg("client|ns/a"));
    assert_eq!(own, "0 100 0 0 20 0 -1 -50 0 0");
}

#[test]
fn who_leaves_leaves_no_owner_behind() {
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, 2);
    one.begin("a", 50);
    one.end_all(End::Known(USAGE));
    one.begin("a", 50);
    one.goodbye().unwrap().unwrap();
    assert_eq!(client(&network), tally(2, 1, 1, 0));
    let owners: usize = network.query(cmd("ZCARD").arg("test:{usage}:owners"));
    assert_eq!(owners, 0);
    let own = keys(&network)
        .into_iter()
        .filter(|key| key.contains(":own:"))
        .count();
    assert_eq!(own, 0);
    for key in keys(&network) {
        let ttl: i64 = network.query(cmd("TTL").arg(&key));
        assert!(ttl > 0, "{key} stays for ever");
    }
}

#[test]
fn an_emptied_store_gets_back_all_that_is_in_memory() {
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, PAGE);
    let mut two = Process::new(&network, 2, PAGE);
    one.begin("a", 50);
    one.end_all(End::Known(USAGE));
    one.steady_beat();
    network.wait_millis(DEAD);
    two.steady_beat();
    assert!(one.steady_beat().risen);
    network.query::<()>(&cmd("FLUSHALL"));
    let beat = one.steady_beat();
    assert!(beat.restored, "{beat:?}");
    assert_eq!(
        client(&network),
        tally(1, 1, 0, 0),
        "also what had been taken over"
    );
    network.wait_millis(1000);
    let beat = one.steady_beat();
    assert!(!beat.restored && beat.written == 0, "{beat:?}");
}

#[test]
fn an_older_copy_of_the_store_gets_what_it_lacks() {
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, PAGE);
    one.begin("a", 50);
    let before = {
        let mut other = Process::new(&network, 2, PAGE);
        other.steady_beat();
        copy(&network)
    };
    one.steady_beat();
    let behind = copy(&network);
    one.end_all(End::Known(USAGE));
    one.steady_beat();
    for (store, why) in [
        (behind, "it has an earlier flush"),
        (before, "it does not know the owner"),
    ] {
        fail_over_to(&network, &store);
        assert_ne!(client(&network), tally(1, 1, 0, 0));
        let beat = one.steady_beat();
        assert!(beat.restored, "{why}: {beat:?}");
        assert_eq!(client(&network), tally(1, 1, 0, 0), "{why}");
    }
}

#[test]
fn a_call_counts_in_its_day_even_if_it_ends_in_the_next() {
    let server = server();
    let network = Network::new(&server, START);
    let mut one = Process::new(&network, 1, PAGE);
    let day = Day::of(START).to_string();
    one.begin("a", 50);
    one.steady_beat();
    let until_midnight = Duration::from_hours(24).as_secs() - START.as_secs() % (24 * 3600);
    network.wait_millis(until_midnight * 1000);
    one.steady_beat();
    assert_eq!(one.days(), std::slice::from_ref(&day), "a call is open");
    one.begin("a", 50);
    one.end_all(End::Known(USAGE));
    one.steady_beat();
    assert_eq!(
        one.days(),
        [Day::of(network.now()).to_string()],
        "all is told and over"
    );
    let found = usage(&network, PAGE);
    assert_eq!(found[&(day, "client|ns/a".to_owned())], tally(1, 1, 0, 0));
    assert_eq!(client(&network), tally(1, 1, 0, 0));
}
