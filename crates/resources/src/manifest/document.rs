//! One document: which object it is, and its content.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::de::DeserializeOwned;
use serde_json::Value;
use snapshot::{ObjectName, Secret};

use super::{
    Manifest, Origin, Problem, Surroundings,
    expand::{Missing, expand},
    names,
    yaml::{Content, Entry, Node},
};
use crate::{
    Identity, Kind, Object, Reason, SecretValue, SecretValues,
    kinds::{ClientKey, Credential, GROUP, ModelRoute, Provider},
    schema::{Checker, RESERVED_NAMES},
};

const DEFAULT_NAMESPACE: &str = "default";
/// What an API server adds to metadata; taken from exported objects without effect.
const SERVER_METADATA: [&str; 10] = [
    "annotations",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Adds the object of a document, or the objects of a `v1` List.
pub(super) fn read(
    mut document: Node,
    file: &Arc<str>,
    checker: &Checker,
    surroundings: &mut dyn Surroundings,
    manifests: &mut Vec<Manifest>,
) {
    let is_list = document.get("kind").and_then(Node::text) == Some("List")
        && document.get("apiVersion").and_then(Node::text) == Some("v1");
    if is_list
        && let Some(items) = document.get_mut("items")
        && let Content::List(items) = &mut items.content
    {
        for item in items.drain(..) {
            manifests.push(object(item, file, checker, surroundings));
        }
        return;
    }
    if !matches!(document.content, Content::Null) {
        manifests.push(object(document, file, checker, surroundings));
    }
}

fn object(
    mut document: Node,
    file: &Arc<str>,
    checker: &Checker,
    surroundings: &mut dyn Surroundings,
) -> Manifest {
    let origin = Origin {
        file: Arc::clone(file),
        line: document.line,
    };
    let mut problems = Vec::new();
    let kind = kind(&document).map_err(|problem| problems.push(problem)).ok();
    let metadata = metadata(&document, kind, &mut problems);
    let identity = match (kind, &metadata) {
        (Some(kind), Some((name, _))) => Some(Identity {
            kind,
            name: name.clone(),
        }),
        _ => None,
    };
    let content = match (kind, metadata) {
        (Some(kind), Some((_, metadata))) if problems.is_empty() => {
            content(kind, metadata, &mut document, checker, surroundings)
        }
        _ => Err(problems),
    };
    Manifest {
        origin,
        identity,
        content,
    }
}

fn problem(reason: Reason, line: u32, path: &str, message: impl Into<String>) -> Problem {
    Problem {
        reason,
        line,
        path: path.to_owned(),
        message: message.into(),
    }
}

fn invalid(line: u32, path: &str, message: impl Into<String>) -> Problem {
    problem(Reason::InvalidSpec, line, path, message)
}

fn kind(document: &Node) -> Result<Kind, Problem> {
    if !matches!(document.content, Content::Map(_)) {
        let message = format!(
            "expected an object with apiVersion, kind and metadata, found {}",
            document.content.name()
        );
        return Err(invalid(document.line, "", message));
    }
    let text = |field: &str| match document.get(field) {
        None => Err(invalid(document.line, field, "is required")),
        Some(node) => node.text().map(|text| (text, node.line)).ok_or_else(|| {
            invalid(
                node.line,
                field,
                format!("expected a string, found {}", node.content.name()),
            )
        }),
    };
    let (version, version_line) = text("apiVersion")?;
    let (name, line) = text("kind")?;
    let group_is_ours = version.split_once('/').is_some_and(|(group, _)| group == GROUP);
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == name) else {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let message = format!("unknown kind `{name}`; expected one of {}", known.join(", "));
        return Err(problem(Reason::UnknownKind, line, "kind", message));
    };
    if kind.api_version() != version {
        let message = if group_is_ours || version.contains('/') || version == "v1" {
            format!(
                "expected `{}` for kind {kind}, found `{version}`",
                kind.api_version()
            )
        } else {
            format!("expected `{}` for kind {kind}", kind.api_version())
        };
        return Err(problem(Reason::UnknownKind, version_line, "apiVersion", message));
    }
    Ok(kind)
}

