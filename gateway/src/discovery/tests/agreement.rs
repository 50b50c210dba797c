//! Replicas that lag, die and disagree, with time stepped by hand.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use proto::Contents;

use super::{
    super::agreement::{Agreement, MEMORY, PATIENCE},
    some, version,
};

const A: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
const B: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2);

/// The credentials that are served, with their keys.
fn served(agreement: &Agreement) -> Vec<(String, String)> {
    let keyring = agreement.served().unwrap().keyring();
    let mut all: Vec<_> = keyring
        .credentials
        .iter()
        .map(|(name, held)| {
            let key = String::from_utf8(held.secret.expose().to_vec()).unwrap();
            (name.name().to_owned(), key)
        })
        .collect();
    all.sort();
    all
}

fn expect(agreement: &Agreement, expected: &[(&str, &str)], why: &str) {
    let served = served(agreement);
    let served: Vec<_> = served.iter().map(|(name, key)| (&**name, &**key)).collect();
    assert_eq!(served, expected, "{why}");
}

/// Both replicas have said `contents`.
fn agreed(contents: &Contents, now: Instant) -> Agreement {
    let mut agreement = Agreement::default();
    assert!(agreement.says(A, contents.clone(), now).is_some());
    assert!(
        agreement.says(B, contents.clone(), now).is_none(),
        "the second is no news"
    );
    agreement
}

#[test]
fn a_replica_that_lags_brings_no_old_key_back() {
    let now = Instant::now();
    let mut agreement = agreed(&some(&[("one", "old-key")]), now);
    agreement.says(A, some(&[("one", "new-key")]), now);
    // It has not seen the key change, but an object that came later.
    let lagging = some(&[("one", "old-key"), ("two", "key-of-two")]);
    agreement.says(B, lagging, now);
    let both = [("one", "new-key"), ("two", "key-of-two")];
    expect(&agreement, &both, "what each has changed is served");
    let latest = some(&both);
    agreement.says(A, latest.clone(), now);
    agreement.says(B, latest.clone(), now);
    expect(&agreement, &both, "both have caught up");
    assert_eq!(
        version(agreement.served().unwrap()),
        version(&latest),
        "under the name that both give it"
    );
}

#[test]
fn a_replica_that_is_stuck_may_come_back_as_often_as_it_likes() {
    let now = Instant::now();
    let old = some(&[("one", "old-key"), ("gone", "key-of-gone")]);
    let mut agreement = agreed(&old, now);
    let new = [("one", "new-key")];
    agreement.says(A, some(&new), now);
    for step in 1..=3 {
        let now = now + PATIENCE * step;
        agreement.leaves(B, now);
        assert!(agreement.says(B, old.clone(), now).is_none());
        assert!(agreement.settle(now).is_none(), "one replica says what is served");
    }
    expect(&agreement, &new, "what it always said is no news");
}

#[test]
fn whoever_was_not_heard_before_is_believed() {
    let now = Instant::now();
    let mut agreement = agreed(&some(&[("one", "first-key")]), now);
    let new = [("two", "second-key")];
    agreement.leaves(B, now);
    let later = now + MEMORY + Duration::from_secs(1);
    agreement.settle(later);
    agreement.says(B, some(&new), later);
    expect(&agreement, &new, "a process that begins has read everything anew");
}

#[test]
fn a_change_that_is_taken_back_is_served() {
    let now = Instant::now();
    let (first, second) = (some(&[("one", "first-key")]), some(&[("one", "second-key")]));
    let mut agreement = agreed(&first, now);
    agreement.says(A, second.clone(), now);
    agreement.says(B, second, now);
    agreement.says(B, first, now);
    expect(
        &agreement,
        &[("one", "first-key")],
        "the replica changed it, so it counts",
    );
}

#[test]
fn what_only_a_dead_replica_said_goes_after_a_while() {
    let now = Instant::now();
    let first = some(&[("one", "key-of-one")]);
    let mut agreement = agreed(&first, now);
    let more = [("one", "key-of-one"), ("two", "key-of-two")];
    agreement.says(B, some(&more), now);
    agreement.leaves(B, now);
    assert!(agreement.settle(now + PATIENCE / 2).is_none());
    expect(&agreement, &more, "the other may not have seen it yet");
    assert!(agreement.settle(now + PATIENCE).is_some());
    expect(
        &agreement,
        &[("one", "key-of-one")],
        "it was deleted while nobody told",
    );
    assert!(agreement.settle(now + PATIENCE * 3).is_none(), "now they agree");
}

#[test]
fn without_operators_nothing_changes() {
    let now = Instant::now();
    let contents = some(&[("one", "key-of-one")]);
    let mut agreement = Agreement::new(Some(contents.clone()));
    for hours in 0..48 {
        assert!(
            agreement
                .settle(now + Duration::from_secs(3600) * hours)
                .is_none()
        );
    }
    assert!(agreement.says(A, contents, now).is_none(), "it is served already");
    agreement.leaves(A, now);
    assert!(agreement.settle(now + PATIENCE * 2).is_none());
    expect(&agreement, &[("one", "key-of-one")], "it is served for ever");
}
