//! How an upstream's certificate is checked.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
};
use snapshot::Tls;

/// Trust settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The CA is not PEM.
    #[error("expected certificates in PEM as the CA")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The CA holds no certificate.
    #[error("expected at least one certificate as the CA, found none")]
    NoCertificate,
    /// A certificate of the CA cannot be read.
    #[error("expected the CA's certificates to be X.509")]
    Certificate(#[source] rustls::Error),
    /// The name to expect is no host name.
    #[error("expected a host name or an address to check the certificate against")]
    ServerName(#[source] InvalidDnsNameError),
    /// This build's TLS has no usable protocol version.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// TLS for one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// Which certificates are trusted.
    pub(crate) config: Arc<ClientConfig>,
    /// The name to expect.
    pub(crate) name: ServerName<'static>,
}

impl Trust {
    /// For an endpoint at `host`.
    pub(crate) fn new(host: &str, tls: &Tls) -> Result<Self, TrustError> {
        let name = tls.server_name.as_deref().unwrap_or(host);
        Ok(Self {
            name: ServerName::try_from(name.to_owned()).map_err(TrustError::ServerName)?,
            config: match &tls.ca {
                None => built_in()?,
                Some(pem) => Arc::new(config(given(pem)?)?),
            },
        })
    }
}

/// The roots that ship with this program, one copy for all endpoints.
fn built_in() -> Result<Arc<ClientConfig>, TrustError> {
    static BUILT_IN: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = BUILT_IN.get() {
        return Ok(Arc::clone(config));
    }
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let config = Arc::new(config(roots)?);
    Ok(Arc::clone(BUILT_IN.get_or_init(|| config)))
}

fn given(pem: &str) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots
            .add(certificate.map_err(TrustError::Pem)?)
            .map_err(TrustError::Certificate)?;
    }
    if roots.is_empty() {
        return Err(TrustError::NoCertificate);
    }
    Ok(roots)
}

fn config(roots: RootCertStore) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
