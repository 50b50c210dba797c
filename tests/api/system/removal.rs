//! A key that is taken away is not used any more, and nobody notices.

use std::time::{Duration, Instant};

use harness::{Load, eventually};
use serde_json::Value;

use crate::trial::{PATIENCE, SOON, last_use, pool_of_two};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_secret_is_not_used_within_a_second_and_no_call_fails() {
    let system = pool_of_two("removal", 2).await;
    let load = Load::start(system.clients(), 200);
    load.until_more(200).await;

    system.kubectl(&["delete", "secret", "a-key"]);
    let deleted = Instant::now();
    let (_, told) = system
        .until_condition("credentials/a", "Ready", "False/SecretMissing")
        .await;
    load.until_more(300).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tally = load.stop().await;
    let last = last_use(&system, "a").saturating_duration_since(deleted);
    println!(
        "{} calls; the last one with the key {last:?} after the Secret was gone, the condition after {told:?}",
        tally.calls()
    );
    tally.expect_all_served("a Secret was deleted");
    assert!(last < SOON && told < SOON, "{last:?}, {told:?}");
    assert!(last_use(&system, "b") > deleted + last);

    let warnings = || async {
        let mut events = system.events("Credential", "a").await;
        events.retain(|event| event["reason"] == "SecretMissing");
        events
    };
    let is_told = || async { Some(warnings().await).filter(|events| !events.is_empty()) };
    let events = eventually("an Event says so", PATIENCE, is_told).await;
    let [event] = &events[..] else {
        panic!("one Event says it all: {events:#?}");
    };
    assert_eq!(event["type"], "Warning", "{event:#}");
    assert_eq!(event["series"], Value::Null, "it is told once: {event:#}");
    let note = event["note"].as_str().unwrap_or_default();
    assert!(note.contains("a-key"), "{event:#}");
}
