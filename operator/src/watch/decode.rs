//! Answers of an API server, taken apart one object at a time: one that is not as it must be spoils nothing else.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::core::Status;
use resources::{
    Identity, Kind, Object, SecretValues,
    kinds::{ClientKey, Credential, ModelRoute, Provider},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use snapshot::{ObjectName, Secret};

use crate::index::{Content, Fetched, Stub};

/// The label of Secrets that Credentials may use where that is required.
const USE_LABEL: (&str, &str) = ("roundhouse.dev/use", "credential");
/// What `kubectl apply` keeps of an object: all of it, once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Longer explanations are cut.
const EXPLANATION: usize = 300;

/// An answer that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not what it should be")]
pub(super) struct Unexpected;

/// A page of a listing.
pub(super) struct Page {
    pub(super) objects: Vec<(Identity, Content)>,
    /// Of the whole listing.
    pub(super) resource_version: String,
    /// What asks for the next page.
    pub(super) next: Option<String>,
}

/// One line of a watch.
pub(super) enum Line {
    Applied(Identity, Content),
    Deleted(Identity),
    /// Nothing happened up to this version.
    Bookmark,
    /// The watch cannot go on.
    Error(Box<Status>),
    /// Something that cannot even be named.
    Nameless,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(default)]
    metadata: ListHead,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListHead {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(rename = "type", borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Headed {
    metadata: Head,
}

/// What is kept of the metadata of something of which no more is wanted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl From<ObjectMeta> for Head {
    fn from(metadata: ObjectMeta) -> Self {
        Self {
            name: metadata.name.unwrap_or_default(),
            namespace: metadata.namespace.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            labels: metadata.labels,
        }
    }
}

#[derive(Deserialize)]
struct WithValues<V> {
    metadata: ObjectMeta,
    #[serde(default = "Option::default")]
    data: Option<BTreeMap<String, V>>,
}

/// Takes a page of a listing of `kind` apart.
pub(super) fn page(kind: Kind, text: &str) -> Result<Page, Unexpected> {
    let list: List<'_> = serde_json::from_str(text).map_err(|_| Unexpected)?;
    let items = list.items.unwrap_or_default();
    Ok(Page {
        objects: items.into_iter().filter_map(|item| object(kind, item)).collect(),
        resource_version: list.metadata.resource_version,
        next: Some(list.metadata.next).filter(|next| !next.is_empty()),
    })
}

/// Takes a line of a watch of `kind` apart, and says up to which version it goes.
pub(super) fn line(kind: Kind, text: &[u8]) -> Result<(Line, Option<String>), Unexpected> {
    let RawLine { event, object: raw } = serde_json::from_slice(text).map_err(|_| Unexpected)?;
    if event == "ERROR" {
        let status: Status = serde_json::from_str(raw.get()).map_err(|_| Unexpected)?;
        return Ok((Line::Error(Box::new(status)), None));
    }
    let Headed { metadata } = serde_json::from_str(raw.get()).map_err(|_| Unexpected)?;
    let line = match &*event {
        "BOOKMARK" => Line::Bookmark,
        "DELETED" => identity(kind, &metadata).map_or(Line::Nameless, Line::Deleted),
        _ => object(kind, raw).map_or(Line::Nameless, |(identity, content)| {
            Line::Applied(identity, content)
        }),
    };
    let version = Some(metadata.resource_version).filter(|version| !version.is_empty());
    Ok((line, version))
}

/// Takes the answer to a GET of a Secret or `ConfigMap` apart. `text` is wiped afterwards.
pub(super) fn values(kind: Kind, text: String) -> Result<Fetched, Unexpected> {
    let text = Secret::new(text);
    if kind == Kind::Secret {
        // What cannot be read is not quoted: it may be the value.
        let mut secret: WithValues<ByteString> =
            serde_json::from_slice(text.expose()).map_err(|_| Unexpected)?;
        // It repeats the values, and is wiped like them.
        let annotations = secret.metadata.annotations.as_mut();
        drop(
            annotations
                .and_then(|all| all.remove(LAST_APPLIED))
                .map(Secret::new),
        );
        let data = secret.data.unwrap_or_default();
        let values = SecretValues::from_cluster(
            data.into_iter().map(|(key, value)| (key, value.0)),
            &secret.metadata,
        );
        return Ok(Fetched::Found {
            stub: stub(&secret.metadata.into()),
            object: Object::Secret(Arc::new(values)),
        });
    }
    let map: WithValues<String> = serde_json::from_slice(text.expose()).map_err(|_| Unexpected)?;
    Ok(Fetched::Found {
        stub: stub(&map.metadata.into()),
        object: Object::ConfigMap(Arc::new(map.data.unwrap_or_default())),
    })
}

/// `None` for something without a name.
fn object(kind: Kind, raw: &RawValue) -> Option<(Identity, Content)> {
    let raw = raw.get();
    let Headed { metadata } = serde_json::from_str(raw).ok()?;
    let identity = identity(kind, &metadata)?;
    let content = match kind {
        Kind::Provider => ours(raw, Object::Provider, |it: &mut Provider| &mut it.metadata),
        Kind::Credential => ours(raw, Object::Credential, |it: &mut Credential| &mut it.metadata),
        Kind::ModelRoute => ours(raw, Object::ModelRoute, |it: &mut ModelRoute| &mut it.metadata),
        Kind::ClientKey => ours(raw, Object::ClientKey, |it: &mut ClientKey| &mut it.metadata),
        Kind::Secret | Kind::ConfigMap => Content::Stub(stub(&metadata)),
    };
    Some((identity, content))
}

fn ours<T: DeserializeOwned>(
    raw: &str,
    wrap: impl FnOnce(Arc<T>) -> Object,
    metadata: impl FnOnce(&mut T) -> &mut ObjectMeta,
) -> Content {
    match serde_json::from_str::<T>(raw) {
        Ok(mut object) => {
            let metadata = metadata(&mut object);
            // Nobody here reads them, and they are longer than the rest.
            metadata.managed_fields = None;
            if let Some(annotations) = &mut metadata.annotations {
                annotations.remove(LAST_APPLIED);
            }
            Content::Object(wrap(Arc::new(object)))
        }
        Err(error) => Content::Undecodable(error.to_string().chars().take(EXPLANATION).collect()),
    }
}

fn identity(kind: Kind, metadata: &Head) -> Option<Identity> {
    let name = ObjectName::new(&metadata.namespace, &metadata.name).ok()?;
    Some(Identity { kind, name })
}

fn stub(metadata: &Head) -> Stub {
    let (label, value) = USE_LABEL;
    let labels = metadata.labels.as_ref();
    Stub {
        resource_version: metadata.resource_version.as_str().into(),
        labelled: labels.and_then(|labels| labels.get(label)).map(String::as_str) == Some(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_that_is_not_understood_spoils_no_other() {
        let meta = |name: &str| json!({"namespace": "team", "name": name, "resourceVersion": "7"});
        let text = json!({
            "metadata": {"resourceVersion": "9", "continue": "more"},
            "items": [
                {"metadata": meta("good"), "spec": {"dialect": "OpenAI", "url": "https://api.example/v1"}},
                {"metadata": meta("bad"), "spec": {"dialect": "Martian"}},
                {"spec": {}},
            ],
        });
        let page = page(Kind::Provider, &text.to_string()).unwrap();
        assert_eq!(
            (page.resource_version.as_str(), page.next.as_deref()),
            ("9", Some("more"))
        );
        let [(good, Content::Object(_)), (bad, Content::Undecodable(why))] = &*page.objects else {
            panic!("{:?}", page.objects);
        };
        assert_eq!(
            (good.to_string(), bad.to_string()),
            ("Provider team/good".to_owned(), "Provider team/bad".to_owned())
        );
        assert!(why.contains("Martian"), "{why}");
    }

    #[test]
    fn what_is_long_and_not_read_is_not_kept() {
        let metadata = json!({
            "namespace": "team",
            "name": "it",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {LAST_APPLIED: "{}", "roundhouse.dev/clear-rest": "now"},
        });
        let spec = json!({"models": ["m"], "targets": [{"providerRef": {"name": "p"}}]});
        let text = json!({"type": "ADDED", "object": {"metadata": metadata, "spec": spec}}).to_string();
        let Ok((Line::Applied(_, Content::Object(Object::ModelRoute(route))), None)) =
            line(Kind::ModelRoute, text.as_bytes())
        else {
            panic!("{text}");
        };
        assert_eq!(route.metadata.managed_fields, None);
        let annotations = route.metadata.annotations.clone().unwrap_or_default();
        assert_eq!(
            annotations.keys().collect::<Vec<_>>(),
            ["roundhouse.dev/clear-rest"]
        );
    }

    #[test]
    fn lines_say_up_to_which_version_they_go() {
        let line = |text: &str| line(Kind::Secret, text.as_bytes());
        let bookmark =
            r#"{"type":"BOOKMARK","object":{"kind":"Secret","metadata":{"resourceVersion":"12"}}}"#;
        assert!(matches!(line(bookmark), Ok((Line::Bookmark, Some(version))) if version == "12"));
        let gone = r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"message":"too old"}}"#;
        assert!(matches!(line(gone), Ok((Line::Error(status), None)) if status.code == 410));
        let labelled = r#"{"type":"MODIFIED","object":{"metadata":{"namespace":"a","name":"b","resourceVersion":"3","labels":{"roundhouse.dev/use":"credential"}}}}"#;
        let Ok((Line::Applied(identity, Content::Stub(stub)), Some(_))) = line(labelled) else {
            panic!("{labelled}");
        };
        assert_eq!(
            (identity.to_string(), &*stub.resource_version, stub.labelled),
            ("Secret a/b".to_owned(), "3", true)
        );
        assert!(line("{\"type\":").is_err());
    }

    #[test]
    fn values_of_secrets_are_decoded_and_never_printed() {
        let text = r#"{"metadata":{"namespace":"a","name":"b","resourceVersion":"3"},"data":{"api-key":"Y2FuYXJ5LTAxMjM="}}"#;
        let Ok(Fetched::Found {
            stub,
            object: Object::Secret(values),
        }) = values(Kind::Secret, text.to_owned())
        else {
            panic!("a Secret");
        };
        assert!(!stub.labelled);
        let canary = resources::SecretValue::Known(Secret::new("canary-0123"));
        assert_eq!(values.values.get("api-key"), Some(&canary));
        assert!(!format!("{values:?}").contains("canary"));
        let broken = super::values(
            Kind::Secret,
            r#"{"metadata":{},"data":{"a":"canary!"}}"#.to_owned(),
        );
        assert_eq!(
            broken.map(|_| ()).unwrap_err().to_string(),
            Unexpected.to_string()
        );
        let map = super::values(
            Kind::ConfigMap,
            r#"{"metadata":{},"data":{"ca.crt":"PEM"}}"#.to_owned(),
        );
        assert!(
            matches!(map, Ok(Fetched::Found { object: Object::ConfigMap(map), .. }) if map["ca.crt"] == "PEM")
        );
    }
}
