//! The definitions: accepted, described, and brief to list.

use std::fs;

use cluster::ApiServer;
use serde_json::Value;
use tempfile::NamedTempFile;

const KINDS: [&str; 4] = ["clientkey", "credential", "modelroute", "provider"];

#[test]
fn all_definitions_are_established_without_complaint() {
    let server = ApiServer::shared();
    let listed = server.kubectl(&["get", "customresourcedefinitions", "--output=json"]);
    let listed: Value = serde_json::from_str(&listed).expect("kubectl prints JSON");
    let definitions = listed["items"].as_array().expect("a list has items");
    assert_eq!(definitions.len(), KINDS.len());
    for definition in definitions {
        let conditions = definition["status"]["conditions"]
            .as_array()
            .expect("it has conditions");
        let status = |kind: &str| {
            let found = conditions.iter().find(|condition| condition["type"] == kind);
            found.map_or("none", |condition| {
                condition["status"].as_str().unwrap_or_default()
            })
        };
        let name = &definition["metadata"]["name"];
        assert_eq!(status("Established"), "True", "{name}: {conditions:?}");
        assert_eq!(status("NamesAccepted"), "True", "{name}: {conditions:?}");
        // There is such a condition only where something is not as it should be.
        assert_ne!(status("NonStructuralSchema"), "True", "{name}: {conditions:?}");
    }
}

#[test]
fn every_field_is_explained() {
    let server = ApiServer::shared();
    let mut fields = 0;
    for kind in KINDS {
        for object in objects(kind, &server.kubectl(&["explain", kind, "--recursive"])) {
            let explained = server.kubectl(&["explain", &object]);
            assert!(
                !explained.contains("<no description>") && !explained.contains("<empty>"),
                "{object} has a field without a description:\n{explained}"
            );
            fields += described(&object, &explained);
        }
    }
    assert!(fields > 150, "only {fields} fields were seen");
}

#[test]
fn every_kind_is_brief_to_list_and_to_select() {
    let server = ApiServer::shared();
    server.namespace("listed");
    let objects = r#"
{apiVersion: roundhouse.dev/v1alpha1, kind: Provider, metadata: {name: p}, spec: {dialect: OpenAI, url: "https://api.example.com/v1"}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: Provider, metadata: {name: q}, spec: {dialect: Anthropic, url: "https://api.example.com"}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: Credential, metadata: {name: a}, spec: {providerRef: {name: p}, apiKey: {secretRef: {name: s}}}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: Credential, metadata: {name: b}, spec: {providerRef: {name: q}, apiKey: {secretRef: {name: s}}}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: ModelRoute, metadata: {name: r}, spec: {models: [m], targets: [{providerRef: {name: p}}]}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: ClientKey, metadata: {name: c}, spec: {secretRef: {name: s}}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: ClientKey, metadata: {name: d}, spec: {secretRef: {name: s}, admin: true}}
"#;
    let file = NamedTempFile::new().expect("a temporary file can be made");
    fs::write(file.path(), objects).expect("the file is writable");
    let file = file.path().to_str().expect("the path is text");
    server.kubectl(&["apply", "--namespace=listed", "-f", file]);
    let get = |arguments: &[&str]| server.kubectl(&[&["get", "--namespace=listed"], arguments].concat());
    let names = |arguments: &[&str]| -> Vec<String> {
        let listed = get(&[arguments, &["--output=name"]].concat());
        let name = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
        listed.lines().map(name).collect()
    };

    assert_eq!(
        names(&["roundhouse"]),
        ["c", "d", "a", "b", "r", "p", "q"],
        "the category has all kinds"
    );
    for (short, columns, row) in [
        ("ck", "NAME ADMIN READY REASON EXPIRES AGE", "c false"),
        (
            "cred",
            "NAME PROVIDER READY REASON GATEWAYS REQUESTS RESTING UNTIL AGE",
            "a p",
        ),
        ("mr", "NAME MODELS TARGETS READY REASON AGE", "r [\"m\"]"),
        (
            "prov",
            "NAME DIALECT URL CREDENTIALS READY AGE",
            "p OpenAI https://api.example.com/v1",
        ),
    ] {
        let listed = get(&[short]);
        let lines: Vec<String> = listed
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines[0], columns);
        assert!(lines[1].starts_with(row), "{listed}");
    }

    let select = |kind: &str, field: &str| names(&[kind, &format!("--field-selector={field}")]);
    assert_eq!(select("cred", "spec.providerRef.name=q"), ["b"]);
    assert_eq!(select("prov", "spec.dialect=OpenAI"), ["p"]);
    assert_eq!(select("ck", "spec.admin=true"), ["d"]);
}

#[test]
fn the_server_is_of_the_version_that_is_asked_for() {
    let version = ApiServer::shared().kubectl(&["get", "--raw", "/version"]);
    let version: Value = serde_json::from_str(&version).expect("the server answers with JSON");
    let minor = version["minor"].as_str().unwrap_or_default();
    // A chart's `kubeVersion` looks at it; 1.33 is the oldest that is supported.
    assert!(
        minor
            .trim_end_matches('+')
            .parse::<u32>()
            .is_ok_and(|minor| minor >= 33),
        "{version}"
    );
}

/// The paths of a kind and of every object in it, from what `kubectl explain --recursive` prints: fields with two more
/// spaces for each level, and their types.
fn objects(kind: &str, explained: &str) -> Vec<String> {
    let (_, tree) = explained.split_once("FIELDS:\n").expect("it has fields");
    let mut objects = vec![kind.to_owned()];
    let mut path: Vec<&str> = Vec::new();
    for line in tree.lines() {
        let Some((name, what)) = line.split_once('\t') else {
            continue;
        };
        let depth = (name.len() - name.trim_start().len()) / 2 - 1;
        path.truncate(depth);
        path.push(name.trim_start());
        if what.contains("Object>") && path.first() != Some(&"metadata") {
            objects.push(format!("{kind}.{}", path.join(".")));
        }
    }
    objects
}

/// How many fields an object has, each of which is followed by its description.
fn described(object: &str, explained: &str) -> usize {
    let Some((_, fields)) = explained.split_once("FIELDS:\n") else {
        assert!(explained.contains("DESCRIPTION:"), "{object}:\n{explained}");
        return 0;
    };
    let lines: Vec<&str> = fields.lines().collect();
    let mut count = 0;
    for (at, line) in lines.iter().enumerate() {
        let is_field = line.starts_with("  ") && !line.starts_with("   ") && line.contains('\t');
        if !is_field {
            continue;
        }
        count += 1;
        let following = lines[at + 1..]
            .iter()
            .find(|line| !line.trim_start().starts_with("enum:"));
        assert!(
            following.is_some_and(|text| text.starts_with("    ") && text.trim().len() > 3),
            "{object}: no description follows {line:?}:\n{explained}"
        );
    }
    count
}
