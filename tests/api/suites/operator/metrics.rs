//! What is told of Credentials in metrics, by whom.

use std::time::Duration;

use cluster::{ApiServer, Operator, OperatorLaunch};
use harness::{Metrics, eventually};

use super::{CANARY, PROVIDER, credential, secret};

const READY: &str = "roundhouse_credential_ready";
const PATIENCE: Duration = Duration::from_secs(60);

/// What an operator tells of Credentials, once it is as expected.
async fn told(operator: &Operator, what: &str, good: impl Fn(&Metrics) -> bool) {
    eventually(what, PATIENCE, || async {
        let metrics = operator.metrics().await;
        good(&metrics).then_some(())
    })
    .await;
}

fn tells(metrics: &Metrics, name: &str) -> bool {
    metrics.has(READY, &[("namespace", "op-gauges"), ("credential", name)])
}

#[tokio::test]
async fn the_leader_tells_what_credentials_are_like_and_nobody_else() {
    let server = ApiServer::shared();
    let namespace = "op-gauges";
    server.namespace(namespace);
    server.apply(
        namespace,
        &[
            PROVIDER,
            &credential("good"),
            &secret("good", CANARY),
            &credential("bad"),
        ]
        .concat(),
    );
    let mut leader = OperatorLaunch::new(server, namespace).ready().await;
    let both = |metrics: &Metrics| {
        let ready = |name| metrics.sum(READY, &[("namespace", namespace), ("credential", name)]);
        tells(metrics, "bad") && ready("bad") < 0.5 && ready("good") > 0.5
    };
    told(&leader, "one is usable and one is not", both).await;
    let standby = OperatorLaunch::new(server, namespace).ready().await;
    standby.says("Credential op-gauges/good ResolvedRefs=True").await;
    // A leader would have looked at everything by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let metrics = standby.metrics().await;
    assert!(
        !metrics.text().contains("roundhouse_credential_"),
        "{}",
        metrics.text()
    );

    server.kubectl(&["delete", "credential", "good", "--namespace", namespace]);
    told(&leader, "what is gone is not told", |metrics| {
        !tells(metrics, "good") && tells(metrics, "bad")
    })
    .await;
    assert!(leader.terminate().await.success(), "it was asked to end");
    told(&standby, "the next leader tells it", |metrics| {
        tells(metrics, "bad")
    })
    .await;
}
