//! What stands in for the rest of the operator where one part of it is tested: it reads the objects of one namespace and
//! publishes what they come to.

mod people;
mod told;

use std::{fmt::Debug, sync::Arc, time::Duration};

use cluster::ApiServer;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PostParams},
    core::NamespaceResourceScope,
};
use operator::published::{Publications, Published};
use proto::Contents;
use resources::{
    Object, Objects, Place, SecretValues, compile,
    kinds::{ClientKey, Credential, Provider},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use snapshot::{DigestKey, ObjectName, Secret};
use tokio::{sync::watch, time::sleep};

pub(crate) use people::may;
pub(crate) use told::Told;

/// A namespace with what is published of it.
pub(crate) struct World {
    /// With all rights.
    pub(crate) client: Client,
    pub(crate) namespace: String,
    publications: watch::Sender<Option<Arc<Published>>>,
}

/// An object as the API server stores it.
pub(crate) trait Stored:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Stored for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

impl World {
    /// A new namespace.
    pub(crate) async fn new(namespace: &str) -> Self {
        let server = ApiServer::shared();
        server.namespace(namespace);
        Self {
            client: server.client().await,
            namespace: namespace.to_owned(),
            publications: watch::Sender::new(None),
        }
    }

    pub(crate) fn publications(&self) -> Publications {
        self.publications.subscribe()
    }

    /// Reads everything and publishes it.
    pub(crate) async fn publish(&self) -> Arc<Published> {
        let mut objects = Objects::default();
        self.read(&mut objects, |object: Provider| {
            Object::Provider(Arc::new(object))
        })
        .await;
        self.read(&mut objects, |object: Credential| {
            Object::Credential(Arc::new(object))
        })
        .await;
        self.read(&mut objects, |object: ClientKey| {
            Object::ClientKey(Arc::new(object))
        })
        .await;
        self.read(&mut objects, |secret: KubeSecret| {
            let data = secret.data.into_iter().flatten();
            let data = data.map(|(key, value)| (key, value.0));
            Object::Secret(Arc::new(SecretValues::from_cluster(data, &secret.metadata)))
        })
        .await;
        let key = Secret::new("the key of this installation");
        let compiled = compile(&objects, &DigestKey::new(&key), PLACE);
        let published = Arc::new(Published {
            contents: Contents::new(Arc::new(compiled.snapshot), Arc::new(compiled.keyring), key),
            conditions: compiled.conditions.into(),
            objects: Arc::new(objects),
        });
        self.publications.send_replace(Some(published.clone()));
        published
    }

    /// Publishes again and again.
    pub(crate) async fn follow(&self) -> ! {
        loop {
            self.publish().await;
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn read<K: Stored>(&self, objects: &mut Objects, make: impl Fn(K) -> Object) {
        let found = self.api::<K>().list(&ListParams::default()).await;
        for object in found.expect("everything may be read") {
            let name = ObjectName::new(&self.namespace, &object.name_any()).expect("a name");
            objects.insert(name, make(object));
        }
    }

    pub(crate) fn api<K: Stored>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes an object with this spec.
    pub(crate) async fn make<K: Stored>(&self, name: &str, spec: &Value) -> K {
        let text = serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name},
            "spec": spec,
        })
        .to_string();
        let object: K = serde_json::from_str(&text).expect("an object of the kind");
        let made = self.api().create(&PostParams::default(), &object).await;
        made.expect("it can be made")
    }

    /// Makes a Secret with one value.
    pub(crate) async fn secret(&self, name: &str, key: &str, value: &str) {
        let mut secret = KubeSecret::default();
        secret.metadata.name = Some(name.to_owned());
        secret.string_data = Some([(key.to_owned(), value.to_owned())].into());
        let made = self.api().create(&PostParams::default(), &secret).await;
        made.expect("it can be made");
    }

    /// A value of a Secret.
    pub(crate) async fn value(&self, name: &str, key: &str) -> Option<String> {
        let secret = self.api::<KubeSecret>().get_opt(name).await;
        let mut data = secret.expect("it can be read")?.data?;
        let value = data.remove(key)?.0;
        Some(String::from_utf8(value).expect("text"))
    }

    /// A token of an account of the namespace, for this audience.
    pub(crate) fn token(&self, account: &str, audience: &str) -> String {
        ApiServer::shared().token(&self.namespace, account, &[audience])
    }

    pub(crate) fn name(&self, name: &str) -> ObjectName {
        ObjectName::new(&self.namespace, name).expect("a name")
    }
}

/// Where everything is used.
pub(crate) const PLACE: Place = Place::Cluster { allow_private: false };

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within a minute"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
