//! Opening a connection: names to addresses, the address policy, TCP and TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    SendError,
    address::{AddressKind, AddressPolicy},
    h2,
    io::Io,
    tls::Trust,
};

/// How long one address may take before the next is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// How to open a connection to one endpoint.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// Whether it was given as an in-cluster Service.
    pub(super) service: bool,
    pub(super) addresses: AddressPolicy,
    pub(super) names: Names,
    pub(super) timeout: Duration,
    /// `None` speaks in the clear.
    pub(super) trust: Option<Trust>,
}

/// Where addresses come from.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// The system's resolver.
    System,
    /// A test's.
    #[cfg(test)]
    Fixed(Vec<IpAddr>),
}

/// A connection, by the protocol that was agreed on.
#[derive(Debug)]
pub(super) enum Connected {
    Http1(Io),
    Http2(Arc<h2::Connection>),
}

impl Connector {
    /// Opens a connection within the connect timeout.
    pub(super) async fn connect(&self) -> Result<Connected, SendError> {
        let tcp = race(self.resolve().await?).await.map_err(SendError::Connect)?;
        tcp.set_nodelay(true).map_err(SendError::Connect)?;
        let Some(trust) = &self.trust else {
            return Ok(Connected::Http1(Io::Plain(tcp)));
        };
        let tls = TlsConnector::from(Arc::clone(&trust.config))
            .connect(trust.name.clone(), tcp)
            .await
            .map_err(SendError::Tls)?;
        let tls = Box::new(tls);
        if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
            return Ok(Connected::Http2(
                h2::Connection::open(tls).await.map_err(SendError::Http2)?,
            ));
        }
        Ok(Connected::Http1(Io::Tls(tls)))
    }

    /// Bounds `work` by the connect timeout.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, SendError> {
        timeout(self.timeout, work)
            .await
            .unwrap_or(Err(SendError::ConnectTimeout { after: self.timeout }))
    }

    /// Whether the bytes may go there: in the clear only to a service or where strangers do not listen.
    fn may_be_plain(&self, address: IpAddr) -> bool {
        self.trust.is_some() || self.service || AddressKind::of(address) != AddressKind::Public
    }

    /// The addresses that may be connected to, alternating between the families.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, SendError> {
        let found = self
            .names
            .lookup(&self.host, self.port)
            .await
            .map_err(SendError::Dns)?;
        let Some(&first) = found.first() else {
            return Err(SendError::Dns(io::Error::new(
                io::ErrorKind::NotFound,
                "no address",
            )));
        };
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.addresses.allows(address.ip(), self.service))
            .filter(|address| self.may_be_plain(address.ip()))
            .collect();
        if allowed.is_empty() {
            return Err(SendError::ForbiddenAddress {
                address: first.ip(),
                kind: AddressKind::of(first.ip()),
            });
        }
        Ok(alternate(allowed))
    }
}

impl Names {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        match self {
            Self::System => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            #[cfg(test)]
            Self::Fixed(addresses) => Ok(addresses
                .iter()
                .map(|address| SocketAddr::new(*address, port))
                .collect()),
        }
    }
}

/// Orders addresses so that the families take turns, beginning with the resolver's first.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// The first connection that opens. The next address is tried when one fails or takes long.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    if let (1, Some(only)) = (waiting.len(), waiting.clone().next()) {
        return TcpStream::connect(only).await;
    }
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        let last = next.is_none();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        let ended = if last {
            attempts.join_next().await
        } else {
            timeout(STAGGER, attempts.join_next()).await.unwrap_or_default()
        };
        match ended {
            Some(Ok(Ok(tcp))) => return Ok(tcp),
            Some(Ok(Err(error))) => failure = error,
            None if last => return Err(failure),
            Some(Err(_)) | None => {}
        }
    }
}
