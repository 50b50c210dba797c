//! Many objects at once, and much that is none of the operator's business.

use cluster::{ApiServer, OperatorLaunch, make};
use serde_json::json;

use super::{CANARY, PROVIDER, credential, secret};

#[tokio::test]
async fn a_thousand_credentials_are_compiled_a_few_times_and_fit_into_memory() {
    let server = ApiServer::shared();
    let namespace = "op-thousand";
    server.namespace(namespace);
    server.apply(namespace, PROVIDER);
    let operator = OperatorLaunch::new(server, namespace).ready().await;
    let client = server.client().await;
    let secrets = (0..1000).map(|number| {
        json!({"metadata": {"name": format!("c{number}")}, "stringData": {"api-key": format!("{CANARY}-{number}")}})
    });
    make(&client, "/api/v1/namespaces/op-thousand/secrets", secrets).await;
    let before = operator
        .metrics()
        .await
        .sum("roundhouse_operator_reconciles_total", &[]);
    let credentials = (0..1000).map(|number| {
        let name = format!("c{number}");
        json!({
            "apiVersion": "roundhouse.dev/v1alpha1",
            "kind": "Credential",
            "metadata": {"name": name},
            "spec": {"providerRef": {"name": "up"}, "apiKey": {"secretRef": {"name": name}}},
        })
    });
    let path = "/apis/roundhouse.dev/v1alpha1/namespaces/op-thousand/credentials";
    make(&client, path, credentials).await;
    operator
        .until_conditions("all are resolved", |conditions| {
            conditions.matches("ResolvedRefs=True").count() == 1001
        })
        .await;
    let reconciles = operator
        .metrics()
        .await
        .sum("roundhouse_operator_reconciles_total", &[])
        - before;
    let memory = operator.memory() >> 20;
    assert!(reconciles < 200.0, "{reconciles} compilations");
    assert!(memory <= 100, "{memory} MiB");
    // What reads them all at once at its start.
    let other = OperatorLaunch::new(server, namespace).ready().await;
    let conditions = other.conditions().await;
    assert_eq!(conditions.matches("ResolvedRefs=True").count(), 1001);
    let memory = other.memory() >> 20;
    assert!(memory <= 100, "{memory} MiB");
}

#[tokio::test]
async fn secrets_of_others_cost_next_to_nothing() {
    let server = ApiServer::shared();
    let namespace = "op-unrelated";
    server.namespace(namespace);
    // One Secret of its own: what reading costs at all is not what the others cost.
    server.apply(
        namespace,
        &[PROVIDER, &credential("own"), &secret("own", CANARY)].concat(),
    );
    let launch = || OperatorLaunch::new(server, namespace);
    let operator = launch().ready().await;
    let before = operator.memory();
    let client = server.client().await;
    let large = "A".repeat(200 * 1024);
    let secrets = (0..300)
        .map(|number| json!({"metadata": {"name": format!("s{number}")}, "stringData": {"large": large}}));
    make(&client, "/api/v1/namespaces/op-unrelated/secrets", secrets).await;
    // What it says of this one comes after all the others.
    server.apply(namespace, &[secret("last", CANARY), credential("last")].concat());
    operator
        .says("Credential op-unrelated/last ResolvedRefs=True")
        .await;
    // One that sees them in a listing.
    let other = launch().ready().await;
    other.says("Credential op-unrelated/last ResolvedRefs=True").await;
    for memory in [operator.memory(), other.memory()] {
        let grown = memory.saturating_sub(before) >> 10;
        assert!(grown < 10 << 10, "{grown} KiB more than {} KiB", before >> 10);
    }
}
