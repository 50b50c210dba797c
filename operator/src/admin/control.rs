//! What is done for whoever may do it: changes of objects.

use std::{fmt::Debug, sync::Arc};

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::NamespaceResourceScope,
};
use pool::Clock;
use serde::{Serialize, de::DeserializeOwned};
use snapshot::ObjectName;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::Status;

use super::{Settings, refusal};
use crate::{
    kubernetes::{FIELD_MANAGER, call, post},
    published::{Publications, Published},
};

/// The label of what was made through the API, and its value.
pub(super) const MADE_BY: (&str, &str) = ("roundhouse.dev/made-by", "api");

/// Requests that are worked on at the same time. More are refused, so that nobody fills the memory with them.
const AT_A_TIME: usize = 32;

/// Makes the changes. It does not ask who wants them.
pub(super) struct Control {
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Settings,
    publications: Publications,
    turns: Semaphore,
}

impl Control {
    pub(super) fn new(
        client: Client,
        publications: Publications,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self {
            client,
            clock,
            settings,
            publications,
            turns: Semaphore::new(AT_A_TIME),
        }
    }

    /// A place among those whose requests are worked on.
    pub(super) fn turn(&self) -> Result<SemaphorePermit<'_>, Status> {
        self.turns.try_acquire().map_err(|_| {
            Status::resource_exhausted(format!("{AT_A_TIME} requests are worked on already; ask again"))
        })
    }

    /// What is published.
    pub(super) fn published(&self) -> Result<Arc<Published>, Status> {
        let published = self.publications.borrow().clone();
        published.ok_or_else(|| {
            Status::unavailable(
                "this replica has not read all objects yet; ask again, or ask another replica",
            )
        })
    }

    pub(super) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes an object.
    pub(super) async fn create<K>(&self, name: &ObjectName, object: &K) -> Result<K, Status>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let api = self.api::<K>(name.namespace());
        call(api.create(&post(), object))
            .await
            .map_err(|error| refusal::call(&format!("make {} {name}", K::kind(&())), &error))
    }

    /// Changes an object that is there: a JSON merge patch.
    pub(super) async fn patch<K>(&self, name: &ObjectName, patch: &impl Patched) -> Result<K, Status>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api::<K>(name.namespace());
        call(api.patch(name.name(), &params, &Patch::Merge(patch)))
            .await
            .map_err(|error| refusal::call(&format!("change {} {name}", K::kind(&())), &error))
    }

    /// An object that was made through the API. Others are not to be deleted through it: whoever applied them
    /// would apply them again.
    pub(super) async fn made<K>(&self, name: &ObjectName) -> Result<K, Status>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let kind = K::kind(&());
        let api = self.api::<K>(name.namespace());
        let found = call(api.get_opt(name.name()))
            .await
            .map_err(|error| refusal::call(&format!("read {kind} {name}"), &error))?;
        let found = found.ok_or_else(|| Status::not_found(format!("there is no {kind} {name}")))?;
        if is_made(&found) {
            return Ok(found);
        }
        Err(Status::failed_precondition(format!(
            "{kind} {name} was not made through this API; delete it where it was applied"
        )))
    }

    /// Deletes an object that was read, unless another has taken its name.
    pub(super) async fn delete<K>(&self, name: &ObjectName, object: &K) -> Result<(), Status>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: object.uid(),
            resource_version: None,
        });
        let api = self.api::<K>(name.namespace());
        call(api.delete(name.name(), &params))
            .await
            .map(|_| ())
            .map_err(|error| refusal::call(&format!("delete {} {name}", K::kind(&())), &error))
    }
}

/// What a merge patch is made of.
pub(super) trait Patched: Serialize + Debug {}

impl<T: Serialize + Debug> Patched for T {}

/// Whether an object was made through the API.
pub(super) fn is_made(object: &impl ResourceExt) -> bool {
    let (label, value) = MADE_BY;
    object.labels().get(label).is_some_and(|found| found == value)
}
