//! Who is known, for how long, and what is passed on.

use std::{sync::Arc, time::Duration};

use prometheus::Registry;
use proto::{Reported, Versions};
use snapshot::{RestReason, SecretVersion, Timestamp};
use tokio::{
    sync::mpsc,
    time::{advance, timeout},
};

use super::{FORGOTTEN_AFTER, Gateways, REPORTS_MAX};

fn gateways() -> (Gateways, mpsc::Receiver<Reported>, Registry) {
    let registry = Registry::new();
    let (gateways, reports) = Gateways::new(&registry).unwrap();
    (gateways, reports, registry)
}

fn versions(snapshot: &str) -> Arc<Versions> {
    Arc::new(Versions {
        snapshot: snapshot.into(),
        ..Versions::default()
    })
}

/// Each gateway's name, whether it is connected, what it serves, and why it refused.
fn seen(gateways: &Gateways) -> Vec<(String, bool, String, Option<String>)> {
    let line = |it: super::Gateway| {
        (
            it.node,
            it.is_connected,
            it.acked.snapshot.to_string(),
            it.refusal,
        )
    };
    gateways.list().into_iter().map(line).collect()
}

fn line(node: &str, is_connected: bool, acked: &str) -> (String, bool, String, Option<String>) {
    (node.to_owned(), is_connected, acked.to_owned(), None)
}

fn metric(registry: &Registry, line: &str) -> bool {
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    text.lines().any(|it| it == line)
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_remembered_for_ten_minutes_unless_it_says_goodbye() {
    let (gateways, _reports, registry) = gateways();
    let mut changed = gateways.changed();
    let first = gateways.connect("first", versions("")).unwrap();
    let second = gateways.connect("second", versions("v1")).unwrap();
    first.acked(versions("v1"));
    assert_eq!(
        seen(&gateways),
        [line("first", true, "v1"), line("second", true, "v1")]
    );
    assert!(metric(&registry, "roundhouse_operator_gateways_connected 2"));

    // Connected, however long nothing is heard.
    advance(FORGOTTEN_AFTER * 2).await;
    assert_eq!(gateways.list().len(), 2);

    changed.mark_unchanged();
    second.goodbye();
    assert!(changed.has_changed().unwrap());
    assert_eq!(seen(&gateways), [line("first", true, "v1")]);

    first.seen();
    drop(first);
    assert!(metric(&registry, "roundhouse_operator_gateways_connected 0"));
    advance(FORGOTTEN_AFTER * 599 / 600).await;
    assert_eq!(seen(&gateways), [line("first", false, "v1")]);
    changed.mark_unchanged();
    advance(Duration::from_secs(1)).await;
    assert_eq!(seen(&gateways), []);
    let forgetting = timeout(Duration::from_secs(20), gateways.forget()).await;
    assert!(forgetting.is_err());
    assert!(changed.has_changed().unwrap(), "that one is forgotten is told");
}

#[tokio::test(start_paused = true)]
async fn a_newer_stream_replaces_the_older_whose_words_are_void() {
    let (gateways, _reports, _) = gateways();
    let older = gateways.connect("it", versions("v1")).unwrap();
    let newer = gateways.connect("it", versions("v2")).unwrap();
    older.replaced().await;
    older.acked(versions("v0"));
    older.refused("late".to_owned());
    older.goodbye();
    assert_eq!(seen(&gateways), [line("it", true, "v2")]);
    drop(newer);
    assert_eq!(seen(&gateways), [line("it", false, "v2")]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_stays_until_something_is_acknowledged() {
    let (gateways, _reports, registry) = gateways();
    let session = gateways.connect("it", versions("v1")).unwrap();
    session.refused("provider x: no".to_owned());
    assert_eq!(gateways.list()[0].refusal.as_deref(), Some("provider x: no"));
    assert!(metric(&registry, "roundhouse_operator_versions_refused_total 1"));
    session.acked(versions("v2"));
    assert_eq!(seen(&gateways), [line("it", true, "v2")]);
}

fn reported(rests: Option<RestReason>, version: &str, until: Option<u64>) -> Reported {
    Reported {
        credential: "default/a".parse().unwrap(),
        secret_version: SecretVersion(version.into()),
        rests,
        until: until.map(|seconds| Timestamp::from_micros(seconds * 1_000_000)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_passed_on_when_it_says_something_new() {
    use RestReason::{RateLimited, Unauthorized};
    let (gateways, mut reports, registry) = gateways();
    let session = gateways.connect("it", versions("")).unwrap();
    let cases = [
        (reported(Some(RateLimited), "1", Some(60)), true, "the first"),
        (reported(Some(RateLimited), "1", Some(60)), false, "the same"),
        (
            reported(Some(RateLimited), "1", Some(30)),
            false,
            "it ends sooner",
        ),
        (reported(Some(RateLimited), "1", Some(90)), true, "it ends later"),
        (reported(Some(Unauthorized), "1", None), true, "another kind"),
        (reported(Some(Unauthorized), "2", None), true, "of another secret"),
        (
            reported(Some(RateLimited), "1", Some(90)),
            false,
            "still the same",
        ),
        (reported(None, "2", None), true, "it recovered"),
        (reported(None, "2", None), false, "it recovered, again"),
        (
            reported(Some(RateLimited), "1", Some(90)),
            true,
            "and rests again",
        ),
    ];
    for (reported, passes, why) in cases {
        session.report(reported.clone());
        assert_eq!(reports.try_recv().ok(), passes.then_some(reported), "{why}");
    }
    advance(Duration::from_secs(6)).await;
    session.report(reported(Some(RateLimited), "1", Some(90)));
    assert!(reports.try_recv().is_ok(), "it still holds");

    // A flood that nobody takes is bounded, and what was dropped is not held back afterwards.
    for seconds in 0..(REPORTS_MAX as u64 + 5) {
        session.report(reported(Some(RateLimited), "1", Some(1_000 + 10 * seconds)));
    }
    assert!(metric(
        &registry,
        r#"roundhouse_operator_reports_total{outcome="dropped"} 5"#
    ));
    while reports.try_recv().is_ok() {}
    session.report(reported(
        Some(RateLimited),
        "1",
        Some(1_000 + 10 * (REPORTS_MAX as u64 + 4)),
    ));
    assert!(reports.try_recv().is_ok());
}
