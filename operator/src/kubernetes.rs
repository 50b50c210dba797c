//! Talking to the API server: a client whose every wait is bounded, and what may come of a call.

use std::{error::Error as _, path::Path, time::Duration};

use anyhow::Context;
use hyper_util::{client::legacy, rt::TokioExecutor};
use kube::{
    Client, Config,
    api::PostParams,
    client::{Body, ConfigExt},
    config::{KubeConfigOptions, Kubeconfig},
};
use rand::RngExt;
use tower::{ServiceBuilder, timeout::TimeoutLayer};

/// How long a call may take. The client itself bounds the time to the head of an answer.
pub const CALL: Duration = Duration::from_secs(5);

/// How this process writes: the name under which an API server keeps who set which field.
pub const FIELD_MANAGER: &str = "roundhouse-operator";

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no answer in time.
    #[error("no answer within {} s", CALL.as_secs())]
    TimedOut,
    /// The API server refused.
    #[error("{message} ({code})")]
    Refused {
        /// The status code.
        code: u16,
        /// Why, in one word, such as `AlreadyExists`.
        reason: String,
        /// What the API server says.
        message: String,
    },
    /// The API server was not reached, or the answer was cut.
    #[error("{0}")]
    Broken(String),
}

impl CallError {
    /// Whether it says nothing about the call itself: another one at another time may succeed.
    pub const fn is_outage(&self) -> bool {
        match self {
            Self::TimedOut | Self::Broken(_) => true,
            Self::Refused { code, .. } => *code >= 500 || *code == 429,
        }
    }

    /// The status code with which the API server refused.
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::TimedOut | Self::Broken(_) => None,
        }
    }

    /// Whether somebody else made, changed or deleted the object first: what is there now decides.
    pub const fn is_lost_race(&self) -> bool {
        matches!(self.code(), Some(404 | 409))
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::Refused {
                code: status.code,
                reason: status.reason,
                message: status.message,
            };
        }
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let cause = error.to_string();
            if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
            source = error.source();
        }
        Self::Broken(text)
    }
}

/// Bounds a call to the API server.
pub async fn call<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL, call).await {
        Ok(done) => done.map_err(CallError::from),
        Err(_) => Err(CallError::TimedOut),
    }
}

/// How objects are made and replaced: in the name of this process.
pub fn post() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// A client for the cluster that this process runs in, or that a file names.
///
/// It is put together here because the stock one tries every call up to 15 times by itself, and logs each failure and
/// whole answers that it cannot decode; those may be Secrets.
pub async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let text = tokio::fs::read_to_string(path).await;
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            let kubeconfig = Kubeconfig::from_yaml(&text);
            let kubeconfig = kubeconfig.with_context(|| format!("{} is no kubeconfig", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => Config::incluster()
            .context("this process does not run in a cluster; name one with --kubeconfig FILE")?,
    };
    let connector = config.rustls_https_connector()?;
    let connections = legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(CALL))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(connections);
    Ok(Client::new(service, config.default_namespace))
}

/// How long to wait before the next try: longer after each failure in a row, never the same for two processes.
#[derive(Debug, Default)]
pub struct Pauses(u32);

impl Pauses {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(8);

    /// The next pause.
    pub fn longer(&mut self) -> Duration {
        let longest = (Self::FIRST * 2u32.pow(self.0.min(10))).min(Self::LONGEST);
        self.0 += 1;
        longest.mul_f64(rand::rng().random_range(0.5..1.0))
    }

    /// The last try succeeded.
    pub fn reset(&mut self) {
        self.0 = 0;
    }
}
