//! A gateway as the server sees one.

use std::{
    net::SocketAddr,
    pin::Pin,
    slice::from_ref,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::stream::poll_fn;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::{
    Contents, Follower,
    discovery::v1::{
        self, StreamRequest, StreamResponse, discovery_client::DiscoveryClient, stream_request,
        stream_response,
    },
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{Status, Streaming, body::Body};

use super::world::{PATIENCE, World};

/// The Service that gateways are told to connect to.
pub(super) const SERVICE: &str = "it-operator-discovery.here.svc";

/// A connection that speaks HTTP/2. Dropping it and its clones closes it.
#[derive(Clone)]
pub(super) struct Channel {
    sender: SendRequest<Body>,
    /// Drives the connection.
    _task: Arc<JoinSet<()>>,
}

/// A stream and what its gateway has.
pub(super) struct Gateway {
    pub(super) to: mpsc::Sender<StreamRequest>,
    pub(super) from: Streaming<StreamResponse>,
    pub(super) follower: Follower,
    /// Kinds of the messages that came, marks left out.
    pub(super) heard: Vec<Heard>,
    _channel: Channel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Begin,
    Chunk,
    End,
    Delta,
}

pub(super) async fn tls(
    address: SocketAddr,
    trusted: &[CertificateDer<'static>],
    name: &str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

impl Channel {
    pub(super) async fn open(world: &World) -> Self {
        let stream = tls(world.address, from_ref(&world.authority), SERVICE, &[b"h2"]).await;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(128 << 10)
            .handshake(TokioIo::new(stream.expect("the certificate is good")))
            .await
            .unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move { drop(connection.await) });
        Self {
            sender,
            _task: Arc::new(task),
        }
    }

    pub(super) fn origin() -> http::Uri {
        format!("https://{SERVICE}:9443").parse().unwrap()
    }
}

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

impl Gateway {
    /// Opens a stream without saying anything.
    pub(super) async fn open(world: &World, authorization: Option<&str>) -> Result<Self, Status> {
        let channel = Channel::open(world).await;
        let mut client = DiscoveryClient::with_origin(channel.clone(), Channel::origin());
        let (to, mut requests) = mpsc::channel(8);
        let outgoing = poll_fn(move |context| requests.poll_recv(context));
        let mut request = tonic::Request::new(outgoing);
        if let Some(authorization) = authorization {
            let value = authorization.parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let from = client.stream(request).await?.into_inner();
        Ok(Self {
            to,
            from,
            follower: Follower::new(None),
            heard: Vec::new(),
            _channel: channel,
        })
    }

    /// Opens a stream with a good token, and says what it has.
    pub(super) async fn subscribe(world: &World, has: Option<&Contents>) -> Self {
        let bearer = format!("Bearer {}", world.token(PATIENCE * 100));
        let mut gateway = Self::open(world, Some(&bearer)).await.expect("it is let in");
        gateway.follower = Follower::new(has.cloned());
        gateway.has(has).await;
        gateway
    }

    /// Says what it has.
    pub(super) async fn has(&self, contents: Option<&Contents>) {
        let subscribe = contents.map_or_else(v1::Subscribe::default, |it| it.versions().subscribe("claimed"));
        self.say(stream_request::Message::Subscribe(subscribe)).await;
    }

    pub(super) async fn say(&self, message: stream_request::Message) {
        let message = Some(message);
        self.to
            .send(StreamRequest { message })
            .await
            .expect("it is heard");
    }

    pub(super) async fn ack(&self, contents: &Contents) {
        let version = contents.versions().snapshot.to_string();
        self.say(stream_request::Message::Ack(v1::Ack { version })).await;
    }

    pub(super) async fn nack(&self, version: &str, reason: &str) {
        let (version, reason) = (version.to_owned(), reason.to_owned());
        self.say(stream_request::Message::Nack(v1::Nack { version, reason }))
            .await;
    }

    /// The next message.
    pub(super) async fn message(&mut self) -> Result<Option<StreamResponse>, Status> {
        timeout(PATIENCE, self.from.message())
            .await
            .expect("something comes")
    }

    /// Takes messages until they make contents.
    pub(super) async fn next(&mut self) -> Contents {
        loop {
            let message = self.message().await.unwrap().expect("the stream goes on");
            self.heard.extend(match &message.message {
                Some(stream_response::Message::Begin(_)) => Some(Heard::Begin),
                Some(stream_response::Message::Chunk(_)) => Some(Heard::Chunk),
                Some(stream_response::Message::End(_)) => Some(Heard::End),
                Some(stream_response::Message::Delta(_)) => Some(Heard::Delta),
                Some(stream_response::Message::Mark(_)) | None => None,
            });
            if let Some(contents) = self.follower.accept(message).expect("it can be taken") {
                return contents;
            }
        }
    }

    /// The version that the next mark names, which is the next message.
    pub(super) async fn mark(&mut self) -> String {
        let message = self.message().await.unwrap().expect("the stream goes on");
        assert_eq!(self.follower.accept(message.clone()), Ok(None));
        match message.message {
            Some(stream_response::Message::Mark(mark)) => mark.version,
            other => panic!("not a mark: {other:?}"),
        }
    }

    /// How the stream ends; marks may come before.
    pub(super) async fn end(&mut self) -> Result<(), Status> {
        loop {
            match self.message().await? {
                None => return Ok(()),
                Some(message) => assert!(
                    matches!(message.message, Some(stream_response::Message::Mark(_))),
                    "{message:?}"
                ),
            }
        }
    }
}
