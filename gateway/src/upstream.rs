//! The client side: requests to upstreams, over connections that are kept.
//!
//! [`Upstreams`] hands out one [`Upstream`] per endpoint; [`Upstream::send`] sends one request and
//! gives the response's head and its [`UpstreamBody`]. This module knows HTTP, TLS and addresses, and
//! nothing of dialects, credentials or retries between them. It waits as long as the upstream does,
//! except for a connection: all other deadlines are the caller's, who ends a call by dropping it.
//!
//! Start with [`Upstream::send`]; `h1` is the path that nearly every request takes.

mod address;
mod body;
mod connect;
mod connections;
mod h1;
mod h2;
mod io;
mod permit;
mod tls;

use std::{
    collections::HashMap,
    error::Error,
    io::Error as IoError,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use dialect::Segments;
use http::{HeaderValue, Method, Request, Response, request::Parts, uri::Authority};
use http_body::Body as _;
use http_body_util::combinators::BoxBody;
use snapshot::{Provider, Scheme, Tls};

pub use self::{
    address::{AddressKind, AddressPolicy},
    body::{BodyError, CollectError, UpstreamBody},
    h1::{FramingError, HeadError},
    permit::Permit,
    tls::TrustError,
};

pub(crate) use self::tls::Trust;

use self::{
    connect::{Connected, Connector, Names},
    connections::Connections,
    h1::Outbox,
};

/// An error of whatever made a request's body.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A request body that comes while it is sent.
pub type StreamedBody = BoxBody<Bytes, BoxError>;

/// The clients of all endpoints.
#[derive(Debug)]
pub struct Upstreams {
    addresses: AddressPolicy,
    clients: Mutex<HashMap<Key, Weak<Upstream>>>,
}

/// What makes two Providers share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    scheme: Scheme,
    host: Arc<str>,
    port: u16,
    service: bool,
    ca: Option<Arc<str>>,
    server_name: Option<Arc<str>>,
    connect: Duration,
}

/// A client of one endpoint.
#[derive(Debug)]
pub struct Upstream {
    connector: Connector,
    connections: Arc<Connections>,
    /// For HTTP/1.1.
    host: HeaderValue,
    /// For HTTP/2.
    authority: Authority,
    protocol: Protocol,
}

/// What an endpoint that could speak HTTP/2 speaks.
#[derive(Debug, Default)]
struct Protocol {
    http1: std::sync::OnceLock<()>,
    /// Held while connecting until it is known that HTTP/2 is not spoken: its connections are shared, so
    /// those who wait find the new one instead of opening one each.
    gate: tokio::sync::Mutex<()>,
}

