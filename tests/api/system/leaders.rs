//! Two operators that both believe that they lead.

use std::time::Instant;

use harness::{Load, credential_key, eventually};

use crate::trial::{PATIENCE, expect_whole_snapshots, last_use, pool_of_two, until_operators_are_back};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_believe_that_they_lead_harm_nobody() {
    let mut system = pool_of_two("two-leaders", 2).await;
    let load = Load::start(system.clients(), 50);
    load.until_more(50).await;
    let leads = async |operator: usize| {
        let metrics = system.operator(operator).metrics().await;
        metrics.is("roundhouse_operator_leader", &[], 1.0)
    };
    assert!(leads(0).await && !leads(1).await, "the first one leads");

    // It stops, knows nothing of the time that passes, and goes on as if it led.
    system.operator(0).pause();
    eventually("the other one leads", PATIENCE, || async {
        leads(1).await.then_some(())
    })
    .await;
    let version = system.rotate("a", &credential_key("a2"));
    system.operator(0).resume();
    system.wait_for_secret("a", &version);
    let programmed = Instant::now();
    let credential = system.object("credentials/a").await;
    assert_eq!(
        credential["status"]["distribution"]["summary"], "2/2",
        "{credential:#}"
    );
    // What it had to say when it was stopped is not believed again.
    load.until_more(200).await;
    assert!(last_use(&system, "a") < programmed && last_use(&system, "a2") > programmed);

    eventually("the one that has lost knows it", PATIENCE, || async {
        let log = system.operator(0).log();
        (log.contains("the Lease is held by") || log.contains("could not be renewed")).then_some(())
    })
    .await;
    until_operators_are_back(&mut system).await;
    let version = system.rotate("b", &credential_key("b2"));
    system.wait_for_secret("b", &version);
    load.stop().await.expect_all_served("two believed that they lead");
    expect_whole_snapshots(&system);
}
