//! A connection to one replica: TCP, TLS and HTTP/2, made anew from the files each time.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use proto::discovery::v1::discovery_client::DiscoveryClient;
use rustls::ClientConfig;
use snapshot::Tls;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::{body::Body, metadata::AsciiMetadataValue};
use tower_service::Service;

use super::Settings;
use crate::upstream::{Trust, TrustError};

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the other side is asked whether it is still there, and how long it may take to say.
const PING: Duration = Duration::from_secs(10);

/// An open connection.
pub(super) struct Connection {
    pub(super) client: DiscoveryClient<Channel>,
    /// The same, for other services.
    pub(super) channel: Channel,
    /// The token that says who this is.
    pub(super) token: Option<AsciiMetadataValue>,
    /// What moves its bytes; the connection closes when this is dropped.
    pub(super) driver: JoinSet<()>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot read {path}", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} does not hold a token", path = path.display())]
    Token { path: PathBuf },
    #[error("the operator's certificate cannot be checked")]
    Trust(#[from] TrustError),
    #[error("the operator's URL cannot be sent")]
    Url(#[source] http::Error),
    #[error("the operator cannot be connected to")]
    Tcp(#[source] io::Error),
    #[error("the TLS handshake with the operator failed")]
    Tls(#[source] io::Error),
    #[error("the operator does not speak HTTP/2")]
    Protocol,
    #[error("HTTP/2 with the operator failed")]
    Http2(#[source] hyper::Error),
    #[error("the operator could not be connected to within {PATIENCE:?}")]
    Timeout,
}

/// Connects to a replica. Its certificate must be for the URL's host. Files are read now.
pub(super) async fn connect(settings: &Settings, replica: SocketAddr) -> Result<Connection, ConnectError> {
    let connecting = async {
        let token = match &settings.token_file {
            Some(path) => Some(token(path).await?),
            None => None,
        };
        let io = TokioIo::new(secure(settings, replica).await?);
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .handshake(io)
            .await
            .map_err(ConnectError::Http2)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // An error of it is the stream's too.
            let _ = driver.await;
        });
        let channel = Channel(sender);
        let origin = settings.url.origin().map_err(ConnectError::Url)?;
        Ok(Connection {
            client: DiscoveryClient::with_origin(channel.clone(), origin),
            channel,
            token,
            driver: tasks,
        })
    };
    timeout(PATIENCE, connecting)
        .await
        .unwrap_or(Err(ConnectError::Timeout))
}

async fn secure(
    settings: &Settings,
    replica: SocketAddr,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
    let ca = match &settings.ca_file {
        Some(path) => Some(String::from_utf8_lossy(&read(path).await?).into()),
        None => None,
    };
    let tls = Tls {
        ca,
        server_name: None,
    };
    let trust = Trust::new(settings.url.host(), &tls)?;
    let mut config = ClientConfig::clone(&trust.config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(replica).await.map_err(ConnectError::Tcp)?;
    tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
    let tls = TlsConnector::from(Arc::new(config))
        .connect(trust.name, tcp)
        .await
        .map_err(ConnectError::Tls)?;
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(ConnectError::Protocol);
    }
    Ok(tls)
}

async fn token(path: &Path) -> Result<AsciiMetadataValue, ConnectError> {
    let text = read(path).await?;
    let token = text.trim_ascii();
    let value = [b"Bearer ", token].concat();
    let mut value = AsciiMetadataValue::try_from(value)
        .ok()
        .filter(|_| !token.is_empty())
        .ok_or_else(|| ConnectError::Token {
            path: path.to_owned(),
        })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    tokio::fs::read(path).await.map_err(|source| ConnectError::File {
        path: path.to_owned(),
        source,
    })
}

/// Sends requests over one HTTP/2 connection.
#[derive(Clone)]
pub(super) struct Channel(http2::SendRequest<Body>);

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
