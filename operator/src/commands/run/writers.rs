//! What the replica that leads writes: status, Events, minted keys, and what annotations ask for.

use proto::Reported;
use tokio::sync::{mpsc, watch};

use super::Operator;
use crate::{
    annotations, events,
    leader::{self, LeaderSettings},
    mint,
    parts::Parts,
    status::{self, Gauges, Inputs, Outputs, Pace, Rates, Reading},
};

impl Operator<'_> {
    /// Follows what the shared store says, on every replica: those that do not lead answer people as well.
    pub(super) fn follow_store(&self, parts: &mut Parts, says: watch::Sender<Reading>) {
        let Some(store) = self.store.clone() else {
            parts.add("readings", async move {
                let _open = says;
                std::future::pending().await
            });
            return;
        };
        let (publications, clock) = (self.publications.clone(), self.clock.clone());
        parts.add("readings", async move {
            let (_leads, always) = watch::channel(true);
            status::follow(store, publications, always, clock, Pace::default(), says).await;
            Ok(())
        });
    }

    /// Takes part in the election, whose outcome `elects` tells, and writes while this replica leads. `reports` are what
    /// gateways say.
    pub(super) fn write(
        &self,
        parts: &mut Parts,
        reports: mpsc::Receiver<Reported>,
        elects: watch::Sender<bool>,
    ) -> anyhow::Result<()> {
        let (client, clock, leads) = (self.client.clone(), self.clock.clone(), self.leads.clone());
        let pod = self.arguments.pod.clone();
        let name = format!("{}-operator", self.arguments.release);
        let settings = LeaderSettings::new(&self.namespace, &name, &pod, rand::random());
        let meter = leader::meter(&self.registry)?;
        parts.add_finishing("election", {
            let (client, clock) = (client.clone(), clock.clone());
            let lease = self.contact.party(format!("Lease {}/{name}", self.namespace));
            move |end| async move { Ok(leader::run(client, lease, settings, clock, meter, elects, end).await?) }
        });

        let (events, notes) = events::channel();
        parts.add("events", {
            let (client, contact) = (client.clone(), self.contact.party("Events"));
            async move {
                events::run(client, contact, pod, notes).await;
                Ok(())
            }
        });
        let (notes_handled, handled) = watch::channel(annotations::Handled::default());
        parts.add("annotations", {
            let (client, store) = (client.clone(), self.store.clone());
            let (publications, leads, events) = (self.publications.clone(), leads.clone(), events.clone());
            async move {
                annotations::run(client, store, publications, leads, notes_handled, events).await;
                Ok(())
            }
        });
        if self.arguments.mint_client_keys {
            let (client, publications) = (client.clone(), self.publications.clone());
            let (leads, clock) = (leads.clone(), clock.clone());
            parts.add("minting", async move {
                mint::run(client, publications, leads, clock).await;
                Ok(())
            });
        }
        let gateways = self.gateways.clone();
        let inputs = Inputs {
            publications: self.publications.clone(),
            gateways_changed: gateways.changed(),
            gateways: Box::new(move || gateways.list()),
            reports,
            readings: self.readings.clone(),
            handled,
            leads,
        };
        let outputs = Outputs {
            client,
            party: self.contact.party("statuses"),
            events,
            gauges: Gauges::new(&self.registry)?,
        };
        parts.add("status", async move {
            status::run(inputs, outputs, clock, Rates::default()).await;
            Ok(())
        });
        Ok(())
    }
}
