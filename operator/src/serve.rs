//! Listens for gateways, people and tools: gRPC over TLS, and nothing else.
//!
//! The certificate is looked up for each connection, so that a new one is presented without ending what goes on.
//! Every wait is bounded. What is served is a router; who calls is the services' business, which find a
//! [`Connection`] in the extensions of each request.

mod connection;
mod services;
mod telling;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    connection::{converse, protocol},
    tls::{Tls, Unencrypted},
};
pub use self::{
    services::{ServiceError, Services},
    telling::Telling,
};
use crate::{authority::Presented, refusals::Refusals};

/// The connection that a request came on.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its other end.
    pub peer: SocketAddr,
    /// Ends it at once, with all that goes on upon it.
    pub cut: CancellationToken,
}

/// How much those who connect are granted.
#[derive(Clone, Copy, Debug)]
pub struct ServeSettings {
    /// Connections at a time. Beyond it new ones wait in the kernel's queue.
    pub connections_max: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a connection may be open without a call.
    pub idle: Duration,
    /// How long calls may take to end when the process does.
    pub grace: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            grace: Duration::from_secs(5),
        }
    }
}

/// Serves `routes` to all who connect, from the first certificate on. Returns once `shutdown` is cancelled and the
/// last connection has ended, or was cut when the grace was over. Dropping it cuts all at once.
pub async fn serve(
    listener: TcpListener,
    presented: watch::Receiver<Option<Presented>>,
    routes: Router,
    refusals: Refusals,
    settings: ServeSettings,
    shutdown: CancellationToken,
) -> Result<(), rustls::Error> {
    let serving = Serving {
        tls: Tls::new(presented.clone())?,
        slots: Arc::new(Semaphore::new(settings.connections_max)),
        tracker: TaskTracker::new(),
        cut: CancellationToken::new(),
        routes,
        refusals,
        settings,
        shutdown: shutdown.clone(),
    };
    let _cut = serving.cut.clone().drop_guard();
    tokio::select! {
        () = accept(&serving, &listener, presented) => (),
        () = shutdown.cancelled() => (),
    }
    drop(listener);
    serving.tracker.close();
    if timeout(settings.grace, serving.tracker.wait()).await.is_err() {
        tracing::debug!("connections that did not end in time are cut");
    }
    Ok(())
}

/// What all connections share.
struct Serving {
    tls: Tls,
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
    cut: CancellationToken,
    routes: Router,
    refusals: Refusals,
    settings: ServeSettings,
    shutdown: CancellationToken,
}

async fn accept(
    serving: &Serving,
    listener: &TcpListener,
    mut presented: watch::Receiver<Option<Presented>>,
) {
    // Whoever connects before waits in the kernel's queue, instead of being told that there is no certificate.
    if presented.wait_for(Option::is_some).await.is_err() {
        return;
    }
    let protocol = Arc::new(protocol(&serving.tracker));
    loop {
        let slot = slot(&serving.slots).await;
        let (stream, peer) = next(listener).await;
        let connection = Connection {
            peer,
            cut: serving.cut.child_token(),
        };
        let cut = connection.cut.clone();
        let handshake = timeout(serving.settings.handshake, serving.tls.clone().accept(stream));
        let (routes, refusals) = (serving.routes.clone(), serving.refusals.clone());
        let (protocol, settings) = (Arc::clone(&protocol), serving.settings);
        let shutdown = serving.shutdown.clone();
        let conversation = async move {
            match handshake.await {
                Ok(Ok(stream)) => {
                    converse(stream, connection, &protocol, routes, settings.idle, shutdown).await;
                }
                Ok(Err(Unencrypted::Gone)) => (),
                Ok(Err(Unencrypted::Refused { reason, source })) => {
                    refusals.tell(peer, reason, &source);
                }
                Err(_) => refusals.tell(peer, "handshake", &"it did not end in time"),
            }
            drop(slot);
        };
        serving.tracker.spawn(async move {
            tokio::select! {
                () = conversation => (),
                () = cut.cancelled() => (),
            }
        });
    }
}

async fn slot(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return slot;
    }
    tracing::warn!("as many connections are open as may be; new ones wait");
    match Arc::clone(slots).acquire_owned().await {
        Ok(slot) => slot,
        Err(_) => std::future::pending().await,
    }
}

/// The next connection. Waits a little longer after each error in a row that says we are short of something.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    let mut pause = Duration::from_millis(50);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            // Of the connection, and not of the listener.
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
                ) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; trying again");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}
