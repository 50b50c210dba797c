//! What is new is served at once.

use std::time::{Duration, Instant};

use cluster::System;
use harness::eventually;

/// What a busy machine may take for what is to take a second.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_credential_is_ready_and_served_within_a_second() {
    let mut system = System::start("creation", "").await;
    system.add_operators(1).await;
    system.add_gateways(2).await;

    system.apply(&system.pool(["a"]));
    let started = Instant::now();
    for gateway in system.gateways() {
        let client = gateway.client();
        eventually("the credential is served", SOON, || async {
            let answer = client.chat_request("m").attempt_in_time().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }
    let served = started.elapsed();
    let (credential, _) = system
        .until_condition("credentials/a", "Ready", "True/Ready")
        .await;
    println!(
        "served by all after {served:?}, Ready after {:?}",
        started.elapsed()
    );
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    assert_eq!(
        credential["status"]["distribution"]["summary"], "2/2",
        "{credential}"
    );

    system.wait_for("credential/a", "Ready");
    system.wait_for("credential/a", "Programmed");
    for object in ["provider/p", "clientkey/app"] {
        system.wait_for(object, "Ready");
    }
    assert!(system.upstream().count() >= 2);
    assert!(
        system
            .upstream()
            .seen()
            .iter()
            .all(|seen| seen.credential() == "a")
    );
}
