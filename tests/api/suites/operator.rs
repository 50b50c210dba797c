//! The operator as a process, with a real API server and no more rights than it needs.

mod crowd;
mod metrics;
mod outage;

use cluster::{ApiServer, Operator, OperatorLaunch};

/// Whoever finds this anywhere has found a secret. It is in no base64 of anything else.
const CANARY: &str = "canary-5f0e6c7d9b";

/// A Provider `up`.
const PROVIDER: &str = "
apiVersion: roundhouse.dev/v1alpha1
kind: Provider
metadata: {name: up}
spec: {dialect: OpenAI, url: 'https://api.example.com/v1'}
---";

/// A Credential of `up` with its key in the Secret of its own name.
fn credential(name: &str) -> String {
    format!(
        "
apiVersion: roundhouse.dev/v1alpha1
kind: Credential
metadata: {{name: {name}}}
spec: {{providerRef: {{name: up}}, apiKey: {{secretRef: {{name: {name}}}}}}}
---"
    )
}

fn secret(name: &str, key: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{api-key: {key}}}
---"
    )
}

/// The version of the secret of the only credential in a snapshot.
fn secret_version(snapshot: &str) -> Option<String> {
    let (_, rest) = snapshot.split_once("secret_version:")?;
    Some(rest.split('"').nth(1)?.to_owned())
}

