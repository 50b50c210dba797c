//! A release's life: installed, upgraded, removed and installed again, with a server of its own because it brings the
//! definitions.

use cluster::{ApiServer, Chart};
use serde_json::Value;

const DEFINITIONS: [&str; 4] = [
    "clientkeys.roundhouse.dev",
    "credentials.roundhouse.dev",
    "modelroutes.roundhouse.dev",
    "providers.roundhouse.dev",
];

const PROVIDER: &str = r#"{"apiVersion": "roundhouse.dev/v1alpha1", "kind": "Provider", "metadata": {"name": "p", "namespace": "life"},
    "spec": {"dialect": "OpenAI", "url": "https://api.example.com/v1"}}"#;

#[test]
fn a_release_is_installed_upgraded_and_removed() {
    let server = ApiServer::start();
    let chart = Chart::new("life", "life");

    let tried = chart.install(&server, &["--create-namespace", "--dry-run=server"]);
    assert!(tried.success, "{}", tried.error);
    assert_eq!(definitions(&server), [""; 0], "a dry run makes nothing");

    let installed = chart.install(&server, &["--create-namespace"]);
    assert!(installed.success, "{}", installed.error);
    assert!(
        installed.output.contains("http://life-gateway.life.svc/v1"),
        "{}",
        installed.output
    );
    assert_eq!(definitions(&server), DEFINITIONS);
    the_advice_is_good(&server, &installed.output);
    let password = password(&server);
    assert!(password.len() >= 48, "it is long");

    let upgraded = chart.clone().with("gateway: {replicas: 3}").upgrade(&server);
    assert!(upgraded.success, "{}", upgraded.error);
    let replicas = get(&server, "deployment/life-gateway", "{.spec.replicas}");
    assert_eq!(replicas, "3");
    assert_eq!(self::password(&server), password, "an upgrade keeps it");

    let provider = serde_json::from_str(PROVIDER).expect("it is JSON");
    let applied = server.apply_objects(&[provider], &[]);
    assert!(applied.success, "{}", applied.error);

    let removed = chart.uninstall(&server);
    assert!(removed.success, "{}", removed.error);
    let left = server.kubectl(&[
        "get",
        "deployments,statefulsets,services,serviceaccounts,secrets,configmaps,roles,rolebindings",
        "--namespace=life",
        "--output=name",
    ]);
    assert_eq!(left, "", "nothing is left in the namespace");
    let left = server.kubectl(&["get", "clusterroles,clusterrolebindings", "--output=name"]);
    assert!(!left.contains("roundhouse"), "{left}");
    assert_eq!(definitions(&server), DEFINITIONS, "they are kept");
    assert_eq!(
        get(&server, "provider/p", "{.spec.dialect}"),
        "OpenAI",
        "and what they define"
    );

    let again = chart.install(&server, &[]);
    assert!(again.success, "it takes over what it has kept: {}", again.error);
    assert_ne!(
        self::password(&server),
        password,
        "nobody has two installations' password"
    );

    // Another one of the cluster does without the definitions.
    let second = Chart::new("second", "elsewhere").with("crds: {enabled: false}");
    let installed = second.install(&server, &["--create-namespace"]);
    assert!(installed.success, "{}", installed.error);
    let removed = second.uninstall(&server);
    assert!(removed.success, "{}", removed.error);

    // And who does not want to keep them says so before.
    let upgraded = chart.clone().with("crds: {keep: false}").upgrade(&server);
    assert!(upgraded.success, "{}", upgraded.error);
    let removed = chart.uninstall(&server);
    assert!(removed.success, "{}", removed.error);
    server.until(
        &["get", "customresourcedefinitions", "--output=name"],
        str::is_empty,
    );
}

/// Applies the resources that a user is told to begin with.
fn the_advice_is_good(server: &ApiServer, notes: &str) {
    let resources = notes.lines().filter(|line| line.starts_with("{apiVersion: "));
    let resources: Vec<Value> = resources
        .map(|line| serde_saphyr::from_str(line).expect("it is YAML"))
        .collect();
    assert_eq!(resources.len(), 3, "{notes}");
    server.until(&["get", "roundhouse", "--all-namespaces"], |_| true);
    let applied = server.apply_objects(&resources, &["--namespace=life", "--dry-run=server"]);
    assert!(applied.success, "{}", applied.error);
}

/// The names of the definitions that there are.
fn definitions(server: &ApiServer) -> Vec<String> {
    let listed = server.kubectl(&["get", "customresourcedefinitions", "--output=name"]);
    let name = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
    listed.lines().map(name).collect()
}

/// The password of the release's Redis, in base64.
fn password(server: &ApiServer) -> String {
    get(server, "secret/life-redis", "{.data.password}")
}

fn get(server: &ApiServer, object: &str, path: &str) -> String {
    let path = format!("--output=jsonpath={path}");
    server.kubectl(&["get", object, "--namespace=life", &path])
}
