//! Who calls.

use std::collections::BTreeMap;

use tonic::{Status, async_trait, metadata::MetadataMap};

use crate::identity::Reviewer;

/// Who calls, as a review of its token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name of the user.
    pub username: String,
    /// What tells it from an earlier user of this name.
    pub uid: String,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// What else the API server knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Says who sent a request.
#[async_trait]
pub trait Identify: Send + Sync + 'static {
    /// Who sent this: UNAUTHENTICATED without a token that is accepted, UNAVAILABLE when nobody can say.
    async fn identify(&self, metadata: &MetadataMap) -> Result<Caller, Status>;
}

#[async_trait]
impl Identify for Reviewer {
    async fn identify(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let identity = Self::identify(self, metadata)
            .await
            .map_err(|unidentified| Status::from(&unidentified))?;
        Ok(Caller {
            username: identity.user.clone(),
            uid: identity.uid.clone(),
            groups: identity.groups.clone(),
            extra: identity.extra.clone(),
        })
    }
}
