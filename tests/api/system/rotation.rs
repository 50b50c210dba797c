//! `Programmed` is a proof: what was before it is not used after it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use cluster::Detour;
use harness::{CLIENT_KEY, Certificates, Load, Upstream, credential_key, eventually};

use crate::trial::{PATIENCE, expect_whole_snapshots, last_use, pool_of_two, until_used};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_programmed_no_gateway_uses_the_old_key() {
    let system = pool_of_two("rotation", 3).await;
    let load = Load::start(system.clients(), 100);
    load.until_more(100).await;
    let mut old = "a".to_owned();
    for turn in 0..3 {
        let new = format!("a{turn}");
        let version = system.rotate("a", &credential_key(&new));
        let changed = Instant::now();
        system.wait_for_secret("a", &version);
        let programmed = Instant::now();
        until_used(&system, &new, programmed).await;
        load.until_more(50).await;
        let credential = system.object("credentials/a").await;
        assert_eq!(
            credential["status"]["distribution"]["summary"], "3/3",
            "{credential:#}"
        );
        assert_eq!(credential["status"]["observedSecret"]["resourceVersion"], version);
        println!(
            "the old key was used until {:?} after it was changed; told as programmed after {:?}",
            last_use(&system, &old).saturating_duration_since(changed),
            programmed - changed
        );
        assert!(
            last_use(&system, &old) < programmed,
            "{old} was used after {new} was programmed"
        );
        old = new;
    }
    load.stop().await.expect_all_served("a key was changed");
    expect_whole_snapshots(&system);
}

/// An upstream that is slow to speak TLS, and a call that waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_for_its_connection_uses_the_new_key() {
    let system = pool_of_two("waiting", 1).await;
    let name = "slow.waiting.svc";
    let certificates = Certificates::for_name(name);
    let upstream = Upstream::start_tls(&certificates).await;
    let address = SocketAddr::new(system.service("slow"), 8443);
    let way = Detour::new(address, upstream.address()).await;
    let pem = certificates.authority().replace('\n', "\\n");
    system.apply_yaml(&format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: slow-ca}}
data: {{ca.crt: "{pem}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: slow-key}}
stringData: {{api-key: {old}}}
---
apiVersion: roundhouse.dev/v1alpha1
kind: Provider
metadata: {{name: slow}}
spec:
  dialect: OpenAI
  service: {{name: slow, port: 8443, scheme: HTTPS}}
  tls: {{caRef: {{kind: ConfigMap, name: slow-ca, key: ca.crt}}}}
  timeouts: {{connect: 60s}}
  models: [{{name: slow-m}}]
---
apiVersion: roundhouse.dev/v1alpha1
kind: Credential
metadata: {{name: slow}}
spec: {{providerRef: {{name: slow}}, apiKey: {{secretRef: {{name: slow-key, key: api-key}}}}}}
"#,
        old = credential_key("old"),
    ));
    system
        .until_condition("credentials/slow", "ResolvedRefs", "True")
        .await;
    system.wait_for("credential/slow", "Programmed");
    let gateway = system.gateway(0);
    gateway.client().chat("slow-m").await.expect(200);
    assert_eq!(upstream.last().credential(), "old");

    // No connection that is kept has room for more than one call.
    way.close();
    tokio::time::sleep(Duration::from_millis(100)).await;
    way.swallow();
    let calls: Vec<_> = (0..4)
        .map(|_| tokio::spawn(gateway.client_with(CLIENT_KEY).chat_request("slow-m").send()))
        .collect();
    let under_way = ("roundhouse_credential_in_flight", [("credential", "slow")]);
    gateway
        .metrics_when("four calls are under way", |metrics| {
            metrics.is(under_way.0, &under_way.1, 4.0)
        })
        .await;
    // What they wait for is the handshake.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(upstream.count(), 1);

    let version = system.rotate("slow", &credential_key("new"));
    system.wait_for_secret("slow", &version);
    way.open();
    for call in calls {
        call.await.expect("the call does not panic").expect(200);
    }
    let after = upstream.seen().split_off(1);
    assert_eq!(after.len(), 4);
    for seen in after {
        assert_eq!(seen.credential(), "new", "the old key was sent after Programmed");
    }
    eventually("nothing is under way", PATIENCE, || async {
        let metrics = gateway.metrics().await;
        metrics.is(under_way.0, &under_way.1, 0.0).then_some(())
    })
    .await;
}