/// A request's body.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// In memory. Can be sent again. Shared, because it moves through the futures of a call.
    Whole(Arc<Segments>),
    /// Still coming. Sent once; its length is announced when its size hint is exact.
    Streamed(StreamedBody),
}

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its host is none.
    #[error("expected a host name or an address with a port")]
    Host(#[source] http::Error),
    /// Its TLS settings are unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// A request that got no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The host's name has no address.
    #[error("the upstream's name could not be resolved")]
    Dns(#[source] IoError),
    /// The host's addresses may not be connected to.
    #[error("the upstream's address {address} is {} and may not be connected to", kind.as_str())]
    ForbiddenAddress {
        /// The first address that its name led to.
        address: IpAddr,
        /// What is wrong with it.
        kind: AddressKind,
    },
    /// No address took the connection.
    #[error("the upstream could not be connected to")]
    Connect(#[source] IoError),
    /// There was no connection in time.
    #[error("the upstream could not be connected to within {after:?}")]
    ConnectTimeout {
        /// The Provider's connect timeout.
        after: Duration,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with the upstream failed")]
    Tls(#[source] IoError),
    /// The connection ended before a response head.
    #[error("the upstream closed the connection before it answered")]
    Closed(#[source] IoError),
    /// What came is no HTTP/1.1 response head.
    #[error("the upstream's response head could not be read")]
    Head(#[source] HeadError),
    /// The HTTP/2 connection or stream failed.
    #[error("the upstream's HTTP/2 stream failed before it answered")]
    Http2(#[source] hyper::Error),
    /// The request's own body failed while it was sent.
    #[error("the request body ended early")]
    Body(#[source] BoxError),
    /// The permit was taken back before anything was sent. The request's body is given back.
    #[error("the request may not be sent any more")]
    Revoked(RequestBody),
}

impl SendError {
    /// Whether the upstream may have seen the request. `false` says that nothing of it was sent.
    pub const fn sent(&self) -> bool {
        match self {
            Self::Dns(_)
            | Self::ForbiddenAddress { .. }
            | Self::Connect(_)
            | Self::ConnectTimeout { .. }
            | Self::Tls(_)
            | Self::Revoked(_) => false,
            Self::Closed(_) | Self::Head(_) | Self::Http2(_) | Self::Body(_) => true,
        }
    }
}

impl Upstreams {
    /// No client yet.
    pub fn new(addresses: AddressPolicy) -> Self {
        Self {
            addresses,
            clients: Mutex::default(),
        }
    }

    /// The client for a Provider. Providers with the same host, TLS settings and connect timeout share
    /// one, as long as somebody holds it: take the new snapshot's clients before the old one's are let go.
    pub fn client(&self, provider: &Provider) -> Result<Arc<Upstream>, UpstreamError> {
        let endpoint = &provider.endpoint;
        let key = Key {
            scheme: endpoint.scheme,
            host: Arc::clone(&endpoint.host),
            port: endpoint.port,
            service: endpoint.service,
            ca: provider.tls.ca.clone(),
            server_name: provider.tls.server_name.clone(),
            connect: provider.timeouts.connect,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let authority = endpoint.authority();
        let client = Arc::new(Upstream::new(&key, &authority, self.addresses, Names::System)?);
        clients.retain(|_, client| client.strong_count() > 0);
        clients.insert(key, Arc::downgrade(&client));
        Ok(client)
    }
}

impl Upstream {
    fn new(
        key: &Key,
        authority: &str,
        addresses: AddressPolicy,
        names: Names,
    ) -> Result<Self, UpstreamError> {
        let tls = Tls {
            ca: key.ca.clone(),
            server_name: key.server_name.clone(),
        };
        let trust = match key.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(Trust::new(&key.host, &tls)?),
        };
        Ok(Self {
            host: HeaderValue::from_str(authority).map_err(|error| UpstreamError::Host(error.into()))?,
            authority: authority
                .parse()
                .map_err(|error: http::uri::InvalidUri| UpstreamError::Host(error.into()))?,
            connector: Connector {
                host: Arc::clone(&key.host),
                port: key.port,
                service: key.service,
                addresses,
                names,
                timeout: key.connect,
                trust,
            },
            connections: Connections::new(connections::IDLE),
            protocol: Protocol::default(),
        })
    }

    /// Sends a request and waits for the head of the response, whatever its status: redirects are
    /// responses. Only the path and query of the URI count. Headers that belong to a connection are left
    /// out, the body's framing is written here.
    ///
    /// A kept connection that dies before a byte of the response is replaced by a fresh one, once. A
    /// streamed body is only sent over HTTP/1.1 on a fresh connection, so it cannot meet a dead one.
    ///
    /// The permit is looked at when there is a connection, right before the first byte is written.
    ///
    /// Cancel safe: dropping the future ends the exchange at once.
    pub fn send<'a>(
        &'a self,
        request: Request<RequestBody>,
        permit: &'a Permit,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, SendError>> + Send + 'a {
        // Taken apart before the future begins, which would have room for it twice otherwise.
        let (parts, body) = request.into_parts();
        async move {
            let body = match self.send_on_kept(&parts, body, permit).await {
                Kept::Answered(result) => return result,
                Kept::Unsent(body) => body,
            };
            // Boxed, because every call would carry the room for what few of them do.
            match Box::pin(self.connector.in_time(self.connect())).await? {
                Fresh::Http1(io) => {
                    let repeat = body.repeat();
                    let outbox = self.outbox(&parts, body);
                    self.exchange(io, outbox, &parts, permit)
                        .await
                        .map_err(|failed| unsent(failed, repeat))
                }
                Fresh::Http2(stream) => {
                    let exchange = stream.exchange(&parts, &self.authority, body, permit);
                    match Box::pin(exchange).await {
                        Ok((head, answer)) => Ok(Response::from_parts(head, UpstreamBody::http2(answer))),
                        Err(h2::Failed::Revoked(body)) => Err(SendError::Revoked(body)),
                        Err(h2::Failed::Stream { source, .. }) => Err(SendError::Http2(source)),
                    }
                }
            }
        }
    }

    /// Tries a connection that is open already.
    async fn send_on_kept(&self, parts: &Parts, body: RequestBody, permit: &Permit) -> Kept {
        let repeat = body.repeat();
        if let Some(stream) = self.connections.take_h2() {
            let connection = Arc::clone(stream.connection());
            return match Box::pin(stream.exchange(parts, &self.authority, body, permit)).await {
                Ok((head, answer)) => {
                    Kept::Answered(Ok(Response::from_parts(head, UpstreamBody::http2(answer))))
                }
                Err(h2::Failed::Revoked(body)) => Kept::Answered(Err(SendError::Revoked(body))),
                Err(h2::Failed::Stream { source, retry }) => match repeat {
                    Some(body) if retry => {
                        self.connections.retire_h2(&connection);
                        Kept::Unsent(body)
                    }
                    _ => Kept::Answered(Err(SendError::Http2(source))),
                },
            };
        }
        let Some(repeat) = repeat else {
            return Kept::Unsent(body);
        };
        let Some(io) = self.connections.take_h1() else {
            return Kept::Unsent(body);
        };
        let outbox = self.outbox(parts, body);
        match self.exchange(io, outbox, parts, permit).await {
            Err(h1::Failed::Closed { answered: false, .. }) => Kept::Unsent(repeat),
            result => Kept::Answered(result.map_err(|failed| unsent(failed, Some(repeat)))),
        }
    }

    /// Opens a connection, or finds one that was opened meanwhile and can be shared.
    async fn connect(&self) -> Result<Fresh, SendError> {
        let mut gate = match self.connector.trust {
            Some(_) if self.protocol.http1.get().is_none() => Some(self.protocol.gate.lock().await),
            _ => None,
        };
        if self.protocol.http1.get().is_some() {
            // Learned while we waited: connections that are not shared are opened side by side.
            gate = None;
        }
        if gate.is_some()
            && let Some(stream) = self.connections.take_h2()
        {
            return Ok(Fresh::Http2(stream));
        }
        match self.connector.connect().await? {
            Connected::Http1(io) => {
                self.protocol.http1.get_or_init(|| ());
                Ok(Fresh::Http1(io))
            }
            Connected::Http2(connection) => {
                let stream = h2::Stream::open(&connection);
                self.connections.put_h2(connection);
                stream.map(Fresh::Http2).ok_or_else(|| {
                    SendError::Closed(IoError::other(
                        "the upstream takes no streams on a new connection",
                    ))
                })
            }
        }
    }

    async fn exchange(
        &self,
        io: io::Io,
        outbox: Box<Outbox>,
        parts: &Parts,
        permit: &Permit,
    ) -> Result<Response<UpstreamBody>, h1::Failed> {
        let to_head = parts.method == Method::HEAD;
        let (head, rest) = h1::exchange(io, outbox, to_head, permit, &self.connections).await?;
        Ok(Response::from_parts(head, UpstreamBody::http1(rest)))
    }

    fn outbox(&self, parts: &Parts, body: RequestBody) -> Box<Outbox> {
        let head = |framing| h1::encode(parts, &self.host, framing);
        Box::new(match body {
            RequestBody::Empty => Outbox::new(head(h1::Outgoing::Nothing), []),
            RequestBody::Whole(segments) => {
                let head = head(h1::Outgoing::Length(segments.len() as u64));
                Outbox::new(head, segments.iter().cloned())
            }
            RequestBody::Streamed(body) => {
                let length = body.size_hint().exact();
                let framing = length.map_or(h1::Outgoing::Chunked, h1::Outgoing::Length);
                Outbox::streamed(head(framing), body, length)
            }
        })
    }
}

/// What came of a connection that was open already.
enum Kept {
    /// The call is over, well or not.
    Answered(Result<Response<UpstreamBody>, SendError>),
    /// There was none, or it was dead.
    Unsent(RequestBody),
}

/// A connection to send on.
enum Fresh {
    Http1(io::Io),
    Http2(h2::Stream),
}

impl RequestBody {
    /// The same body again, if it can be sent twice.
    fn repeat(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Whole(segments) => Some(Self::Whole(segments.clone())),
            Self::Streamed(_) => None,
        }
    }
}

/// Why there is no response. `repeat` is the request's body, where it can be sent again.
fn unsent(failed: h1::Failed, repeat: Option<RequestBody>) -> SendError {
    match failed {
        h1::Failed::Closed { source, .. } => SendError::Closed(source),
        h1::Failed::Head(error) => SendError::Head(error),
        h1::Failed::Body(error) => SendError::Body(error),
        h1::Failed::Revoked(streamed) => {
            let streamed = streamed.map(RequestBody::Streamed);
            SendError::Revoked(repeat.or(streamed).unwrap_or(RequestBody::Empty))
        }
    }
}

#[cfg(test)]
mod tests;
