//! `roundhouse-operator run`: follows the cluster, and serves what it comes to, until asked to end.

use std::process::ExitCode;

use anyhow::Context;
use prometheus::Registry;
use resources::Place;
use telemetry::Health;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    arguments::Run,
    digest_key, kubernetes,
    metrics::Reconciles,
    monitor,
    process::{self, End, Parts},
    publish::{PublishSettings, Publisher},
    published::Publications,
    watch::{Contact, WatchSettings},
};

/// Runs until the process is asked to end, and says how that went.
pub fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    let _log = telemetry::log::install(arguments.log_format.into(), &arguments.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let end = runtime.block_on(operate(arguments));
    runtime.shutdown_background();
    end.map(ExitCode::from)
}

async fn operate(arguments: &Run) -> anyhow::Result<End> {
    let signals = process::signals().context("signals cannot be received")?;
    let namespace = arguments.own_namespace()?;
    let watched = arguments.watched_namespaces(&namespace);
    let client = kubernetes::client(arguments.kubeconfig.as_deref()).await?;
    let health = Health::new();
    let contact = Contact::new(health.clone());
    let registry = Registry::new();
    telemetry::register_process_metrics(&registry)?;
    let reconciles = Reconciles::new(&registry)?;
    let (sender, publications) = watch::channel(None);
    let mut parts = Parts::default();

    let listener = TcpListener::bind(arguments.admin_listen).await;
    let listener =
        listener.with_context(|| format!("cannot listen on {} (--admin-listen)", arguments.admin_listen))?;
    tracing::info!(listener = "admin", address = %listener.local_addr()?, "listening");
    let router = monitor::router(health.clone(), registry.clone(), &publications);
    parts.add("admin listener", async {
        monitor::serve(listener, router).await;
        Ok(())
    });
    parts.add("readiness", tell_when_ready(health.clone(), publications.clone()));
    parts.add("watch", {
        let (client, contact, health) = (client.clone(), contact.clone(), health.clone());
        let (namespace, release) = (namespace.clone(), arguments.release.clone());
        let place = Place::Cluster {
            allow_private: arguments.allow_private,
        };
        let settings = WatchSettings {
            namespaces: watched.clone(),
            secret_policy: arguments.secret_policy.into(),
        };
        async move {
            let digest_key = digest_key::obtain(&client, &namespace, &release, &contact).await?;
            let settings_of_publisher = PublishSettings { digest_key, place };
            let publisher = Publisher::new(settings_of_publisher, sender, reconciles, health);
            crate::watch::run(client, settings, contact, publisher).await
        }
    });
    tracing::info!(namespace, watched = ?watched, "following the cluster");
    Ok(parts.run(signals, &health).await)
}

/// Says that the process is ready once something is published: everything was read then.
async fn tell_when_ready(health: Health, mut publications: Publications) -> anyhow::Result<()> {
    health.not_ready("Syncing", "not everything was read from the API server yet");
    let first = publications.wait_for(Option::is_some).await?.clone();
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
