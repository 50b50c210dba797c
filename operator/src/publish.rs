//! Compiles objects, and publishes what they come to.

use std::sync::Arc;

use proto::Contents;
use resources::{ObjectConditions, Objects, Place, compile};
use snapshot::{DigestKey, Secret};
use telemetry::Health;
use tokio::{sync::watch, task::spawn_blocking};

use crate::{index::Change, metrics::Reconciles, published::Published};

/// Publishes what objects come to.
pub struct Publisher {
    settings: PublishSettings,
    publications: watch::Sender<Option<Arc<Published>>>,
    meters: Reconciles,
    health: Health,
}

/// How objects are compiled.
#[derive(Debug)]
pub struct PublishSettings {
    /// The key of the installation, under which keys are hashed.
    pub digest_key: watch::Receiver<Secret>,
    /// Which addresses objects may name.
    pub place: Place,
}

impl Publisher {
    /// Publishes with `publications`.
    pub const fn new(
        settings: PublishSettings,
        publications: watch::Sender<Option<Arc<Published>>>,
        meters: Reconciles,
        health: Health,
    ) -> Self {
        Self {
            settings,
            publications,
            meters,
            health,
        }
    }

    /// The key of the installation: when it changes, everything has to be compiled.
    pub fn digest_key(&self) -> watch::Receiver<Secret> {
        self.settings.digest_key.clone()
    }

    /// Publishes objects, together with what is said of those (`refused`) that cannot be understood. Compiles them if
    /// `change` since the last time concerns what compile looks at.
    ///
    /// A compilation that panics is logged and publishes nothing: what was published before is still good.
    pub async fn publish(&mut self, objects: &Objects, refused: Vec<ObjectConditions>, change: Change) {
        let objects = Arc::new(objects.clone());
        let before = self.publications.borrow().clone();
        let published = match before {
            Some(before) if change < Change::Content => Published {
                objects,
                ..(*before).clone()
            },
            before => {
                let (key, place) = (self.settings.digest_key.borrow().clone(), self.settings.place);
                let timer = self.meters.begin();
                // Hashing thousands of objects would hold up whatever shares the thread.
                let compiled =
                    spawn_blocking(move || compiled(key, place, objects, refused, before.as_deref())).await;
                drop(timer);
                match compiled {
                    Ok(published) => published,
                    Err(error) => {
                        tracing::error!(%error, "compiling failed; what was published last stays");
                        self.health.degraded("compiling", Some("failed".to_owned()));
                        return;
                    }
                }
            }
        };
        self.health.degraded("compiling", None);
        self.publications.send_replace(Some(Arc::new(published)));
    }
}