#[test]
fn the_definitions_that_it_prints_are_what_an_api_server_takes() {
    let server = ApiServer::shared();
    let printed = Operator::crds();
    assert!(printed.success && printed.error.is_empty(), "{printed:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &printed.output).unwrap();
    let path = file.path().to_str().unwrap();
    let applied = server.kubectl(&[
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        path,
    ]);
    assert_eq!(applied.lines().count(), 4, "{applied}");
}

#[tokio::test]
async fn it_is_ready_when_everything_was_read_and_says_what_keeps_it() {
    let server = ApiServer::shared();
    server.namespace("op-rights");
    server.apply(
        "op-rights",
        &[PROVIDER, &credential("one"), &secret("one", CANARY)].concat(),
    );
    let launch = OperatorLaunch::new(server, "op-rights");
    server.kubectl(&[
        "create",
        "secret",
        "generic",
        "roundhouse-digest-key",
        "--namespace=op-rights",
        "--from-literal=digest-key=0123456789abcdef0123456789abcdef",
    ]);
    let rights = ["--namespace=op-rights", "role", "roundhouse:op-rights:roundhouse"];
    // The rule of Secrets and ConfigMaps.
    let patch = |verbs: &str| {
        let patch = format!(r#"[{{"op":"replace","path":"/rules/2/verbs","value":{verbs}}}]"#);
        server.kubectl(&[&["patch", "--type=json", "--patch", &patch], &rights[..]].concat());
    };
    patch(r#"["get"]"#);
    let operator = launch.start().await;
    operator.logged("Secrets of namespace op-rights").await;
    let (status, text) = operator.readiness().await;
    assert_eq!(status, 503, "{text}");
    assert!(
        text.contains("Syncing") && text.contains("refuses Secrets of namespace op-rights"),
        "{text}"
    );
    assert_eq!(
        operator.snapshot().await,
        "None\n",
        "nothing that is not whole is published"
    );
    patch(r#"["get", "list", "watch"]"#);
    operator.until_ready().await;
    operator
        .says("Credential op-rights/one ResolvedRefs=True/Resolved")
        .await;
    let (_, text) = operator.readiness().await;
    assert!(!text.contains("refuses"), "{text}");
}

#[tokio::test]
async fn what_changes_is_seen_and_no_secret_is_told() {
    let server = ApiServer::shared();
    let namespace = "op-changes";
    server.namespace(namespace);
    let launch = OperatorLaunch::new(server, namespace).arguments(&["--log-level=trace"]);
    let mut operator = launch.ready().await;
    server.apply(namespace, &[PROVIDER, &credential("one")].concat());
    operator
        .says("Credential op-changes/one ResolvedRefs=False/SecretMissing")
        .await;
    server.apply(namespace, &secret("one", CANARY));
    operator
        .says("Credential op-changes/one ResolvedRefs=True/Resolved")
        .await;
    let first = secret_version(&operator.snapshot().await);
    assert!(first.is_some());

    server.apply(namespace, &secret("one", &format!("{CANARY}-2")));
    harness::eventually(
        "the new key is published",
        std::time::Duration::from_secs(20),
        || async { (secret_version(&operator.snapshot().await) != first).then_some(()) },
    )
    .await;
    server.apply(
        namespace,
        "{apiVersion: v1, kind: Secret, metadata: {name: two}, stringData: {other: x}}",
    );
    server.apply(namespace, &credential("two"));
    operator
        .says("Credential op-changes/two ResolvedRefs=False/KeyMissing")
        .await;
    server.kubectl(&["delete", "secret", "one", "--namespace", namespace]);
    operator
        .says("Credential op-changes/one ResolvedRefs=False/SecretMissing")
        .await;
    server.kubectl(&["delete", "credential", "--all", "--namespace", namespace]);
    operator
        .until_conditions("the Credentials are gone", |conditions| {
            !conditions.contains("Credential")
        })
        .await;

    let metrics = operator.metrics().await;
    assert!(
        metrics.sum("roundhouse_operator_reconciles_total", &[]) >= 5.0,
        "{}",
        metrics.text()
    );
    assert!(metrics.sum("roundhouse_operator_reconcile_seconds_count", &[]) >= 5.0);
    let told = [
        operator.snapshot().await,
        operator.conditions().await,
        metrics.text().to_owned(),
    ]
    .concat();
    assert!(operator.terminate().await.success(), "it was asked to end");
    let all = [told, operator.log()].concat();
    // In base64 at each of the three offsets that a text can have, without its first and last group.
    for form in [
        CANARY,
        "Y2FuYXJ5LTVmMGU2Yzdk",
        "NhbmFyeS01ZjBlNmM3",
        "jYW5hcnktNWYwZTZjN2",
    ] {
        assert!(!all.contains(form), "{form} was told");
    }
}

#[tokio::test]
async fn where_a_label_is_required_only_labelled_secrets_are_used() {
    let server = ApiServer::shared();
    let namespace = "op-labels";
    server.namespace(namespace);
    server.apply(
        namespace,
        &[PROVIDER, &credential("one"), &secret("one", CANARY)].concat(),
    );
    let launch = OperatorLaunch::new(server, namespace).arguments(&["--secret-policy=Labelled"]);
    let operator = launch.ready().await;
    operator
        .says("Credential op-labels/one ResolvedRefs=False/SecretMissing")
        .await;
    let conditions = operator.conditions().await;
    assert!(
        conditions.contains("roundhouse.dev/use: credential"),
        "{conditions}"
    );
    server.kubectl(&[
        "label",
        "secret",
        "one",
        "roundhouse.dev/use=credential",
        "--namespace",
        namespace,
    ]);
    operator
        .says("Credential op-labels/one ResolvedRefs=True/Resolved")
        .await;
}

#[tokio::test]
async fn replicas_publish_the_same() {
    let server = ApiServer::shared();
    let namespace = "op-replicas";
    server.namespace(namespace);
    server.apply(
        namespace,
        &[PROVIDER, &credential("one"), &secret("one", CANARY)].concat(),
    );
    // Both make the key of the installation if it is missing.
    let launch = || OperatorLaunch::new(server, namespace);
    let (one, other) = tokio::join!(launch().ready(), launch().ready());
    let snapshot = one.snapshot().await;
    assert!(secret_version(&snapshot).is_some(), "{snapshot}");
    assert_eq!(snapshot, other.snapshot().await);
}

#[tokio::test]
async fn several_namespaces_or_all_of_them_can_be_followed() {
    let server = ApiServer::shared();
    let (home, other) = ("op-home", "op-other");
    for namespace in [home, other] {
        server.namespace(namespace);
        server.apply(
            namespace,
            &[PROVIDER, &credential("one"), &secret("one", CANARY)].concat(),
        );
    }
    let launch = || OperatorLaunch::new(server, home);
    let alone = launch().ready().await;
    let account = format!("--serviceaccount={home}:roundhouse-operator");
    server.kubectl(&[
        "create",
        "clusterrolebinding",
        "op-home",
        "--clusterrole=cluster-admin",
        &account,
    ]);
    let both = launch()
        .arguments(&["--watch-namespaces=op-other,op-home"])
        .ready()
        .await;
    let all = launch()
        .without("--watch-namespaces")
        .arguments(&["--all-namespaces"])
        .ready()
        .await;
    for (operator, sees_other) in [(alone, false), (both, true), (all, true)] {
        operator.says("Credential op-home/one ResolvedRefs=True").await;
        let conditions = operator.conditions().await;
        assert_eq!(
            conditions.contains("Credential op-other/one ResolvedRefs=True"),
            sees_other
        );
    }
}
