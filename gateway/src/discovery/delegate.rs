//! Asking an operator something on behalf of an administrator: any replica answers.

use std::{error::Error, io, time::Duration};

use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::BodyExt;
use rand::seq::SliceRandom;
use tokio::time::timeout;
use tonic::body::Body;
use tower_service::Service;

use super::{
    Settings,
    channel::{self, Connection},
    names::Names,
};
use crate::delegated::{Answer, Transport};

/// How long asking may take, connecting included: the operator asks the API server several times.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reaches the replicas of an operator one after the other, until one can be connected to. Nothing is asked twice.
#[derive(Clone)]
pub(super) struct Replicas {
    pub(super) settings: Settings,
    pub(super) names: Names,
}

impl Transport for Replicas {
    fn send(&self, request: Request<Body>) -> Answer {
        let replicas = self.clone();
        Box::pin(async move { timeout(PATIENCE, replicas.ask(request)).await? })
    }
}

impl Replicas {
    async fn ask(&self, mut request: Request<Body>) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        let Connection {
            mut channel,
            token,
            driver: _driver,
            ..
        } = self.connect().await?;
        if let Some(token) = token {
            let mut token = HeaderValue::from_bytes(token.as_bytes())?;
            token.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        let (head, body) = channel.call(request).await?.into_parts();
        // Answers are short. The connection ends with this.
        let body = body.collect().await?;
        Ok(Response::from_parts(head, Body::new(body)))
    }

    async fn connect(&self) -> Result<Connection, Box<dyn Error + Send + Sync>> {
        let mut replicas: Vec<_> = self
            .names
            .look_up(&self.settings.url)
            .await?
            .into_iter()
            .collect();
        replicas.shuffle(&mut rand::rng());
        let mut failed = io::Error::from(io::ErrorKind::NotFound).into();
        for replica in replicas {
            match channel::connect(&self.settings, replica).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }
}
