//! `roundhouse-operator run`: follows the cluster, and serves what it comes to, until asked to end.

mod conversations;
mod writers;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use kube::Client;
use pool::{Clock, SystemClock};
use prometheus::Registry;
use resources::Place;
use telemetry::Health;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    arguments::Run,
    authority::Presented,
    digest_key::{self, Keeper},
    gateways::Gateways,
    kubernetes,
    metrics::Reconciles,
    monitor,
    parts::{End, Parts},
    publish::{PublishSettings, Publisher},
    published::Publications,
    status::Reading,
    store::{Store, StoreSettings},
    watch::{Contact, WatchSettings},
};

/// What all parts of the process are made of.
struct Operator<'a> {
    arguments: &'a Run,
    /// The namespace that it runs in.
    namespace: String,
    client: Client,
    clock: Arc<dyn Clock>,
    registry: Registry,
    publications: Publications,
    gateways: Gateways,
    /// The Redis that gateways share.
    store: Option<Store>,
    /// What it says.
    readings: watch::Receiver<Reading>,
    /// Whether this replica leads.
    leads: watch::Receiver<bool>,
    /// Whether the API server answers.
    contact: Contact,
}

/// Runs until the process is asked to end, and says how that went.
pub fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    let _log = arguments.log.install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let end = runtime.block_on(operate(arguments));
    runtime.shutdown_background();
    end.map(ExitCode::from)
}

async fn operate(arguments: &Run) -> anyhow::Result<End> {
    // Whatever speaks TLS here takes the process's provider.
    let provider = rustls::crypto::ring::default_provider();
    if provider.install_default().is_err() {
        anyhow::bail!("something else has chosen the cryptography of this process");
    }
    let signals = process::signals().context("signals cannot be received")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let store = store(arguments, &clock)?;
    let namespace = arguments.own_namespace()?;
    let watched = arguments.watched_namespaces(&namespace);
    let client = kubernetes::client(arguments.kubeconfig.as_deref()).await?;
    let health = Health::new();
    let contact = Contact::new(health.clone());
    let registry = Registry::new();
    telemetry::register_process_metrics(&registry)?;
    let reconciles = Reconciles::new(&registry)?;
    let (sender, publications) = watch::channel(None);
    let (gateways, reports) = Gateways::new(&registry)?;
    let (says, readings) = watch::channel(Reading::NoStore);
    let (elects, leads) = watch::channel(false);
    let mut parts = Parts::default();

    let listener = listen(arguments.admin_listen, "--admin-listen").await?;
    tracing::info!(listener = "admin", address = %listener.local_addr()?, "listening");
    let router = monitor::router(health.clone(), registry.clone(), &publications);
    parts.add("admin listener", async {
        monitor::serve(listener, router).await;
        Ok(())
    });
    health.not_ready("Syncing", "not everything was read from the API server yet");
    parts.add("watch", {
        let (client, contact, health) = (client.clone(), contact.clone(), health.clone());
        let (namespace, release) = (namespace.clone(), arguments.release.clone());
        let settings = WatchSettings {
            namespaces: watched.clone(),
            secret_policy: arguments.secret_policy.into(),
        };
        let (place, leads) = (place(arguments), leads.clone());
        async move {
            let keeper = Keeper::new(client.clone(), &namespace, &release, &contact);
            let (keys, digest_key) = watch::channel(keeper.obtain().await?);
            let settings_of_publisher = PublishSettings { digest_key, place };
            let publisher = Publisher::new(settings_of_publisher, sender, reconciles, health);
            tokio::select! {
                followed = crate::watch::run(client, settings, contact, publisher) => followed,
                never = keeper.keep(keys, leads, digest_key::LOOK_EVERY) => match never {},
            }
        }
    });
    let operator = Operator {
        arguments,
        namespace,
        client,
        clock,
        registry,
        publications: publications.clone(),
        gateways,
        store,
        readings,
        leads,
        contact,
    };
    operator.follow_store(&mut parts, says);
    let presented = operator.converse(&mut parts).await?;
    parts.add(
        "readiness",
        tell_when_ready(health.clone(), publications, presented),
    );
    operator.write(&mut parts, reports, elects)?;
    tracing::info!(namespace = operator.namespace, watched = ?watched, "following the cluster");
    Ok(parts.run(signals, &health).await)
}

/// Where the objects are used.
const fn place(arguments: &Run) -> Place {
    Place::Cluster {
        allow_private: arguments.allow_private,
    }
}

/// Opens the way to the Redis that gateways share.
fn store(arguments: &Run, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Store>> {
    let address = arguments.redis.address().context("--redis-url cannot be used")?;
    let Some(address) = address else {
        return Ok(None);
    };
    let settings = StoreSettings {
        address,
        password_file: arguments.redis.password_file.clone(),
        prefix: arguments.redis.prefix.clone(),
    };
    Ok(Some(Store::open(settings, Arc::clone(clock))?))
}

async fn listen(address: std::net::SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address} ({flag})"))
}

/// Says that the process is ready once something is published, for which everything was read, and there is a certificate,
/// without which nobody can connect.
async fn tell_when_ready(
    health: Health,
    mut publications: Publications,
    mut presented: watch::Receiver<Option<Presented>>,
) -> anyhow::Result<()> {
    let first = publications.wait_for(Option::is_some).await?.clone();
    health.not_ready("NoCertificate", "there is no certificate to listen with yet");
    presented.wait_for(Option::is_some).await?;
    if let Some(first) = first {
        let snapshot = first.contents.snapshot();
        tracing::info!(
            providers = snapshot.providers.len(),
            credentials = snapshot.credentials.len(),
            routes = snapshot.routes.len(),
            clients = snapshot.clients.len(),
            "everything was read; ready"
        );
    }
    health.ready();
    std::future::pending().await
}

#[cfg(test)]
mod tests;
