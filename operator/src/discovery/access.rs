//! Which callers are gateways of this installation.

use snapshot::Timestamp;
use tonic::{Status, metadata::MetadataMap};

use super::Discovery;
use crate::{identity::ServiceAccount, serve::Connection};

/// A gateway that may connect.
pub(super) struct Admitted {
    /// The name of its pod; `None` for a token that was given to no pod.
    pub(super) pod: Option<String>,
    /// When its token ends.
    pub(super) expires: Option<Timestamp>,
}

/// Lets the account of the gateways in, and nobody else.
pub(super) async fn admit(
    discovery: &Discovery,
    connection: &Connection,
    metadata: &MetadataMap,
) -> Result<Admitted, Status> {
    let refusals = &discovery.refusals;
    let identity = match discovery.reviewer.identify(metadata).await {
        Ok(identity) => identity,
        Err(error) => {
            refusals.tell(connection.peer, error.reason(), &error);
            return Err(Status::from(&error));
        }
    };
    let gateways = ServiceAccount {
        namespace: &discovery.settings.namespace,
        name: &discovery.settings.account,
    };
    if identity.service_account() != Some(gateways) {
        refusals.tell(connection.peer, "other_account", &identity.user);
        return Err(Status::permission_denied(
            "this account is not the one of the gateways",
        ));
    }
    Ok(Admitted {
        pod: identity.pod().map(str::to_owned),
        expires: identity.expires,
    })
}
