//! TLS, with a certificate that changes while it listens.

use std::{fmt, io, sync::Arc};

use rustls::{
    Error, InvalidMessage, ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::authority::Presented;

/// The one protocol that is spoken.
const HTTP2: &[u8] = b"h2";

/// Accepts connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

/// Why a connection is not used.
pub(super) enum Unencrypted {
    /// The peer left before it said anything of use, as probes do.
    Gone,
    /// What came is not what is spoken here.
    Refused {
        /// One word of a closed set.
        reason: &'static str,
        /// What was wrong.
        source: io::Error,
    },
}

/// Presents whatever certificate there is at the moment.
struct Latest(watch::Receiver<Option<Presented>>);

impl Tls {
    pub(super) fn new(presented: watch::Receiver<Option<Presented>>) -> Result<Self, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Latest(presented)));
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) async fn accept(self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Unencrypted> {
        let stream = self.0.accept(stream).await.map_err(Unencrypted::from)?;
        if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
            return Ok(stream);
        }
        Err(Unencrypted::Refused {
            reason: "no_http2",
            source: io::Error::other("the peer does not offer HTTP/2"),
        })
    }
}

impl From<io::Error> for Unencrypted {
    fn from(source: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        if matches!(source.kind(), UnexpectedEof | ConnectionReset | BrokenPipe) {
            return Self::Gone;
        }
        let error = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let reason = match error {
            Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => "plaintext",
            Some(Error::NoApplicationProtocol) => "no_http2",
            _ => "handshake",
        };
        Self::Refused { reason, source }
    }
}

impl ResolvesServerCert for Latest {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}

impl fmt::Debug for Latest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latest")
    }
}