/// Compiles objects. What is as it was `before` is shared with it.
fn compiled(
    digest_key: Secret,
    place: Place,
    objects: Arc<Objects>,
    refused: Vec<ObjectConditions>,
    before: Option<&Published>,
) -> Published {
    let compiled = compile(&objects, &DigestKey::new(&digest_key), place);
    let mut conditions = compiled.conditions;
    conditions.extend(refused);
    conditions.sort_by(|a, b| a.identity.cmp(&b.identity));
    let contents = Contents::new(
        Arc::new(compiled.snapshot),
        Arc::new(compiled.keyring),
        digest_key,
    );
    let same_contents = before.filter(|before| before.contents == contents);
    let same_conditions = before.filter(|before| *before.conditions == *conditions);
    Published {
        contents: same_contents.map_or(contents, |before| before.contents.clone()),
        conditions: same_conditions.map_or_else(|| conditions.into(), |before| before.conditions.clone()),
        objects,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use prometheus::Registry;
    use resources::{
        Condition, ConditionType, Identity, Kind, Object, Reason, SecretValues,
        kinds::{Credential, Provider},
    };
    use snapshot::ObjectName;

    use super::*;
    use crate::published::Publications;

    fn name(name: &str) -> ObjectName {
        ObjectName::new("team", name).unwrap()
    }

    fn objects() -> Objects {
        let provider = r#"{"metadata":{},"spec":{"dialect":"OpenAI","url":"https://api.example.com/v1"}}"#;
        let provider: Provider = serde_json::from_str(provider).unwrap();
        let credential =
            r#"{"metadata":{},"spec":{"providerRef":{"name":"p"},"apiKey":{"secretRef":{"name":"s"}}}}"#;
        let credential: Credential = serde_json::from_str(credential).unwrap();
        let secret = [("api-key".to_owned(), b"canary-0123".to_vec())];
        let secret = SecretValues::from_cluster(secret, &ObjectMeta::default());
        let mut objects = Objects::default();
        objects.extend([
            (name("p"), Object::Provider(Arc::new(provider))),
            (name("c"), Object::Credential(Arc::new(credential))),
            (name("s"), Object::Secret(Arc::new(secret))),
        ]);
        objects
    }

    fn publisher() -> (Publisher, Publications, Registry) {
        let registry = Registry::new();
        let (sender, publications) = watch::channel(None);
        let settings = PublishSettings {
            digest_key: watch::channel(Secret::new("installation")).1,
            place: Place::Cluster { allow_private: false },
        };
        let meters = Reconciles::new(&registry).unwrap();
        let publisher = Publisher::new(settings, sender, meters, Health::new());
        (publisher, publications, registry)
    }

    fn latest(publications: &mut Publications) -> Arc<Published> {
        publications.borrow_and_update().clone().unwrap()
    }

    fn compilations(registry: &Registry) -> f64 {
        let families = registry.gather();
        let total = families
            .iter()
            .find(|it| it.name() == "roundhouse_operator_reconciles_total");
        total.unwrap().get_metric()[0].get_counter().get_value()
    }

    #[tokio::test]
    async fn a_change_of_status_is_published_and_not_compiled() {
        let (mut publisher, mut publications, registry) = publisher();
        publisher.publish(&objects(), Vec::new(), Change::None).await;
        let first = latest(&mut publications);
        assert_eq!(first.contents.snapshot().credentials.len(), 1);
        assert!(!format!("{first:?}").contains("canary"));

        let mut changed = objects();
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let identity = Identity {
            kind: Kind::Provider,
            name: name("p"),
        };
        if let Some(Object::Provider(provider)) = changed.get(&identity).cloned() {
            let mut provider = (*provider).clone();
            provider.metadata.annotations = Some(annotations.clone());
            changed.insert(name("p"), Object::Provider(Arc::new(provider)));
        }
        publisher.publish(&changed, Vec::new(), Change::Metadata).await;
        let second = latest(&mut publications);
        assert!(Arc::ptr_eq(first.contents.versions(), second.contents.versions()));
        let Some(Object::Provider(provider)) = second.objects.get(&identity) else {
            panic!("the Provider is published");
        };
        assert_eq!(provider.metadata.annotations, Some(annotations));
        assert!((compilations(&registry) - 1.0).abs() < 0.1);

        // Compiled anew, and nothing is different: gateways are told nothing.
        publisher.publish(&changed, Vec::new(), Change::Content).await;
        let third = latest(&mut publications);
        assert!(Arc::ptr_eq(first.contents.versions(), third.contents.versions()));
        assert!(Arc::ptr_eq(&first.conditions, &third.conditions));
        assert!((compilations(&registry) - 2.0).abs() < 0.1);
    }

    #[tokio::test]
    async fn under_another_key_of_the_installation_everything_has_another_version() {
        let (mut publisher, mut publications, _) = publisher();
        publisher.publish(&objects(), Vec::new(), Change::None).await;
        let first = latest(&mut publications);
        let (keys, key) = watch::channel(Secret::new("installation"));
        publisher.settings.digest_key = key;
        keys.send_replace(Secret::new("another"));
        publisher.publish(&objects(), Vec::new(), Change::Content).await;
        let second = latest(&mut publications);
        assert_ne!(
            first.contents.versions().snapshot,
            second.contents.versions().snapshot
        );
    }

    #[tokio::test]
    async fn what_is_not_understood_has_a_condition_among_the_others() {
        let (mut publisher, mut publications, _) = publisher();
        let refused = ObjectConditions {
            identity: Identity {
                kind: Kind::Credential,
                name: name("a"),
            },
            conditions: vec![Condition {
                kind: ConditionType::Accepted,
                status: false,
                reason: Reason::InvalidSpec,
                message: "unknown".to_owned(),
            }],
        };
        publisher
            .publish(&objects(), vec![refused], Change::Content)
            .await;
        let told: Vec<String> = latest(&mut publications)
            .conditions
            .iter()
            .map(|it| format!("{} {}", it.identity, it.is_good()))
            .collect();
        assert_eq!(
            told,
            [
                "Provider team/p true",
                "Credential team/a false",
                "Credential team/c true"
            ]
        );
    }
}
