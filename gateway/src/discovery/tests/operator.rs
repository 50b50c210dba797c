//! A replica of an operator that does as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::stream;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::{
    Announcer, Contents, Versions,
    discovery::v1::{
        self, StreamResponse,
        discovery_server::{Discovery, DiscoveryServer},
        stream_request::Message,
        stream_response::Message as Said,
    },
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, Streaming, metadata::AsciiMetadataValue};
use tower_service::Service as _;

use super::PATIENCE;

/// Whose certificates operators have.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// The name that certificates are for.
pub(super) const HOST: &str = "operator.test";

/// What was heard of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    Subscribe { version: String, objects: usize },
    Ack(String),
    Nack(v1::Nack),
    Report(v1::Report),
    Goodbye,
    End,
}

/// A replica. Dropping it ends it.
pub(super) struct Operator {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    published: watch::Sender<Option<Contents>>,
    heard: watch::Sender<Vec<Heard>>,
    /// The token that is expected; others are refused.
    token: Mutex<Option<String>>,
    /// Kinds of messages that lead to versions.
    sent: Mutex<Vec<&'static str>>,
    cut: Notify,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            pem: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([HOST.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Operator {
    pub(super) async fn start(authority: &Authority, published: Option<Contents>) -> Self {
        Self::start_at(authority, ([127, 0, 0, 1], 0).into(), published).await
    }

    pub(super) async fn start_at(
        authority: &Authority,
        address: SocketAddr,
        published: Option<Contents>,
    ) -> Self {
        // One that was dropped may need a moment to leave its port.
        let bind = async {
            loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => return listener,
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let listener = timeout(PATIENCE, bind).await.unwrap();
        let state = Arc::new(State {
            published: watch::Sender::new(published),
            heard: watch::Sender::default(),
            token: Mutex::default(),
            sent: Mutex::default(),
            cut: Notify::new(),
        });
        Self {
            address: listener.local_addr().unwrap(),
            task: tokio::spawn(accept(listener, authority.acceptor(), state.clone())),
            state,
        }
    }

    /// Says that this is to be served.
    pub(super) fn publish(&self, contents: &Contents) {
        self.state.published.send_replace(Some(contents.clone()));
    }

    /// Takes this token alone from now on.
    pub(super) fn expect_token(&self, token: &str) {
        *self.state.token.lock().unwrap() = Some(format!("Bearer {token}"));
    }

    /// Cuts all connections.
    pub(super) fn cut(&self) {
        self.state.cut.notify_one();
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.state.heard.borrow().clone()
    }

    /// Which kinds of messages were sent.
    pub(super) fn sent(&self) -> Vec<&'static str> {
        self.state.sent.lock().unwrap().clone()
    }

    /// Waits until `enough` was heard.
    pub(super) async fn hears(&self, what: &str, enough: impl Fn(&[Heard]) -> bool) {
        let mut heard = self.state.heard.subscribe();
        let waited = timeout(PATIENCE, heard.wait_for(|heard| enough(heard)))
            .await
            .is_ok();
        assert!(waited, "{what} was not heard, but {:?}", self.heard());
    }

    /// Waits until the gateway says that it serves `contents`.
    pub(super) async fn acked(&self, contents: &Contents) {
        let version = super::version(contents);
        self.hears("an ack", |heard| heard.contains(&Heard::Ack(version.clone())))
            .await;
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = state.cut.notified() => {
                connections.abort_all();
                continue;
            }
        };
        let (acceptor, state) = (acceptor.clone(), state.clone());
        connections.spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else {
                return;
            };
            let server = DiscoveryServer::new(Replica(state));
            let service = service_fn(move |request| server.clone().call(request));
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(tls), service)
                .await;
        });
    }
}

struct Replica(Arc<State>);

type Responses = stream::BoxStream<'static, Result<StreamResponse, Status>>;

#[tonic::async_trait]
impl Discovery for Replica {
    type StreamStream = Responses;

    async fn stream(
        &self,
        request: Request<Streaming<v1::StreamRequest>>,
    ) -> Result<Response<Responses>, Status> {
        if let Some(expected) = &*self.0.token.lock().unwrap()
            && request
                .metadata()
                .get("authorization")
                .map(AsciiMetadataValue::as_bytes)
                != Some(expected.as_bytes())
        {
            return Err(Status::unauthenticated("another token is expected"));
        }
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|first| first.message);
        let Some(Message::Subscribe(subscribe)) = first else {
            return Err(Status::invalid_argument("expected Subscribe"));
        };
        self.0.hear(Heard::Subscribe {
            version: subscribe.version.clone(),
            objects: subscribe.objects.len(),
        });
        let known = Versions::try_from(subscribe).unwrap();
        let (sender, receiver) = mpsc::channel(4);
        let state = self.0.clone();
        let announcing = tokio::spawn(async move {
            announce(&state, known, requests, sender).await;
            state.hear(Heard::End);
        });
        Ok(Response::new(Box::pin(stream::unfold(
            (receiver, Ends(announcing)),
            |(mut receiver, ends)| async move {
                let message = receiver.recv().await?;
                Some((message, (receiver, ends)))
            },
        ))))
    }
}

/// Ends a task with the stream that it feeds.
struct Ends(JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn announce(
    state: &State,
    known: Versions,
    mut requests: Streaming<v1::StreamRequest>,
    responses: mpsc::Sender<Result<StreamResponse, Status>>,
) {
    let mut published = state.published.subscribe();
    let mut announcer = Announcer::new(known);
    let mut marks = interval(Duration::from_millis(50));
    loop {
        let contents = published.borrow_and_update().clone();
        if let Some(update) = contents.as_ref().and_then(|contents| announcer.update(contents)) {
            for response in update {
                state.send(&responses, response).await;
            }
        }
        tokio::select! {
            _ = published.changed() => {}
            _ = marks.tick() => {
                let version = contents.as_ref().map(super::version).unwrap_or_default();
                let mark = announcer.mark(&version);
                state.send(&responses, mark).await;
            }
            request = requests.message() => match request {
                Ok(Some(request)) => {
                    let heard = match request.message.unwrap() {
                        Message::Subscribe(_) => panic!("a second Subscribe"),
                        Message::Ack(ack) => {
                            announcer.ack(&ack.version);
                            Heard::Ack(ack.version)
                        }
                        Message::Nack(nack) => {
                            announcer.nack(&nack.version);
                            Heard::Nack(nack)
                        }
                        Message::Report(report) => Heard::Report(report),
                        Message::Goodbye(()) => Heard::Goodbye,
                    };
                    state.hear(heard);
                }
                Ok(None) | Err(_) => return,
            },
        }
    }
}

impl State {
    fn hear(&self, heard: Heard) {
        self.heard.send_modify(|all| all.push(heard));
    }

    async fn send(&self, responses: &mpsc::Sender<Result<StreamResponse, Status>>, response: StreamResponse) {
        match &response.message {
            Some(Said::Begin(_)) => self.sent.lock().unwrap().push("all"),
            Some(Said::Delta(_)) => self.sent.lock().unwrap().push("delta"),
            _ => {}
        }
        let _ = responses.send(Ok(response)).await;
    }
}
