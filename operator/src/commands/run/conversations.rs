//! What gateways, people and tools connect to.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::server::HealthReporter;

use super::{Operator, listen, place};
use crate::{
    admin, authority,
    authority::{AuthoritySettings, Presented},
    discovery::{self, Discovery, DiscoverySettings},
    identity::Reviewer,
    parts::Parts,
    published::Publications,
    refusals::Refusals,
    serve::{self, ServeSettings, Services},
    status::Reading,
};

/// The audience of the tokens that people and tools bring.
const PEOPLE: &str = "roundhouse-admin";

impl Operator<'_> {
    /// Listens, and says who it is. Returns the certificate that is presented.
    pub(super) async fn converse(
        &self,
        parts: &mut Parts,
    ) -> anyhow::Result<watch::Receiver<Option<Presented>>> {
        let (release, namespace) = (&self.arguments.release, &self.namespace);
        let listener = listen(self.arguments.listen, "--listen").await?;
        tracing::info!(listener = "gRPC", address = %listener.local_addr()?, "listening");
        let refusals = Refusals::new(&self.registry)?;
        let (presents, presented) = authority::presented();
        let certificate = presented.clone();
        let settings = AuthoritySettings::new(release, namespace, &self.arguments.cluster_domain);
        let authority = authority::run(self.client.clone(), settings, self.clock.clone(), presents);
        parts.add("authority", async { match authority.await {} });
        let gateways = self.gateways.clone();
        parts.add("gateways", async move { match gateways.forget().await {} });

        let gateway_identities = Reviewer::new(self.client.clone(), discovery::AUDIENCE, self.clock.clone());
        let (admin, delegated) = admin::services(self.administration(&gateway_identities), &refusals);
        let services = Services::new()?.with(admin).with(delegated);
        let (publications, clock) = (self.publications.clone(), self.clock.clone());
        let gateways = self.gateways.clone();
        let settings = DiscoverySettings::new(release, namespace);
        parts.add_finishing("gRPC listener", move |shutdown| async move {
            let discovery = discovery::service(Discovery {
                publications: publications.clone(),
                gateways,
                reviewer: gateway_identities,
                refusals: refusals.clone(),
                clock,
                shutdown: shutdown.clone(),
                settings,
            });
            let healthy = tell_when_healthy(services.health(), publications, &discovery);
            let routes = services.with(discovery).into_router();
            let serving = serve::serve(
                listener,
                presented,
                routes,
                refusals,
                ServeSettings::default(),
                shutdown,
            );
            tokio::select! {
                served = serving => Ok(served?),
                ended = healthy => ended,
            }
        });
        Ok(certificate)
    }

    fn administration(&self, gateway_identities: &Reviewer) -> admin::Parts {
        let (gateways, readings) = (self.gateways.clone(), self.readings.clone());
        admin::Parts {
            client: self.client.clone(),
            publications: self.publications.clone(),
            gateways: Arc::new(move || gateways.list()),
            in_flight: Arc::new(move |credential| match &*readings.borrow() {
                Reading::Known(measured) => measured
                    .credentials
                    .get(credential)
                    .map_or(0, |state| state.in_flight),
                _ => 0,
            }),
            usage: self.store.as_ref().map(crate::store::Store::ledger),
            people: Arc::new(Reviewer::new(self.client.clone(), PEOPLE, self.clock.clone())),
            gateway_identities: Arc::new(gateway_identities.clone()),
            clock: self.clock.clone(),
            settings: admin::Settings {
                namespace: self.namespace.clone(),
                gateway_user: format!(
                    "system:serviceaccount:{}:{}-gateway",
                    self.namespace, self.arguments.release
                ),
                place: place(self.arguments),
                mints: self.arguments.mint_client_keys,
            },
        }
    }
}

/// Says that a service is healthy once there is something to tell.
fn tell_when_healthy<S: NamedService>(
    health: HealthReporter,
    mut publications: Publications,
    _: &S,
) -> impl Future<Output = anyhow::Result<()>> + use<S> {
    async move {
        publications.wait_for(Option::is_some).await?;
        health.set_serving::<S>().await;
        std::future::pending().await
    }
}
