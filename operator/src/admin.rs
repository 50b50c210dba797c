//! What people, tools and gateways ask of an operator: the services of `roundhouse.admin.v1`.
//!
//! Any replica answers. A change is made as a change of objects by the operator's own account, after Kubernetes was
//! asked whether the caller may do it ([`Admin`]), or after the client key that a gateway passes on was found to be an
//! administrator's ([`Delegated`]). What annotations ask for is done by the leader.
//!
//! Start at [`services`]. `control` has what both services do, without asking who wants it.

mod access;
mod ask;
mod control;
mod credentials;
mod delegated;
mod gateways;
mod identify;
mod keys;
mod listing;
mod marks;
mod refusal;
mod service;
mod state;
mod usage;

use std::sync::Arc;

use kube::Client;
use pool::{
    Clock,
    redis::{ledger::SharedLedger, link::Link},
};
use proto::admin::v1::{admin_server::AdminServer, delegated_server::DelegatedServer};
use resources::Place;
use snapshot::CredentialName;

pub use delegated::{CLIENT_KEY_METADATA, Delegated};
pub use identify::{Caller, Identify};
pub use service::Admin;

use crate::{gateways::Gateway, published::Publications, refusals::Refusals, serve::Telling};
use access::Access;
use control::Control;

/// Longest message that is read, in bytes. The longest that makes sense is a secret.
const MESSAGE_MAX: usize = 256 << 10;

/// What an installation allows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace that the operator runs in.
    pub namespace: String,
    /// The user that the gateways are: `system:serviceaccount:NAMESPACE:RELEASE-gateway`.
    pub gateway_user: String,
    /// Where the objects are used.
    pub place: Place,
    /// Whether client keys are minted (`clientKeys.mint`).
    pub mints: bool,
}

/// What the services are made of.
pub struct Parts {
    /// The operator's own account.
    pub client: Client,
    /// What is published.
    pub publications: Publications,
    /// The gateways as this replica sees them.
    pub gateways: Arc<dyn Fn() -> Vec<Gateway> + Send + Sync>,
    /// Calls in flight of a credential, as far as this replica knows.
    pub in_flight: Arc<dyn Fn(&CredentialName) -> u32 + Send + Sync>,
    /// What all gateways used, where they share it.
    pub usage: Option<Arc<SharedLedger<Link>>>,
    /// Says who sent a token for the audience `roundhouse-admin`.
    pub people: Arc<dyn Identify>,
    /// Says who sent a token for the audience `roundhouse-discovery`.
    pub gateway_identities: Arc<dyn Identify>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// What the installation allows.
    pub settings: Settings,
}

/// The services, ready to be served over TLS: keys go through them. Whom they refuse is told to `refusals`.
pub fn services(
    parts: Parts,
    refusals: &Refusals,
) -> (Telling<AdminServer<Admin>>, Telling<DelegatedServer<Delegated>>) {
    let (admin, delegated) = unserved(parts);
    let admin = AdminServer::new(admin).max_decoding_message_size(MESSAGE_MAX);
    let delegated = DelegatedServer::new(delegated).max_decoding_message_size(MESSAGE_MAX);
    (
        Telling::new(admin, refusals.clone()),
        Telling::new(delegated, refusals.clone()),
    )
}

/// The services as they are called within a process.
pub fn unserved(parts: Parts) -> (Admin, Delegated) {
    let Parts {
        client,
        publications,
        gateways,
        in_flight,
        usage,
        people,
        gateway_identities,
        clock,
        settings,
    } = parts;
    let access = Access::new(client.clone());
    let gateway_user: Arc<str> = settings.gateway_user.as_str().into();
    let control = Arc::new(Control::new(client, publications, clock, settings));
    let delegated = Delegated::new(control.clone(), gateway_identities, gateway_user.clone());
    let admin = Admin::new(service::Parts {
        control,
        access,
        people,
        gateway_user,
        gateways,
        in_flight,
        usage,
    });
    (admin, delegated)
}
