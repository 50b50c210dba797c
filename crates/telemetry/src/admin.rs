//! What operators and probes ask a process: `/healthz`, `/readyz`, `/metrics`, and what it adds itself.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header::CONTENT_TYPE};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

use crate::Health;

/// Who asks, as an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The routes that every process answers. Merge further ones into the result.
///
/// The server that uses them puts a [`PeerAddress`] into the extensions of each request.
pub fn routes(health: Health, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(health))
        .route("/metrics", get(metrics).with_state(registry))
}

/// Answers the routes to peers on this machine only; others are told that they do not exist.
pub fn loopback_only(routes: Router) -> Router {
    if routes.has_routes() {
        routes.route_layer(from_fn(refuse_strangers))
    } else {
        routes
    }
}

async fn ready(State(health): State<Health>) -> Response {
    let state = health.state();
    let status = if state.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(state)).into_response()
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn refuse_strangers(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<PeerAddress>();
    if peer.is_some_and(|PeerAddress(address)| address.ip().to_canonical().is_loopback()) {
        next.run(request).await
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use prometheus::IntCounter;
    use tower_service::Service;

    use super::*;

    async fn ask(router: &Router, path: &str, peer: Option<&str>) -> (StatusCode, String, String) {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        if let Some(peer) = peer {
            request
                .extensions_mut()
                .insert(PeerAddress(peer.parse().unwrap()));
        }
        let response = router.clone().call(request).await.unwrap();
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .map(|kind| kind.to_str().unwrap().to_owned());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            kind.unwrap_or_default(),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn readiness_says_why_and_health_only_that_it_lives() {
        let health = Health::new();
        let router = routes(health.clone(), Registry::new());
        assert_eq!(ask(&router, "/healthz", None).await.0, StatusCode::OK);
        let (status, kind, body) = ask(&router, "/readyz", None).await;
        assert_eq!(
            (status, kind.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "application/json")
        );
        assert_eq!(body, r#"{"ready":false,"reason":"Starting"}"#);

        health.ready();
        health.degraded("store", Some("unreachable".to_owned()));
        let (status, _, body) = ask(&router, "/readyz", None).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            body,
            concat!(
                r#"{"ready":true,"reason":"Ready","detail":"degraded: store unreachable","#,
                r#""degraded":{"store":"unreachable"}}"#
            )
        );

        health.draining();
        let (status, _, body) = ask(&router, "/readyz", None).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains(r#""reason":"Draining""#), "{body}");
    }

    #[tokio::test]
    async fn metrics_come_as_prometheus_text_with_those_of_the_process() {
        let registry = Registry::new();
        let counter = IntCounter::new("calls_total", "Calls.").unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        crate::register_process_metrics(&registry).unwrap();
        counter.inc();
        let (status, kind, body) = ask(&routes(Health::new(), registry), "/metrics", None).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(kind, "text/plain; version=0.0.4");
        let names = [
            "calls_total 1",
            "process_resident_memory_bytes ",
            "process_start_time_seconds ",
            "process_open_fds ",
        ];
        for name in names {
            assert!(
                body.lines().any(|line| line.starts_with(name)),
                "{name} is missing in {body}"
            );
        }
    }

    #[tokio::test]
    async fn only_this_machine_sees_debug_routes() {
        let debug = Router::new().route("/debug/snapshot", get(async || "inside"));
        let router = routes(Health::new(), Registry::new()).merge(loopback_only(debug));
        let cases = [
            (Some("127.0.0.1:4000"), StatusCode::OK),
            (Some("[::1]:4000"), StatusCode::OK),
            (Some("[::ffff:127.0.0.1]:4000"), StatusCode::OK),
            (Some("10.0.0.7:4000"), StatusCode::NOT_FOUND),
            (None, StatusCode::NOT_FOUND),
        ];
        for (peer, expected) in cases {
            assert_eq!(
                ask(&router, "/debug/snapshot", peer).await.0,
                expected,
                "{peer:?}"
            );
        }
    }
}
