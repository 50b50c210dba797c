//! What is new is served at once.

use std::time::Instant;

use cluster::System;
use harness::eventually;

use crate::trial::SOON;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_credential_is_ready_and_served_within_a_second() {
    let mut system = System::start("creation", "").await;
    system.add_operators(1).await;
    system.add_gateways(2).await;

    let started = Instant::now();
    system.apply(&system.pool(["a"]));
    let applied = started.elapsed();
    for gateway in system.gateways() {
        let client = gateway.client();
        eventually("the credential is served", SOON, || async {
            let answer = client.chat_request("m").attempt_in_time().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }
    let served = started.elapsed();
    let (credential, _) = system.until_condition("credentials/a", "Ready", "True").await;
    let ready = started.elapsed();
    println!("applied after {applied:?}, served by all after {served:?}, Ready after {ready:?}");
    assert!(ready < SOON, "it took {ready:?}");
    assert!(
        credential["status"]["observedSecret"]["name"] == "a-key",
        "{credential:#}"
    );

    for object in ["credential/a", "provider/p", "clientkey/app"] {
        system.wait_for(object, "Ready");
        system.wait_for(object, "Programmed");
    }
    for gateway in system.gateways() {
        let metrics = gateway.metrics().await;
        assert!(metrics.has("roundhouse_credential_in_flight", &[("credential", "a")]));
        let all = "how a credential is for all replicas, the operator tells";
        assert!(!metrics.has("roundhouse_credential_ready", &[]), "{all}");
    }
    let credential = system.object("credentials/a").await;
    assert_eq!(
        credential["status"]["distribution"]["summary"], "2/2",
        "{credential:#}"
    );
    assert!(
        system
            .upstream()
            .seen()
            .iter()
            .all(|seen| seen.credential() == "a")
    );
}
