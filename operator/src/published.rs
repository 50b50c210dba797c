//! What the objects of a cluster come to at one moment.

use std::sync::Arc;

use proto::Contents;
use resources::{ObjectConditions, Objects};
use tokio::sync::watch;

/// What is to be served, with the objects that it was made of.
#[derive(Clone, Debug)]
pub struct Published {
    /// What gateways are to serve.
    pub contents: Contents,
    /// What compile says of each object, in order of kind and name.
    pub conditions: Arc<[ObjectConditions]>,
    /// The objects, with their metadata and the status that was seen last. Of Secrets and `ConfigMap`s only those that
    /// are referred to.
    pub objects: Arc<Objects>,
}

/// Follows what is published. `None` until everything was read once: before that nobody may be told anything.
pub type Publications = watch::Receiver<Option<Arc<Published>>>;
