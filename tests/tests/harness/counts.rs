//! What the upstream counts, and what a load tells.

use std::time::Duration;

use harness::{Client, Gate, Load, Reply, Upstream, When, credential_key};
use serde_json::json;
use tokio::task::JoinSet;

fn client(upstream: &Upstream, name: &str) -> Client {
    Client::new(upstream.address()).bearer(&credential_key(name))
}

#[tokio::test]
async fn requests_at_the_same_time_are_told_from_those_one_after_another() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.times(
        3,
        When::credential("a"),
        Reply::json(200, json!({})).behind(&gate),
    );
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let client = client(&upstream, "a");
        calls.spawn(async move { client.chat("m").await });
    }
    upstream.until_seen(3).await;
    for _ in 0..4 {
        client(&upstream, "b").chat("m").await.expect(200);
    }
    gate.open();
    calls.join_all().await;
    for _ in 0..4 {
        client(&upstream, "a").chat("m").await.expect(200);
    }
    let most = upstream.most_at_once();
    assert_eq!((most["a"], most["b"]), (3, 1));

    upstream.times(2, When::credential("b"), Reply::silence());
    for _ in 0..2 {
        let (client, before) = (client(&upstream, "b"), upstream.count());
        let call = tokio::spawn(async move { client.chat("m").await });
        upstream.until_seen(before + 1).await;
        call.abort();
        upstream.until_gone().await;
    }
    harness::eventually("both are gone", Duration::from_secs(5), || async {
        let gone = upstream.seen().into_iter().filter(|seen| seen.gone);
        (gone.count() == 2).then_some(())
    })
    .await;
    assert_eq!(
        upstream.most_at_once()["b"],
        1,
        "those whose caller left do not count"
    );
}

#[tokio::test]
async fn a_load_calls_everybody_in_turn_and_tells_what_failed() {
    let upstream = Upstream::start().await;
    let clients = vec![client(&upstream, "a"), client(&upstream, "b")];
    let load = Load::start(clients.clone(), 200);
    load.until_more(40).await;
    let tally = load.stop().await;
    tally.expect_all_served("nothing happened");
    let counts = upstream.counts();
    assert_eq!(counts["a"] + counts["b"], tally.calls());
    assert!(counts["a"].abs_diff(counts["b"]) <= 1, "{counts:?}");
    let streams = upstream
        .seen()
        .iter()
        .filter(|seen| seen.json()["stream"] == true)
        .count();
    assert_eq!(
        streams,
        tally.calls() / 8 * 2 + (tally.calls() % 8).saturating_sub(6)
    );

    upstream.once(When::any(), Reply::status(503));
    upstream.once(When::any(), Reply::refuse());
    upstream.once(
        When::any().body("\"stream\":true"),
        Reply::stream().chunk("data: 1\n\n").end(),
    );
    let load = Load::start(clients, 200);
    load.until_more(20).await;
    let tally = load.stop().await;
    assert_eq!((tally.answers[&503], tally.broken), (1, 2));
    let failed = std::panic::catch_unwind(|| tally.expect_all_served("a test"));
    let message = *failed.unwrap_err().downcast::<String>().unwrap();
    for part in ["a test", "status 503", "a stream without an end"] {
        assert!(message.contains(part), "{part:?} in {message}");
    }
}