/// The name and what else is used of the metadata; `None` when there is no usable name.
fn metadata(
    document: &Node,
    kind: Option<Kind>,
    problems: &mut Vec<Problem>,
) -> Option<(ObjectName, ObjectMeta)> {
    let Some(node) = document.get("metadata") else {
        if kind.is_some() {
            problems.push(invalid(document.line, "metadata", "is required"));
        }
        return None;
    };
    let Content::Map(entries) = &node.content else {
        let message = format!("expected a map, found {}", node.content.name());
        problems.push(invalid(node.line, "metadata", message));
        return None;
    };
    let mut metadata = ObjectMeta::default();
    for entry in entries {
        let path = format!("metadata.{}", entry.key);
        match entry.key.as_str() {
            "name" => metadata.name = text(&entry.value, &path, problems),
            "namespace" => metadata.namespace = text(&entry.value, &path, problems),
            "labels" => metadata.labels = Some(labels(&entry.value, &path, problems)),
            "creationTimestamp" => {
                let time = entry.value.text().and_then(|text| text.parse().ok());
                metadata.creation_timestamp = time.map(Time);
            }
            known if SERVER_METADATA.contains(&known) => {}
            _ => problems.push(invalid(entry.line, &path, "unknown field")),
        }
    }
    let name = metadata.name.as_deref().or_else(|| {
        if node.get("name").is_none() {
            problems.push(invalid(node.line, "metadata.name", "is required"));
        }
        None
    })?;
    let namespace = metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    for (path, value, dots, max) in [
        ("metadata.name", name, true, 253),
        ("metadata.namespace", namespace, false, 63),
    ] {
        if !names::is_dns_name(value, dots, max) {
            let line = node.nearest(path.trim_start_matches("metadata.")).line;
            let message =
                "expected lower-case letters, digits and `-`, beginning and ending with a letter or digit";
            problems.push(invalid(line, path, message));
        }
    }
    let name = ObjectName::new(namespace, name).ok()?;
    metadata.namespace = Some(namespace.to_owned());
    Some((name, metadata))
}

fn text(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let text = node.text().map(str::to_owned);
    if text.is_none() {
        let message = format!("expected a string, found {}", node.content.name());
        problems.push(invalid(node.line, path, message));
    }
    text
}

fn texts(node: &Node, path: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let entries = members(node, path, problems);
    let texts = entries.iter().filter_map(|entry| {
        let path = format!("{path}.{}", entry.key);
        Some((entry.key.clone(), text(&entry.value, &path, problems)?))
    });
    texts.collect()
}

fn labels(node: &Node, path: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let labels = texts(node, path, problems);
    for (key, value) in &labels {
        let what = match (names::is_label_key(key), names::is_label_value(value)) {
            (true, true) => continue,
            (false, _) => format!("`{key}` cannot be the key of a label"),
            (_, false) => format!("`{key}` has a value that a label cannot have"),
        };
        let rule =
            "expected at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
        problems.push(invalid(node.line, path, format!("{what}; {rule}")));
    }
    labels
}

/// The entries of a map; nothing counts as an empty one.
fn members<'a>(node: &'a Node, path: &str, problems: &mut Vec<Problem>) -> &'a [Entry] {
    match &node.content {
        Content::Map(entries) => entries,
        Content::Null => &[],
        other => {
            let message = format!("expected a map, found {}", other.name());
            problems.push(invalid(node.line, path, message));
            &[]
        }
    }
}

fn content(
    kind: Kind,
    metadata: ObjectMeta,
    document: &mut Node,
    checker: &Checker,
    surroundings: &mut dyn Surroundings,
) -> Result<Object, Vec<Problem>> {
    match kind {
        Kind::Secret => secret(document, surroundings),
        Kind::ConfigMap => config_map(document),
        Kind::Provider => {
            reserved(&metadata, document)?;
            expand_url(document, surroundings);
            let spec = spec(kind, &metadata, document, checker)?;
            let mut object = Provider::new("", spec);
            object.metadata = metadata;
            Ok(Object::Provider(Arc::new(object)))
        }
        Kind::Credential => {
            let spec = spec(kind, &metadata, document, checker)?;
            let mut object = Credential::new("", spec);
            object.metadata = metadata;
            Ok(Object::Credential(Arc::new(object)))
        }
        Kind::ModelRoute => {
            let spec = spec(kind, &metadata, document, checker)?;
            let mut object = ModelRoute::new("", spec);
            object.metadata = metadata;
            Ok(Object::ModelRoute(Arc::new(object)))
        }
        Kind::ClientKey => {
            let spec = spec(kind, &metadata, document, checker)?;
            let mut object = ClientKey::new("", spec);
            object.metadata = metadata;
            Ok(Object::ClientKey(Arc::new(object)))
        }
    }
}

