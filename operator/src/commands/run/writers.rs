//! What the replica that leads writes: status, Events, minted keys, and what annotations ask for.

use proto::Reported;
use tokio::sync::{mpsc, watch};

use super::Operator;
use crate::{
    annotations, events,
    leader::{self, LeaderSettings},
    mint,
    process::Parts,
    status::{self, Inputs, Pace, Rates, Reading},
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

    /// Takes part in the election, and writes while this replica leads. `reports` are what gateways say.
    pub(super) fn write(&self, parts: &mut Parts, reports: mpsc::Receiver<Reported>) -> anyhow::Result<()> {
        let (client, clock) = (self.client.clone(), self.clock.clone());
        let (sends, leads) = watch::channel(false);
        let pod = self.arguments.pod.clone();
        let name = format!("{}-operator", self.arguments.release);
        let settings = LeaderSettings::new(&self.namespace, &name, &pod, rand::random());
        let meter = leader::meter(&self.registry)?;
        parts.add_finishing("election", {
            let (client, clock) = (client.clone(), clock.clone());
            move |end| async move { Ok(leader::run(client, settings, clock, meter, sends, end).await?) }
        });

        let (events, notes) = events::channel();
        parts.add("events", {
            let client = client.clone();
            async move {
                events::run(client, pod, notes).await;
                Ok(())
            }
        });
        let (handles, handled) = watch::channel(annotations::Handled::default());
        parts.add("annotations", {
            let (client, store) = (client.clone(), self.store.clone());
            let (publications, leads, events) = (self.publications.clone(), leads.clone(), events.clone());
            async move {
                annotations::run(client, store, publications, leads, handles, events).await;
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
        parts.add("status", async move {
            status::run(client, inputs, events, clock, Rates::default()).await;
            Ok(())
        });
        Ok(())
    }
}
