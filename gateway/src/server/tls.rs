//! TLS of a listener, from files that may change while it listens.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The certificate of a listener and where it comes from.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    config: ArcSwap<ServerConfig>,
}

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate file has no usable certificate.
    #[error("{path} does not hold PEM certificates")]
    Certificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file has no usable private key.
    #[error("{path} does not hold a PEM private key")]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The two do not belong together, or the algorithm is not supported.
    #[error("the certificate in {path} cannot be served with its key")]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// What the TLS library said.
        #[source]
        source: rustls::Error,
    },
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: snapshot::Secret,
}

impl Tls {
    /// Reads both files.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = Files { certificate, key };
        let config = files.parse(&files.read()?)?;
        Ok(Self {
            files,
            config: ArcSwap::from_pointee(config),
        })
    }

    /// Follows the files for ever: new connections get what the files hold, the last usable pair when they
    /// hold nothing usable. Looks every `every`, since mounted Secrets change by exchanged links.
    pub async fn follow(&self, every: Duration) {
        let mut seen = self.files.read().ok();
        let mut looks = interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Ok(pair) = self.files.read() else { continue };
            if seen.as_ref() == Some(&pair) {
                continue;
            }
            match self.files.parse(&pair) {
                Ok(config) => {
                    self.config.store(Arc::new(config));
                    tracing::info!(certificate = %self.files.certificate.display(), "serving a new certificate");
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the changed certificate is not usable; the one before stays"
                ),
            }
            seen = Some(pair);
        }
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }
}

impl Files {
    fn read(&self) -> Result<Pair, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::Read {
                path: path.clone(),
                source,
            })
        };
        Ok(Pair {
            certificate: read(&self.certificate)?,
            key: snapshot::Secret::new(read(&self.key)?),
        })
    }

    fn parse(&self, pair: &Pair) -> Result<ServerConfig, TlsError> {
        let no_certificate = || TlsError::Certificate {
            path: self.certificate.clone(),
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pair.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| no_certificate())?;
        if chain.is_empty() {
            return Err(no_certificate());
        }
        let key = PrivateKeyDer::from_pem_slice(pair.key.expose()).map_err(|_| TlsError::Key {
            path: self.key.clone(),
        })?;
        let refused = |source| TlsError::Refused {
            path: self.certificate.clone(),
            source,
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}