fn reserved(metadata: &ObjectMeta, document: &Node) -> Result<(), Vec<Problem>> {
    let name = metadata.name.as_deref().unwrap_or_default();
    if !RESERVED_NAMES.contains(&name) {
        return Ok(());
    }
    let line = document.nearest("metadata.name").line;
    let message = format!("`{name}` is reserved: it would shadow a route of the gateway");
    Err(vec![problem(
        Reason::ReservedName,
        line,
        "metadata.name",
        message,
    )])
}

/// A reference that cannot be expanded stays: [`crate::compile()`] tells it by name.
fn expand_url(document: &mut Node, surroundings: &mut dyn Surroundings) {
    if let Some(url) = document.get_mut("spec").and_then(|spec| spec.get_mut("url"))
        && let Content::Text(text) = &mut url.content
        && let Ok(expanded) = expand(text, surroundings)
    {
        *text = expanded;
    }
}

fn spec<T: DeserializeOwned>(
    kind: Kind,
    metadata: &ObjectMeta,
    document: &Node,
    checker: &Checker,
) -> Result<T, Vec<Problem>> {
    let mut problems = Vec::new();
    only(
        document,
        &["apiVersion", "kind", "metadata", "spec", "status"],
        &mut problems,
    );
    let name = metadata.name.as_deref().unwrap_or_default();
    let value = match checker.spec(kind, name, document) {
        Ok(value) => value,
        Err(found) => {
            problems.extend(found);
            Value::Null
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(value).map_err(|error| vec![invalid(document.line, "spec", error.to_string())])
}

fn only(document: &Node, fields: &[&str], problems: &mut Vec<Problem>) {
    let Content::Map(entries) = &document.content else {
        return;
    };
    for entry in entries {
        if !fields.contains(&entry.key.as_str()) {
            let message = format!("unknown field; the fields here are {}", fields.join(", "));
            problems.push(invalid(entry.line, &entry.key, message));
        }
    }
}

fn secret(document: &Node, surroundings: &mut dyn Surroundings) -> Result<Object, Vec<Problem>> {
    let fields = [
        "apiVersion",
        "kind",
        "metadata",
        "type",
        "immutable",
        "data",
        "stringData",
    ];
    let mut problems = Vec::new();
    only(document, &fields, &mut problems);
    let mut values = BTreeMap::new();
    if let Some(data) = document.get("data") {
        for entry in members(data, "data", &mut problems) {
            let path = format!("data.{}", entry.key);
            let Some(text) = text(&entry.value, &path, &mut problems) else {
                continue;
            };
            let packed: String = text.split_ascii_whitespace().collect();
            match STANDARD.decode(packed) {
                Ok(bytes) => {
                    values.insert(entry.key.clone(), SecretValue::Known(Secret::new(bytes)));
                }
                Err(_) => problems.push(invalid(
                    entry.value.line,
                    &path,
                    "expected base64; plain text goes into stringData",
                )),
            }
        }
    }
    if let Some(data) = document.get("stringData") {
        for entry in members(data, "stringData", &mut problems) {
            let path = format!("stringData.{}", entry.key);
            let value = match &entry.value.content {
                Content::Text(text) => match expand(text, surroundings) {
                    Ok(text) => SecretValue::Known(Secret::new(text)),
                    Err(Missing(why)) => SecretValue::Unexpanded(why),
                },
                Content::Null => SecretValue::Known(Secret::new("")),
                other => {
                    let message = format!("expected a string, found {}; put it in quotes", other.name());
                    problems.push(invalid(entry.value.line, &path, message));
                    continue;
                }
            };
            values.insert(entry.key.clone(), value);
        }
    }
    if problems.is_empty() {
        Ok(Object::Secret(Arc::new(SecretValues::from(values))))
    } else {
        Err(problems)
    }
}

fn config_map(document: &Node) -> Result<Object, Vec<Problem>> {
    let mut problems = Vec::new();
    only(
        document,
        &["apiVersion", "kind", "metadata", "immutable", "data"],
        &mut problems,
    );
    let values = document
        .get("data")
        .map(|data| texts(data, "data", &mut problems))
        .unwrap_or_default();
    if problems.is_empty() {
        Ok(Object::ConfigMap(Arc::new(values)))
    } else {
        Err(problems)
    }
}
