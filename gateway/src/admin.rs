//! The admin listener: telemetry's routes on our own server.

use axum::Router;
use http::{Request, Response};
use telemetry::admin::PeerAddress;
use tower_service::Service;

use crate::server::{Peer, RequestBody};

/// Makes a handler for [`crate::server::serve`] of the routes.
pub fn handler(
    routes: Router,
) -> impl Fn(Request<RequestBody>, Peer) -> Answer + Clone + Send + Sync + 'static {
    move |mut request, peer| {
        request.extensions_mut().insert(PeerAddress(peer.address));
        let answer = routes.clone().call(request);
        Box::pin(async move {
            let Ok(response) = answer.await;
            response
        })
    }
}

/// The answer of a route.
pub type Answer = std::pin::Pin<Box<dyn Future<Output = Response<axum::body::Body>> + Send>>;
