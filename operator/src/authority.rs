//! Who this replica is to those who connect: an authority that all replicas share, and a certificate of its own.
//!
//! The authority is a key and a certificate in the Secret `RELEASE-discovery-ca`; gateways are given its certificate as
//! the `ConfigMap` of the same name. Nobody leads here: every replica looks, decides what is to be done, and
//! does it by compare-and-swap, so that of two that do the same one is told to look again.
//!
//! An authority is replaced long before it ends. Its successor is published first and signs only when every gateway
//! has had time to read it; the former one stays published until its end.

mod certificate;
mod decide;
mod keep;
mod leaf;
mod material;
#[cfg(test)]
pub(crate) mod testing;

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use kube::Client;
use pool::Clock;
use rand::RngExt;
use tokio::{sync::watch, time::sleep};

use self::{keep::Keeper, leaf::Leaf};
use crate::kubernetes::Pauses;

pub use self::{
    certificate::CertificateError,
    leaf::{Names, Presented},
};

/// Where the authority is kept, for whom it signs, and how long everything lasts.
#[derive(Clone, Debug)]
pub struct AuthoritySettings {
    /// The namespace of the operator.
    pub namespace: String,
    /// The name of the Secret and of the `ConfigMap`.
    pub name: String,
    /// What this replica's certificate is for.
    pub names: Names,
    /// How long each part lasts.
    pub lives: Lives,
}

/// How long authorities and certificates last.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// How long an authority lasts. Its successor is made when two thirds are over.
    pub authority: Duration,
    /// How long a successor is published before it signs.
    pub published_before: Duration,
    /// How long a certificate lasts. A new one is made when half of it is over.
    pub leaf: Duration,
    /// How often it is looked whether something is to be done.
    pub look_every: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            authority: Duration::from_secs(365 * 24 * 60 * 60),
            published_before: Duration::from_secs(60 * 60),
            leaf: Duration::from_secs(24 * 60 * 60),
            look_every: Duration::from_secs(60),
        }
    }
}

impl AuthoritySettings {
    /// Those of a release in a namespace, whose cluster's names end in `cluster_domain` (`cluster.local`).
    pub fn new(release: &str, namespace: &str, cluster_domain: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: format!("{release}-discovery-ca"),
            names: Names::of_operator(release, namespace, cluster_domain),
            lives: Lives::default(),
        }
    }
}

/// The certificate that is presented to those who connect; `None` until there is one.
pub fn presented() -> (
    watch::Sender<Option<Presented>>,
    watch::Receiver<Option<Presented>>,
) {
    watch::channel(None)
}

/// Keeps the authority and this replica's certificate as they should be, for ever. While the API server is away the
/// last certificate stays.
pub async fn run(
    client: Client,
    settings: AuthoritySettings,
    clock: Arc<dyn Clock>,
    presented: watch::Sender<Option<Presented>>,
) -> Infallible {
    let lives = settings.lives;
    let names = settings.names.clone();
    let keeper = Keeper::new(client, settings, Arc::clone(&clock));
    let mut leaf: Option<Leaf> = None;
    // Those of a failure that lasts. Without a certificate nobody can connect, so they stay short.
    let mut pauses: Option<Pauses> = None;
    loop {
        let looked = keeper.look().await;
        let renewed = looked.and_then(|authority| {
            if leaf
                .as_ref()
                .is_some_and(|leaf| leaf.is_good(&authority, clock.now()))
            {
                return Ok(());
            }
            let new = Leaf::signed_by(&authority, &names, clock.now(), lives.leaf)?;
            tracing::info!(until = %new.validity().until, "this replica has a new certificate");
            presented.send_replace(Some(new.presented()));
            leaf = Some(new);
            Ok(())
        });
        let pause = match renewed {
            Ok(()) => {
                if pauses.take().is_some() {
                    tracing::info!("the authority of discovery is as it should be again");
                }
                // Replicas that started together do not stay in step.
                lives.look_every.mul_f64(rand::rng().random_range(0.75..1.0))
            }
            Err(error) => {
                if pauses.is_none() {
                    tracing::warn!(
                        error = &error as &dyn Error,
                        "the authority of discovery cannot be looked after; trying again"
                    );
                }
                let pauses = pauses.get_or_insert_default();
                pauses.longer().min(lives.look_every)
            }
        };
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use http::{Request, Response, StatusCode};
    use kube::{Client, client::Body};
    use pool::SystemClock;
    use tokio::time::timeout;
    use tower::service_fn;

    use super::{AuthoritySettings, presented, run};

    /// An API server that comes back finds an operator without a certificate at its door soon, however long it was away.
    #[tokio::test(start_paused = true)]
    async fn whoever_has_no_certificate_asks_again_soon() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let service = service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::SeqCst);
            let mut away = Response::new(Body::empty());
            *away.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            std::future::ready(Ok::<_, Infallible>(away))
        });
        let client = Client::new(service, "here");
        let settings = AuthoritySettings::new("it", "here", "cluster.local");
        let (presents, _presented) = presented();
        let running = run(client, settings, Arc::new(SystemClock::default()), presents);
        let ended = timeout(Duration::from_secs(600), running).await;
        assert!(ended.is_err(), "it never ends");
        let asked = asked.load(Ordering::SeqCst);
        assert!((60..200).contains(&asked), "{asked} times within ten minutes");
    }
}
