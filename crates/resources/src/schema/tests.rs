//! The definitions as an API server needs them.

use serde_json::Value;

use super::{Checker, definitions};

/// Calls `visit` with every schema of every definition and its path.
fn each_schema(visit: &mut dyn FnMut(&str, &Value)) {
    for definition in definitions() {
        let kind = definition["spec"]["names"]["kind"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        walk(
            &kind,
            &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            visit,
        );
    }
}

fn walk(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), child, visit);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(key) {
            walk(&format!("{path}[]"), child, visit);
        }
    }
}

/// Whether an API server describes this itself, and takes no description of ours for some of it.
fn is_the_servers(path: &str) -> bool {
    path.ends_with(".status") || path.ends_with(".metadata") || path.ends_with(".metadata.name")
}

#[test]
fn schemas_are_structural_described_and_bounded() {
    let mut problems = Vec::new();
    each_schema(&mut |path, schema| {
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                problems.push(format!("{path}: {what}"));
            }
        };
        for key in [
            "$ref",
            "anyOf",
            "oneOf",
            "allOf",
            "not",
            "nullable",
            "title",
            "uniqueItems",
        ] {
            expect(schema.get(key).is_none(), key);
        }
        let is_status = path.contains(".status");
        let kind = schema["type"].as_str().unwrap_or_default();
        expect(!kind.is_empty(), "has no type");
        expect(
            path.ends_with("[]") || schema.get("description").is_some() || is_the_servers(path),
            "has no description",
        );
        if is_status {
            return;
        }
        match kind {
            "array" => expect(
                schema["maxItems"].is_u64() && schema["x-kubernetes-list-type"].is_string(),
                "is not bounded",
            ),
            "string" => expect(
                schema["maxLength"].is_u64() || schema["enum"].is_array(),
                "is not bounded",
            ),
            "integer" => expect(
                schema["maximum"].is_i64() && schema["minimum"].is_i64(),
                "is not bounded",
            ),
            "object" if schema.get("additionalProperties").is_some() => {
                expect(schema["maxProperties"].is_u64(), "is not bounded");
            }
            _ => {}
        }
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            expect(rule["message"].is_string(), "a rule without a message");
        }
    });
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_definition_can_be_listed_briefly() {
    for (definition, short) in definitions().iter().zip(["ck", "cred", "mr", "prov"]) {
        assert_eq!(definition["spec"]["names"]["shortNames"][0], short);
        assert_eq!(definition["spec"]["names"]["categories"][0], "roundhouse");
        assert_eq!(definition["spec"]["scope"], "Namespaced");
        let version = &definition["spec"]["versions"][0];
        assert!(version["subresources"]["status"].is_object());
        assert!(
            version["additionalPrinterColumns"]
                .as_array()
                .is_some_and(|columns| columns.len() >= 4)
        );
    }
}

#[test]
fn every_rule_can_be_evaluated_here() {
    let checker = Checker::new();
    let errors = checker.rule_errors();
    assert!(errors.is_empty(), "{errors:?}");
}
