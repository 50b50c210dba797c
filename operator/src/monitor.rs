//! The listener for probes, metrics and people at the machine: telemetry's routes on a server that waits for nobody
//! for long.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::Registry;
use telemetry::{
    Health,
    admin::{PeerAddress, loopback_only, routes},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::published::Publications;

/// Connections at a time; others wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// Until the head of a request is there, also of the next one on a connection.
const HEAD: Duration = Duration::from_secs(60);
/// How long a connection may last; clients come back.
const LIFETIME: Duration = Duration::from_secs(300);
/// How long an answer under way may go on after that.
const GRACE: Duration = Duration::from_secs(10);

/// What is asked of this listener.
pub fn router(health: Health, registry: Registry, publications: &Publications) -> Router {
    let (of_snapshot, of_conditions) = (publications.clone(), publications.clone());
    let debug = Router::new()
        .route("/debug/snapshot", get(async move || snapshot(&of_snapshot)))
        .route("/debug/conditions", get(async move || conditions(&of_conditions)));
    routes(health, registry).merge(loopback_only(debug))
}

/// What is published at the moment. A snapshot holds no secret, and does not print its digests.
fn snapshot(publications: &Publications) -> String {
    match &*publications.borrow() {
        Some(published) => format!("{:#?}\n", published.contents.snapshot()),
        None => "None\n".to_owned(),
    }
}

/// What is said of each object, a line for each condition.
fn conditions(publications: &Publications) -> String {
    let publications = publications.borrow();
    let objects = publications.iter().flat_map(|published| &*published.conditions);
    let lines = objects.flat_map(|object| {
        object.conditions.iter().map(move |it| {
            let (identity, status) = (&object.identity, if it.status { "True" } else { "False" });
            format!("{identity} {}={status}/{} {}\n", it.kind, it.reason, it.message)
        })
    });
    lines.collect()
}

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, router: Router) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let router = router.clone();
                connections.spawn(async move {
                    converse(stream, peer, router).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "no connection can be accepted; trying again");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, router: Router) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddress(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // How a client ends its connection is its business.
    if timeout(LIFETIME, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(GRACE, connection).await;
    }
}
