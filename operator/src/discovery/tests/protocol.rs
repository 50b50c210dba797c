//! What is said on a stream.

use std::time::Duration;

use proto::{
    Reported,
    discovery::v1::{Ack, StreamRequest, stream_request::Message},
};
use snapshot::RestReason;
use tokio::time::sleep;
use tonic::Code;

use super::{Gateway, Heard, World, contents};

#[tokio::test]
async fn everything_comes_in_chunks_and_then_what_changes() {
    let mut world = World::new().await;
    let large: Vec<(String, String)> = (0..64)
        .map(|index| (format!("c{index:02}"), format!("{index:02}").repeat(50_000)))
        .collect();
    let mut keys: Vec<(&str, &str)> = large.iter().map(|(name, key)| (&**name, &**key)).collect();
    let first = contents(&keys);
    world.publish(&first);
    let mut gateway = Gateway::subscribe(&world, None).await;
    assert_eq!(gateway.next().await, first);
    let chunks = gateway.heard.iter().filter(|it| **it == Heard::Chunk).count();
    assert!(chunks > 10, "{chunks}");
    assert_eq!(
        world.gateways.list()[0].acked.snapshot.as_ref(),
        "",
        "it is not acknowledged"
    );

    // What changes before the answer comes in one step after it.
    gateway.heard.clear();
    keys[0].1 = "a-new-key";
    world.publish(&contents(&keys));
    keys.truncate(60);
    let second = contents(&keys);
    world.publish(&second);
    gateway.ack(&first).await;
    assert_eq!(gateway.next().await, second);
    assert_eq!(gateway.heard, [Heard::Delta]);
    gateway.ack(&second).await;
    world
        .until("it is acknowledged", |list| {
            list[0].acked == *second.versions() && list[0].node == "pod-1"
        })
        .await;

    let reported = Reported {
        credential: "default/c00".parse().unwrap(),
        secret_version: second.keyring().credentials[&"default/c00".parse().unwrap()]
            .version
            .clone(),
        rests: Some(RestReason::Unauthorized),
        until: None,
    };
    let unknown = Reported {
        credential: "default/c63".parse().unwrap(),
        ..reported.clone()
    };
    for report in [&unknown, &reported] {
        gateway.say(Message::Report(report.into())).await;
    }
    assert_eq!(world.reports.recv().await, Some(reported));
    assert_eq!(
        world.metric(r#"roundhouse_operator_reports_total{outcome="unknown"}"#),
        1
    );

    // Of a newer build.
    gateway.to.send(StreamRequest { message: None }).await.unwrap();
    gateway.say(Message::Goodbye(())).await;
    gateway.end().await.unwrap();
    world.until("it is forgotten", <[_]>::is_empty).await;
}

#[tokio::test]
async fn nothing_is_said_before_something_is_published_but_that_the_operator_is_there() {
    let world = World::with(|settings, _| settings.mark_every = Duration::from_millis(50)).await;
    let had = contents(&[("a", "one")]);
    let mut gateway = Gateway::subscribe(&world, Some(&had)).await;
    for _ in 0..3 {
        assert_eq!(gateway.mark().await, "");
    }
    let now = contents(&[("a", "one"), ("b", "two")]);
    world.publish(&now);
    assert_eq!(gateway.next().await, now);
    assert_eq!(gateway.heard, [Heard::Delta]);
}

#[tokio::test]
async fn a_gateway_that_has_everything_is_sent_nothing() {
    let world = World::with(|settings, _| settings.mark_every = Duration::from_millis(50)).await;
    let now = contents(&[("a", "one")]);
    world.publish(&now);
    let mut gateway = Gateway::subscribe(&world, Some(&now)).await;
    assert_eq!(gateway.mark().await, now.versions().snapshot.as_ref());
    world
        .until("what it has counts", |list| list[0].acked == *now.versions())
        .await;
    // The same again, as when only the status of an object changed.
    world.publish(&now);
    for _ in 0..3 {
        assert_eq!(gateway.mark().await, now.versions().snapshot.as_ref());
    }
}

#[tokio::test]
async fn a_refused_change_is_followed_by_everything_and_that_only_once() {
    let world = World::with(|settings, _| settings.mark_every = Duration::from_millis(50)).await;
    let had = contents(&[("a", "one")]);
    let now = contents(&[("a", "two")]);
    let version = now.versions().snapshot.to_string();
    world.publish(&now);
    let mut gateway = Gateway::subscribe(&world, Some(&had)).await;
    assert_eq!(gateway.next().await, now);
    gateway.nack(&version, "credential default/a: no\n").await;
    gateway.next().await;
    assert_eq!(
        gateway.heard,
        [Heard::Delta, Heard::Begin, Heard::Chunk, Heard::End]
    );
    world
        .until("the refusal is known", |list| {
            list[0].refusal.as_deref() == Some("credential default/a: no") && list[0].acked == *had.versions()
        })
        .await;
    gateway.nack(&version, "still no").await;
    for _ in 0..3 {
        assert_eq!(gateway.mark().await, version, "it is not sent again");
    }
    assert_eq!(world.metric("roundhouse_operator_versions_refused_total"), 2);

    // An answer to nothing is nothing.
    gateway
        .say(Message::Ack(Ack {
            version: "of long ago".to_owned(),
        }))
        .await;
    let good = contents(&[("a", "three")]);
    world.publish(&good);
    assert_eq!(gateway.next().await, good);
    gateway.ack(&good).await;
    world
        .until("the refusal is over", |list| list[0].refusal.is_none())
        .await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let world = World::new().await;
    world.publish(&contents(&[("a", "one")]));
    let bearer = format!("Bearer {}", world.token(Duration::from_millis(1_500)));
    let mut gateway = Gateway::open(&world, Some(&bearer)).await.unwrap();
    gateway.has(None).await;
    let served = gateway.next().await;
    gateway.ack(&served).await;
    let status = gateway.end().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    world
        .until("it is remembered", |list| !list[0].is_connected)
        .await;
}

#[tokio::test]
async fn a_newer_stream_takes_the_place_of_the_older() {
    let world = World::new().await;
    let now = contents(&[("a", "one")]);
    world.publish(&now);
    let mut older = Gateway::subscribe(&world, Some(&now)).await;
    world.until("it is there", |list| list.len() == 1).await;
    let newer = Gateway::subscribe(&world, Some(&now)).await;
    assert_eq!(older.end().await.unwrap_err().code(), Code::Aborted);
    newer.ack(&now).await;
    world
        .until("the newer one counts", |list| {
            list.len() == 1 && list[0].is_connected
        })
        .await;
    drop(newer);
    world.until("it left", |list| !list[0].is_connected).await;
}

#[tokio::test]
async fn a_gateway_that_does_not_read_is_cut_off() {
    let world = World::with(|settings, _| settings.stall = Duration::from_millis(300)).await;
    let key = "x".repeat(300_000);
    let names: Vec<String> = (0..24).map(|index| format!("c{index:02}")).collect();
    let keys: Vec<_> = names.iter().map(|name| (&**name, &*key)).collect();
    world.publish(&contents(&keys));
    let mut gateway = Gateway::subscribe(&world, None).await;
    world.until("it is there", |list| list.len() == 1).await;
    world.until("it is cut", |list| !list[0].is_connected).await;
    sleep(Duration::from_millis(1_500)).await;
    let mut messages = 0;
    loop {
        match gateway.message().await {
            Ok(Some(_)) => messages += 1,
            Ok(None) => panic!("that is not everything"),
            Err(_) => break,
        }
    }
    assert!(messages < 4, "{messages} messages were made for nobody");
}

#[tokio::test]
async fn a_version_that_is_never_answered_ends_the_stream() {
    let world = World::with(|settings, _| settings.answer = Duration::from_millis(300)).await;
    world.publish(&contents(&[("a", "one")]));
    let mut gateway = Gateway::subscribe(&world, None).await;
    gateway.next().await;
    assert_eq!(gateway.end().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_stream_begins_with_what_the_gateway_has() {
    let world = World::with(|settings, _| settings.first_message = Duration::from_millis(300)).await;
    let bearer = format!("Bearer {}", world.token(Duration::from_secs(1_000)));
    let mut silent = Gateway::open(&world, Some(&bearer)).await.unwrap();
    assert_eq!(silent.end().await.unwrap_err().code(), Code::InvalidArgument);
    let mut other = Gateway::open(&world, Some(&bearer)).await.unwrap();
    other.say(Message::Goodbye(())).await;
    assert_eq!(other.end().await.unwrap_err().code(), Code::InvalidArgument);
    let mut twice = Gateway::subscribe(&world, None).await;
    twice.has(None).await;
    assert_eq!(twice.end().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn streams_are_told_when_the_replica_ends() {
    let world = World::new().await;
    let now = contents(&[("a", "one")]);
    world.publish(&now);
    let mut gateway = Gateway::subscribe(&world, Some(&now)).await;
    world.until("it is there", |list| list.len() == 1).await;
    world.shutdown.cancel();
    assert_eq!(gateway.end().await.unwrap_err().code(), Code::Unavailable);
    world.ended().await;
}
