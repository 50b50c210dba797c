//! The kinds of objects that may ask for something.

use std::fmt::Debug;

use kube::{Resource, core::NamespaceResourceScope};
use pool::StoreAway;
use resources::kinds::{ClientKey, Credential, LastHandled};
use serde::de::DeserializeOwned;
use snapshot::{ClientName, CredentialName, ObjectName, ProviderName};

use super::order::Asked;
use crate::store::Store;

/// An object that may ask for something by its annotations.
pub(super) trait Asking:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync
{
    /// What it may ask for.
    const ASKED: &'static [Asked];

    /// What was acted on, as its status tells.
    fn handled(&self) -> Option<LastHandled>;

    /// Does what is asked for, in the store; `None` when the object is not one that can be in it.
    fn order(
        &self,
        store: &Store,
        name: &ObjectName,
        asked: Asked,
    ) -> impl Future<Output = Option<Result<(), StoreAway>>> + Send;

    /// What was done, for people.
    fn told(asked: Asked) -> &'static str;
}

impl Asking for Credential {
    const ASKED: &'static [Asked] = &[Asked::ClearRest, Asked::ResetQuota];

    fn handled(&self) -> Option<LastHandled> {
        self.status.as_ref()?.last_handled.clone()
    }

    async fn order(&self, store: &Store, name: &ObjectName, asked: Asked) -> Option<Result<(), StoreAway>> {
        let provider = ProviderName::new(name.namespace(), &self.spec.provider_ref.name).ok()?;
        let name = CredentialName::from(name.clone());
        Some(match asked {
            Asked::ClearRest => store.clear_rest(&provider, &name).await,
            Asked::ResetQuota => store.reset_quota(&provider, &name).await,
        })
    }

    fn told(asked: Asked) -> &'static str {
        match asked {
            Asked::ClearRest => "its rests were ended, as the annotation asks",
            Asked::ResetQuota => "its quota windows begin anew, as the annotation asks",
        }
    }
}

impl Asking for ClientKey {
    const ASKED: &'static [Asked] = &[Asked::ResetQuota];

    fn handled(&self) -> Option<LastHandled> {
        let handled = self.status.as_ref()?.last_handled.as_ref()?;
        Some(LastHandled {
            clear_rest: None,
            reset_quota: handled.reset_quota.clone(),
        })
    }

    async fn order(&self, store: &Store, name: &ObjectName, asked: Asked) -> Option<Result<(), StoreAway>> {
        match asked {
            Asked::ResetQuota => Some(store.reset_budgets(&ClientName::from(name.clone())).await),
            // A caller has no rests.
            Asked::ClearRest => None,
        }
    }

    fn told(_: Asked) -> &'static str {
        "its budgets begin anew, as the annotation asks"
    }
}
