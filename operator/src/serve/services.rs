//! The services behind one listener: ours, and those that tools expect of every gRPC server.

use std::convert::Infallible;

use axum::{Router, response::IntoResponse};
use http::Request;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tonic_health::server::HealthReporter;
use tower::Service;

/// Puts services together. Health and reflection are there from the beginning and need no token: they tell nothing
/// that the repository does not.
#[derive(Debug)]
pub struct Services {
    routes: RoutesBuilder,
    health: HealthReporter,
}

/// Reflection does not take what our build generated.
#[derive(Debug, thiserror::Error)]
#[error("the protocol cannot be described")]
pub struct ServiceError(#[from] tonic_reflection::server::Error);

impl Services {
    /// The standard ones.
    pub fn new() -> Result<Self, ServiceError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let mut routes = Routes::builder();
        routes.add_service(health).add_service(reflection);
        Ok(Self {
            routes,
            health: reporter,
        })
    }

    /// Adds a service, which is not said to be healthy before [`Services::health`] is told so.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self
    }

    /// Says which services are healthy.
    pub fn health(&self) -> HealthReporter {
        self.health.clone()
    }

    /// What the listener serves.
    pub fn into_router(self) -> Router {
        self.routes.routes().into_axum_router()
    }
}
