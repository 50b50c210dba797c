//! Both ends of a stream.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*, sample::Index};
use proto::{
    Announcer, Contents, Follower, MESSAGE_LIMIT, Refused, Versions,
    discovery::v1::{self, stream_response::Message},
};
use snapshot::{Keyring, Secret, Snapshot};

use crate::any;

fn served(value: &str, version: &str) -> Contents {
    served_all([("default/first", value)], version)
}

fn served_all<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>, version: &str) -> Contents {
    let mut keyring = Keyring::default();
    for (name, value) in secrets {
        keyring
            .credentials
            .insert(name.parse().unwrap(), any::secret(value));
    }
    let snapshot = Snapshot {
        version: version.to_owned(),
        ..Snapshot::default()
    };
    Contents::new(Arc::new(snapshot), Arc::new(keyring), Secret::new("installation"))
}

/// Sends an update, lets the gateway answer, and tells what it serves.
fn exchange(announcer: &mut Announcer, follower: &mut Follower, contents: &Contents) -> Option<Contents> {
    for message in announcer.update(contents)? {
        match follower.accept(message) {
            Ok(None) => {}
            Ok(Some(served)) => assert!(announcer.ack(&served.versions().snapshot), "it answers"),
            Err(refusal) => {
                assert!(announcer.nack(&refusal.version), "it answers: {refusal:?}");
            }
        }
    }
    follower.contents().cloned()
}

#[derive(Clone, Debug)]
enum Step {
    Change(Index),
    Mark,
    /// The stream ends and another begins with what the gateway has.
    Reconnect,
    /// The gateway begins with nothing.
    Restart,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_gateway_comes_to_serve_every_version(
        versions in vec(any::contents(), 1..4),
        steps in vec(
            prop_oneof![
                4 => any::<Index>().prop_map(Step::Change),
                1 => Just(Step::Mark),
                1 => Just(Step::Reconnect),
                1 => Just(Step::Restart),
            ],
            1..12,
        ),
    ) {
        let (mut announcer, mut follower) = (Announcer::new(Versions::default()), Follower::new(None));
        for step in steps {
            match step {
                Step::Change(index) => {
                    let contents = index.get(&versions);
                    let served = exchange(&mut announcer, &mut follower, contents);
                    prop_assert_eq!(served.as_ref().or(follower.contents()), Some(contents));
                }
                Step::Mark => prop_assert_eq!(follower.accept(announcer.mark("v")), Ok(None)),
                Step::Reconnect => {
                    let contents = follower.contents().cloned();
                    let told = contents.as_ref().map_or_else(v1::Subscribe::default, |it| it.versions().subscribe("node"));
                    announcer = Announcer::new(told.try_into().unwrap());
                    follower = Follower::new(contents);
                }
                Step::Restart => {
                    announcer = Announcer::new(Versions::default());
                    follower = Follower::new(None);
                }
            }
        }
    }
}

fn kind(message: &v1::StreamResponse) -> &'static str {
    match message.message.as_ref().unwrap() {
        Message::Begin(_) => "begin",
        Message::Chunk(_) => "chunk",
        Message::End(_) => "end",
        Message::Delta(_) => "delta",
        Message::Mark(_) => "mark",
    }
}

fn kinds(update: Option<proto::Update>) -> Vec<&'static str> {
    update
        .into_iter()
        .flatten()
        .map(|message| kind(&message))
        .collect()
}

#[test]
fn what_is_known_is_not_sent_again() {
    let contents = served("one", "v1");
    let mut announcer = Announcer::new((**contents.versions()).clone());
    assert!(announcer.update(&contents).is_none(), "the gateway serves it");
    assert_eq!(kinds(announcer.update(&served("two", "v2"))), ["delta"]);
}

#[test]
fn one_version_is_under_way_at_a_time() {
    let mut announcer = Announcer::new(Versions::default());
    assert_eq!(
        kinds(announcer.update(&served("one", "v1"))),
        ["begin", "chunk", "end"]
    );
    assert!(
        announcer.update(&served("two", "v2")).is_none(),
        "the first is not answered"
    );
    assert!(!announcer.ack("v2"), "this was never told");
    assert!(announcer.ack("v1"));
    assert_eq!(kinds(announcer.update(&served("three", "v3"))), ["delta"]);
}

