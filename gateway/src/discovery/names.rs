//! Where operators are.

use std::{collections::BTreeSet, fmt, io, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use http::Uri;
use tokio::time::timeout;

/// How long looking a name up may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The operator's URL: `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorUrl {
    host: Arc<str>,
    port: u16,
}

/// Why a URL is no operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL like https://roundhouse-operator.roundhouse.svc:9443")]
pub struct OperatorUrlError;

impl OperatorUrl {
    /// The host, whose certificate is expected.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL for requests.
    pub(super) fn origin(&self) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme("https")
            .authority(self.authority())
            .path_and_query("/")
            .build()
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for OperatorUrl {
    type Err = OperatorUrlError;

    fn from_str(text: &str) -> Result<Self, OperatorUrlError> {
        let uri: Uri = text.parse().map_err(|_| OperatorUrlError)?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = uri.authority().ok_or(OperatorUrlError)?;
        if uri.scheme_str() != Some("https") || !is_bare || authority.as_str().contains('@') {
            return Err(OperatorUrlError);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            host: host.into(),
            port: authority.port_u16().ok_or(OperatorUrlError)?,
        })
    }
}

impl fmt::Display for OperatorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

/// Where addresses come from.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// The system's resolver.
    System,
    /// A test's.
    #[cfg(test)]
    Fixed(Arc<std::sync::Mutex<BTreeSet<SocketAddr>>>),
}

impl Names {
    /// All addresses of the operator.
    pub(super) async fn look_up(&self, url: &OperatorUrl) -> io::Result<BTreeSet<SocketAddr>> {
        let found: BTreeSet<_> = match self {
            Self::System => timeout(PATIENCE, tokio::net::lookup_host((&*url.host, url.port)))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
                .collect(),
            #[cfg(test)]
            Self::Fixed(addresses) => addresses
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone(),
        };
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::OperatorUrl;

    #[test]
    fn only_an_https_url_with_a_port_is_an_operators() {
        for (text, host) in [
            ("https://operator.ns.svc:9443", "operator.ns.svc"),
            ("https://10.0.0.1:1/", "10.0.0.1"),
            ("https://[::1]:9443", "::1"),
        ] {
            let url: OperatorUrl = text.parse().unwrap();
            assert_eq!(url.host(), host);
            assert_eq!(url.to_string(), text.trim_end_matches('/'));
            assert_eq!(url.origin().unwrap().to_string(), format!("{url}/"));
        }
        for text in [
            "http://operator:9443",
            "https://operator",
            "operator:9443",
            "https://operator:9443/path",
            "https://operator:9443/?q",
            "https://user@operator:9443",
            "https://operator:99999",
            "",
        ] {
            assert!(text.parse::<OperatorUrl>().is_err(), "{text}");
        }
    }
}
