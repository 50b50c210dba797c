//! The definitions: accepted, described, and brief to list.

use cluster::ApiServer;
use serde_json::Value;

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
