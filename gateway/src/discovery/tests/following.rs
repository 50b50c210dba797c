use std::collections::BTreeSet;

use super::{
    eventually,
    gateway::Gateway,
    named,
    operator::{Authority, Heard, Operator},
    some, version,
};
use snapshot::Secret;

#[tokio::test]
async fn what_an_operator_says_is_served_and_acknowledged() {
    let authority = Authority::new();
    let first = some(&[("one", "key-of-one")]);
    let operator = Operator::start(&authority, None).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    operator
        .hears("a subscription", |heard| {
            heard.contains(&Heard::Subscribe {
                version: String::new(),
                objects: 0,
            })
        })
        .await;
    assert!(!gateway.health.state().ready, "nothing is known yet");
    operator.publish(&first);
    operator.acked(&first).await;
    assert_eq!(
        gateway.credentials(),
        ["one"],
        "it was served before it was acknowledged"
    );
    assert_eq!(gateway.app.snapshot().version, version(&first));
    assert!(gateway.health.state().ready);
    assert_eq!(gateway.health.state().detail, "");
    assert_eq!(gateway.connected(), "1");

    let second = some(&[("one", "key-of-one"), ("two", "key-of-two")]);
    operator.publish(&second);
    operator.acked(&second).await;
    assert_eq!(gateway.credentials(), ["one", "two"]);
    operator.publish(&first);
    gateway.serves(&["one"]).await;
    assert_eq!(operator.sent(), ["all", "delta", "delta"]);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_and_the_last_good_version_stays() {
    let authority = Authority::new();
    let good = some(&[("one", "key-of-one")]);
    let operator = Operator::start(&authority, Some(good.clone())).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    operator.acked(&good).await;

    let two = some(&[("one", "key-of-one"), ("two", "key-of-two")]);
    let mut keyring = (**two.keyring()).clone();
    let place = ("default/up".parse().unwrap(), "X-Upper-Case".to_owned());
    keyring.headers.insert(place, Secret::new("canary-value"));
    let bad = named((**two.snapshot()).clone(), keyring);
    operator.publish(&bad);
    let refusals = |heard: &[Heard]| {
        let nacks = heard.iter().filter(|heard| matches!(heard, Heard::Nack(_)));
        nacks.cloned().collect::<Vec<_>>()
    };
    operator
        .hears("a refusal of the change and of all", |heard| {
            refusals(heard).len() == 2
        })
        .await;
    for refusal in refusals(&operator.heard()) {
        let Heard::Nack(nack) = refusal else {
            unreachable!()
        };
        assert_eq!(nack.version, version(&bad));
        assert!(nack.reason.contains("header"), "{}", nack.reason);
        assert!(!nack.reason.contains("canary"), "{}", nack.reason);
    }
    assert_eq!(gateway.credentials(), ["one"]);
    operator.publish(&two);
    operator.acked(&two).await;
    assert_eq!(gateway.credentials(), ["one", "two"]);
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_and_goes_on_where_it_was() {
    let authority = Authority::new();
    let first = some(&[("one", "key-of-one")]);
    let operator = Operator::start(&authority, Some(first.clone())).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    operator.acked(&first).await;
    operator.cut();
    let again = Heard::Subscribe {
        version: version(&first),
        objects: first.versions().objects.len(),
    };
    operator
        .hears("what the gateway has", |heard| heard.contains(&again))
        .await;
    let second = some(&[("two", "key-of-two")]);
    operator.publish(&second);
    operator.acked(&second).await;
    assert_eq!(gateway.credentials(), ["two"]);
    assert_eq!(
        operator.sent(),
        ["all", "delta"],
        "what it had was not sent again"
    );
}

#[tokio::test]
async fn each_replica_is_answered_and_one_is_enough() {
    let authority = Authority::new();
    let first = some(&[("one", "key-of-one")]);
    let a = Operator::start(&authority, Some(first.clone())).await;
    let b = Operator::start(&authority, Some(first.clone())).await;
    let gateway = Gateway::start(&authority, &[&a, &b]);
    eventually("a stream to each", || gateway.connected() == "2").await;
    let second = some(&[("two", "key-of-two")]);
    a.publish(&second);
    a.acked(&second).await;
    b.publish(&second);
    b.acked(&second).await;
    drop(a);
    eventually("the end of a stream", || gateway.connected() == "1").await;
    assert_eq!(gateway.health.state().detail, "", "the other is there");
    let third = some(&[("three", "key-of-three")]);
    b.publish(&third);
    b.acked(&third).await;
    drop(b);
    eventually("the end of all streams", || gateway.connected() == "0").await;
    assert_eq!(gateway.credentials(), ["three"]);
    let state = gateway.health.state();
    assert!(
        state.ready
            && state
                .detail
                .starts_with("degraded: discovery disconnected since "),
        "{state:?}"
    );
    assert_eq!(gateway.app.snapshot().version, version(&third));
}

#[tokio::test]
async fn token_and_authority_are_read_again_at_each_connection() {
    let authority = Authority::new();
    let first = some(&[("one", "key-of-one")]);
    let operator = Operator::start(&authority, Some(first.clone())).await;
    operator.expect_token("first");
    let gateway = Gateway::start(&authority, &[&operator]);
    operator.acked(&first).await;
    std::fs::write(gateway.folder.path().join("token"), "second").unwrap();
    operator.expect_token("second");
    operator.cut();
    let subscriptions = |heard: &[Heard]| {
        let all = heard
            .iter()
            .filter(|heard| matches!(heard, Heard::Subscribe { .. }));
        all.count()
    };
    operator
        .hears("the second token", |heard| subscriptions(heard) == 2)
        .await;

    let other = Authority::new();
    let address = operator.address;
    drop(operator);
    eventually("the end of the stream", || gateway.connected() == "0").await;
    let second = some(&[("two", "key-of-two")]);
    let operator = Operator::start_at(&other, address, Some(second.clone())).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(operator.heard().is_empty(), "an authority that is not trusted");
    std::fs::write(gateway.folder.path().join("ca"), &other.pem).unwrap();
    operator.acked(&second).await;
    assert_eq!(gateway.credentials(), ["two"]);
}

#[tokio::test]
async fn a_gateway_that_ends_says_goodbye() {
    let authority = Authority::new();
    let first = some(&[("one", "key-of-one")]);
    let operator = Operator::start(&authority, Some(first.clone())).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    operator.acked(&first).await;
    gateway.farewell.say().await;
    let heard = operator.heard();
    assert!(heard.ends_with(&[Heard::Goodbye, Heard::End]), "{heard:?}");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(operator.heard(), heard, "it does not come back");
}

#[tokio::test]
async fn replicas_come_and_go_with_the_operators_name() {
    let authority = Authority::new();
    let first = some(&[("one", "key-of-one")]);
    let a = Operator::start(&authority, Some(first.clone())).await;
    let gateway = Gateway::start(&authority, &[&a]);
    a.acked(&first).await;
    let second = some(&[("two", "key-of-two")]);
    let b = Operator::start(&authority, Some(second.clone())).await;
    *gateway.replicas.lock().unwrap() = BTreeSet::from([b.address]);
    b.acked(&second).await;
    assert_eq!(gateway.connected(), "2", "a stream that is open stays open");
    drop(a);
    eventually("the end of the stream", || gateway.connected() == "1").await;
}