#[test]
fn a_large_change_comes_in_chunks() {
    let value = "k".repeat(MESSAGE_LIMIT / 3);
    let names: Vec<_> = (0..8).map(|index| format!("default/c{index}")).collect();
    let large = served_all(names.iter().map(|name| (&**name, &*value)), "v2");
    let mut announcer = Announcer::new((**served("one", "v1").versions()).clone());
    let kinds = kinds(announcer.update(&large));
    assert_eq!(kinds.first(), Some(&"begin"));
    assert!(kinds.len() > 4, "{kinds:?}");
}

#[test]
fn a_refused_delta_is_followed_by_the_whole_once() {
    let (first, second, third) = (served("one", "v1"), served("two", "v2"), served("three", "v3"));
    let mut announcer = Announcer::new((**first.versions()).clone());
    assert_eq!(kinds(announcer.update(&second)), ["delta"]);
    assert!(announcer.nack("v2"));
    assert_eq!(kinds(announcer.update(&second)), ["begin", "chunk", "end"]);
    assert!(announcer.nack("v2"));
    assert!(announcer.update(&second).is_none(), "it was refused as a whole");
    assert_eq!(kinds(announcer.update(&third)), ["begin", "chunk", "end"]);
    assert!(announcer.ack("v3"));
    assert_eq!(kinds(announcer.update(&first)), ["delta"]);
}

#[test]
fn a_refusal_of_no_version_is_of_the_last() {
    let (first, second) = (served("one", "v1"), served("two", "v2"));
    let mut announcer = Announcer::new((**first.versions()).clone());
    assert!(!announcer.nack(""), "nothing was told");
    assert_eq!(kinds(announcer.update(&second)), ["delta"]);
    assert!(announcer.nack(""));
    assert_eq!(kinds(announcer.update(&second)), ["begin", "chunk", "end"]);
}

#[test]
fn a_gateway_that_had_less_than_it_said_recovers() {
    let (first, second) = (served("one", "v1"), served("two", "v2"));
    let mut announcer = Announcer::new((**first.versions()).clone());
    let mut follower = Follower::new(Some(served_all([], "v1")));
    let before = follower.contents().cloned();
    let third = served_all([("default/first", "one"), ("default/other", "two")], "v2");
    assert_eq!(
        exchange(&mut announcer, &mut follower, &third),
        before,
        "the digest does not fit"
    );
    assert_eq!(exchange(&mut announcer, &mut follower, &third), Some(third));
    assert_eq!(exchange(&mut announcer, &mut follower, &second), Some(second));
}

#[test]
fn what_does_not_follow_is_refused_and_the_last_good_stays() {
    let (first, second) = (served("one", "v1"), served("two", "v2"));
    let delta = |sequence| v1::StreamResponse {
        message: Some(Message::Delta(proto::diff(first.versions(), &second, sequence))),
    };
    let mut follower = Follower::new(Some(first.clone()));
    let refusal = follower.accept(delta(2)).unwrap_err();
    assert_eq!(refusal.version, "v2");
    assert_eq!(
        refusal.refused,
        Refused::Sequence {
            expected: 1,
            found: 2
        }
    );
    assert_eq!(
        v1::Nack::from(refusal).reason,
        "expected sequence number 1, found 2"
    );
    assert_eq!(follower.contents(), Some(&first));
    assert_eq!(follower.accept(delta(1)), Ok(Some(second.clone())));

    let mut fresh = Follower::new(None);
    let refused = Refused::Base {
        expected: String::new(),
        found: "v1".to_owned(),
    };
    assert_eq!(fresh.accept(delta(1)).unwrap_err().refused, refused);
    let unknown = fresh.accept(v1::StreamResponse::default()).unwrap_err();
    assert_eq!(unknown.refused, Refused::UnknownMessage);
}

#[test]
fn the_rest_of_a_refused_transfer_is_passed_over() {
    let contents = served_all([("default/a", "one"), ("default/b", "two")], "v1");
    let mut messages: Vec<_> = proto::chunks(&contents, 0).collect();
    assert_eq!(messages.len(), 5);
    messages.remove(1);
    let mut follower = Follower::new(None);
    let answers: Vec<_> = messages
        .into_iter()
        .map(|message| follower.accept(message).is_err())
        .collect();
    assert_eq!(answers, [false, true, false, false], "a version is refused once");
    // What comes next is taken.
    let again: Vec<_> = proto::chunks(&contents, 0)
        .map(|message| follower.accept(message))
        .collect();
    assert_eq!(again.last(), Some(&Ok(Some(contents))));
}
