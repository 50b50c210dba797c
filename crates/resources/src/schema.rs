//! What is generated from the kinds: definitions for an API server, and the same checks for files.

mod check;
mod shape;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use serde_json::{Map, Value, json};

pub(crate) use check::Checker;

use crate::{
    Kind,
    kinds::{ClientKey, Credential, ModelRoute, Provider},
};

/// Names that a Provider may not have because a route has them.
pub const RESERVED_NAMES: [&str; 16] = [
    "api",
    "auth",
    "chat",
    "completions",
    "console",
    "conversations",
    "docs",
    "embeddings",
    "files",
    "health",
    "messages",
    "metrics",
    "models",
    "responses",
    "v1",
    "v1beta",
];

/// The definitions of all kinds in order of name, as an API server takes them.
#[expect(
    clippy::missing_panics_doc,
    reason = "the definitions are constant and tested"
)]
pub fn definitions() -> Vec<Value> {
    [
        ClientKey::crd(),
        Credential::crd(),
        ModelRoute::crd(),
        Provider::crd(),
    ]
    .into_iter()
    .map(|definition: CustomResourceDefinition| {
        let mut definition = serde_json::to_value(definition).expect("a definition is plain data");
        tidy(&mut definition);
        definition
    })
    .collect()
}

/// The `OpenAPI` schema of a kind; `None` for kinds that are not ours.
pub(crate) fn schema_of(kind: Kind) -> Option<Value> {
    definitions().into_iter().find_map(|mut definition| {
        let ours = definition["spec"]["names"]["kind"] == kind.as_str();
        ours.then(|| definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take())
    })
}

fn tidy(definition: &mut Value) {
    let is_provider = definition["spec"]["names"]["kind"] == "Provider";
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tidy_schema(schema);
    if is_provider {
        schema["x-kubernetes-validations"] = reserved_names();
        // A rule can only point to a field that the schema has, and no more may be said of this one.
        schema["properties"]["metadata"] = json!({
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 253}},
        });
    }
}

fn reserved_names() -> Value {
    let names: Vec<String> = RESERVED_NAMES.iter().map(|name| format!("'{name}'")).collect();
    json!([{
        "rule": format!("!(self.metadata.name in [{}])", names.join(", ")),
        "message": "the name is reserved: it would shadow a route of the gateway",
        "reason": "FieldValueForbidden",
        "fieldPath": ".metadata.name",
    }])
}

/// Leaves only what an API server knows: an absent field is absent (never null), integers have the two
/// formats that exist, and descriptions are one paragraph.
fn tidy_schema(schema: &mut Value) {
    let Value::Object(node) = schema else { return };
    node.remove("nullable");
    node.remove("title");
    if node.get("default").is_some_and(Value::is_null) {
        node.remove("default");
    }
    if node.get("type").and_then(Value::as_str) == Some("integer") {
        tidy_integer(node);
    }
    if let Some(Value::String(text)) = node.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(tidy_schema);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(key) {
            tidy_schema(child);
        }
    }
}

fn tidy_integer(node: &mut Map<String, Value>) {
    let wide = matches!(
        node.get("format").and_then(Value::as_str),
        Some("int64" | "uint64")
    );
    node.insert("format".to_owned(), json!(if wide { "int64" } else { "int32" }));
    for key in ["minimum", "maximum"] {
        // The generator keeps bounds as floating-point numbers, which print as `1.0`.
        if let Some(bound) = node.get(key).and_then(Value::as_f64) {
            #[expect(clippy::cast_possible_truncation, reason = "bounds are small whole numbers")]
            node.insert(key.to_owned(), json!(bound as i64));
        }
    }
}

#[cfg(test)]
mod tests;
