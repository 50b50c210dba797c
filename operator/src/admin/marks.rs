//! What is asked for by changing an object that is there: annotations that the leader acts on, and `suspend`.

use std::fmt::Debug;

use futures_util::{TryStreamExt, stream};
use kube::{Resource, core::NamespaceResourceScope};
use resources::{
    Kind, Object, Objects,
    kinds::{ClientKey, Credential},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use snapshot::{ObjectName, Timestamp};
use tonic::Status;

use super::control::Control;

/// How many objects are written at the same time.
const AT_A_TIME: usize = 8;

/// Asks to end the rests of a credential.
pub(super) const CLEAR_REST: &str = "roundhouse.dev/clear-rest";
/// Asks to begin quotas or budgets anew.
pub(super) const RESET_QUOTA: &str = "roundhouse.dev/reset-quota";

impl Control {
    /// Writes an annotation that asks for something at this moment.
    pub(super) async fn mark<K>(
        &self,
        name: &ObjectName,
        annotation: &str,
        at: Timestamp,
    ) -> Result<(), Status>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let patch = json!({"metadata": {"annotations": {annotation: written(at)}}});
        self.patch::<K>(name, &patch).await.map(|_| ())
    }

    /// Asks to begin the quotas of all of these anew; stops at the first that fails. Asking again marks all of them
    /// anew.
    pub(super) async fn reset_all(
        &self,
        credentials: &[ObjectName],
        client_keys: &[ObjectName],
        at: Timestamp,
    ) -> Result<(), Status> {
        let credentials = credentials.iter().map(|name| (Kind::Credential, name));
        let client_keys = client_keys.iter().map(|name| (Kind::ClientKey, name));
        stream::iter(credentials.chain(client_keys).map(Ok::<_, Status>))
            .try_for_each_concurrent(AT_A_TIME, |(kind, name)| async move {
                let marked = match kind {
                    Kind::ClientKey => self.mark::<ClientKey>(name, RESET_QUOTA, at).await,
                    _ => self.mark::<Credential>(name, RESET_QUOTA, at).await,
                };
                match marked {
                    // It was deleted meanwhile, and its quota with it.
                    Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
                    marked => marked,
                }
            })
            .await
    }

    /// Takes a credential out of use or back, and says in which generation.
    pub(super) async fn suspend(&self, name: &ObjectName, suspend: bool) -> Result<i64, Status> {
        let patch = json!({"spec": {"suspend": suspend}});
        let object: Credential = self.patch(name, &patch).await?;
        Ok(object.metadata.generation.unwrap_or_default())
    }
}

/// The objects of a namespace that have quotas or budgets: Credentials and `ClientKey`s.
pub(super) fn with_quota(objects: &Objects, namespace: &str) -> (Vec<ObjectName>, Vec<ObjectName>) {
    let (mut credentials, mut client_keys) = (Vec::new(), Vec::new());
    for (identity, object) in objects.iter() {
        let name = &identity.name;
        match object {
            _ if name.namespace() != namespace => (),
            Object::Credential(object) if object.spec.quota.is_some() => credentials.push(name.clone()),
            Object::ClientKey(object) if !object.spec.budgets.is_empty() => client_keys.push(name.clone()),
            _ => (),
        }
    }
    (credentials, client_keys)
}

/// A moment as annotations have it. To the microsecond: two requests within a second are two.
fn written(at: Timestamp) -> String {
    i64::try_from(at.as_micros())
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
        .map_or_else(|| at.to_string(), |time| time.to_string())
}
