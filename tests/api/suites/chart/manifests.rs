//! What the chart renders is what an API server takes, and pods of it are what a careful cluster admits.

use std::{collections::BTreeMap, fs};

use cluster::{ApiServer, Chart};
use serde_json::{Value, json};

/// What the chart is tried with: a name for each, and the values.
fn values() -> BTreeMap<String, String> {
    let mut values = BTreeMap::from([("default".to_owned(), String::new())]);
    for entry in fs::read_dir(Chart::folder().join("ci")).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_stem().expect("a file has a name").to_string_lossy();
        let text = fs::read_to_string(&path).expect("the file can be read");
        values.insert(name.replace("-values", ""), text);
    }
    values
}

#[test]
fn every_manifest_is_accepted() {
    let server = ApiServer::shared();
    // Some of the values watch these.
    server.namespace("team-a");
    server.namespace("team-b");
    let values = values();
    assert!(values.len() >= 6, "{values:?}");
    for (name, values) in values {
        let namespace = format!("accepted-{name}");
        server.namespace(&namespace);
        let warn = "pod-security.kubernetes.io/warn=restricted";
        server.kubectl(&["label", "namespace", &namespace, warn]);
        let objects = Chart::new("odd", &namespace).with(&values).render();
        assert!(objects.len() > 10, "{name}: {objects:?}");
        let applied = server.apply_objects(&objects, &["--dry-run=server"]);
        assert!(applied.success, "{name}: {}", applied.error);
        assert!(!applied.error.contains("Warning"), "{name}: {}", applied.error);
        let count = applied.output.lines().count();
        assert_eq!(count, objects.len(), "{name}: {}", applied.output);
    }
}

#[test]
fn a_restricted_namespace_admits_every_pod() {
    let server = ApiServer::shared();
    server.namespace("restricted-pods");
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    server.kubectl(&["label", "namespace", "restricted-pods", enforce]);
    // No controller makes it here.
    server.kubectl(&[
        "create",
        "serviceaccount",
        "default",
        "--namespace=restricted-pods",
    ]);
    let admit = |pod: &Value| server.apply_objects(std::slice::from_ref(pod), &["--dry-run=server"]);

    for values in [
        "",
        "redis: {mode: External, url: 'rediss://r', caSecret: {name: ca}}",
    ] {
        let chart = Chart::new("admitted", "restricted-pods").with(values);
        chart.install_accounts(server);
        for object in chart.render() {
            let template = &object["spec"]["template"];
            if template.is_null() {
                continue;
            }
            let mut pod = json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": template["metadata"],
                "spec": template["spec"],
            });
            let name = object["metadata"]["name"].clone();
            pod["metadata"]["name"] = name.clone();
            pod["metadata"]["namespace"] = "restricted-pods".into();
            let admitted = admit(&pod);
            assert!(admitted.success, "{name}: {}", admitted.error);

            // That it is not merely the test that lets everything through.
            pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
            let admitted = admit(&pod);
            assert!(
                admitted.error.contains("allowPrivilegeEscalation"),
                "{name}: {admitted:?}"
            );
        }
    }
}

#[test]
fn the_file_for_clusters_without_helm_is_accepted_and_holds_no_secret() {
    let server = ApiServer::shared();
    let path = harness::repository().join("deploy/install.yaml");
    let text = fs::read_to_string(&path).expect("the file can be read");
    assert!(
        !text.contains("kind: Secret\n"),
        "a password for everybody is none"
    );
    // A dry run makes no namespace for what is in it.
    server.namespace("roundhouse");
    let path = path.to_str().expect("the path is text");
    let applied = server.try_kubectl(&[
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "--force-conflicts",
        "-f",
        path,
    ]);
    assert!(applied.success, "{}", applied.error);
    assert!(!applied.error.contains("Warning"), "{}", applied.error);
}

#[test]
fn images_are_of_the_version_that_is_built_here_or_of_a_digest() {
    let image = |chart: &Chart, name: &str| -> String {
        let objects = chart.render();
        let object = objects.iter().find(|object| {
            object["metadata"]["name"] == name && object["spec"]["template"]["spec"].is_object()
        });
        let container = &object.expect("it is rendered")["spec"]["template"]["spec"]["containers"][0];
        container["image"].as_str().expect("it has an image").to_owned()
    };
    let version = env!("CARGO_PKG_VERSION");
    let chart = Chart::new("r", "images");
    assert_eq!(
        image(&chart, "r-gateway"),
        format!("roundhouse-gateway:{version}")
    );
    assert_eq!(
        image(&chart, "r-operator"),
        format!("roundhouse-operator:{version}")
    );
    let digest = format!("sha256:{}", "0a".repeat(32));
    let chart = chart.with(&format!(
        "gateway: {{image: {{repository: a.b:5/c, tag: t, digest: '{digest}'}}}}"
    ));
    assert_eq!(image(&chart, "r-gateway"), format!("a.b:5/c@{digest}"));
}

#[test]
fn the_gateway_holds_a_token_for_the_operator_alone() {
    let objects = Chart::new("r", "tokens").render();
    let pods = objects
        .iter()
        .filter(|object| object["spec"]["template"]["spec"].is_object());
    for object in pods {
        let name = object["metadata"]["name"].as_str().expect("it has a name");
        let spec = &object["spec"]["template"]["spec"];
        assert_eq!(
            spec["automountServiceAccountToken"],
            name == "r-operator",
            "{name}: the operator alone talks to the API server"
        );
        let tokens: Vec<&Value> = spec["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|volume| volume["projected"]["sources"].as_array())
            .flatten()
            .filter_map(|source| source.get("serviceAccountToken"))
            .collect();
        if name == "r-gateway" {
            assert_eq!(tokens.len(), 1);
            assert_eq!(tokens[0]["audience"], "roundhouse-discovery");
            assert_eq!(tokens[0]["expirationSeconds"], 3600);
        } else {
            assert!(tokens.is_empty(), "{name}: {tokens:?}");
        }
    }
}
