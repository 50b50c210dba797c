//! Opens connections.

use std::{fs, path::Path, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates,
    TlsMode,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    io::tcp::TcpSettings,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use snapshot::Secret;
use tokio::time::timeout;

use super::{
    LinkError, LinkSettings,
    address::{Host, Place},
    away::{Failure, Why},
    wire::Wire,
};

/// How long one server may take to let us in.
const CONNECT: Duration = Duration::from_secs(1);
/// How long it may take to find out which servers there are, and to be let in.
const DISCOVER: Duration = Duration::from_secs(3);
/// How many calls may wait for the socket at a time; more wait for their place.
const QUEUE: usize = 4096;
/// How long sent bytes may stay unacknowledged: a host that is gone does not say so.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Knows how to connect.
pub(super) struct Dialer {
    settings: Arc<LinkSettings>,
}

/// What is read anew for every connection.
struct Keys {
    password: Option<Secret>,
    certificates: Option<TlsCertificates>,
}

/// Called when a connection breaks, where the protocol tells.
pub(super) type Broken = Arc<dyn Fn() + Send + Sync>;

impl Dialer {
    /// Checks what can be checked without the server.
    pub(super) fn new(settings: Arc<LinkSettings>) -> Result<Self, LinkError> {
        if let Some(trust) = &settings.address.tls {
            // The client library takes the process's provider. If there is one already, it is this one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            if let Some(path) = &trust.ca_file {
                let pem = fs::read(path).map_err(|source| LinkError::CaFile {
                    path: path.clone(),
                    source,
                })?;
                if !is_pem(&pem) {
                    return Err(LinkError::CaCertificates(path.clone()));
                }
            }
        }
        Ok(Self { settings })
    }

    /// Connects and loads the scripts.
    pub(super) async fn dial(&self, broken: Broken) -> Result<Wire, Failure> {
        let keys = self.keys().await?;
        let wire = match &self.settings.address.place {
            Place::Node { host, database } => {
                let info = self.info(host, *database, &keys)?;
                Wire::Node(timeout(CONNECT, node(&info, broken)).await??)
            }
            Place::Sentinel {
                hosts,
                name,
                database,
            } => {
                let master = timeout(DISCOVER, self.master(hosts, name, &keys)).await??;
                let info = master.get_connection_info();
                let redis = info.redis_settings().clone().set_db(*database);
                Wire::Node(timeout(CONNECT, node(&info.clone().set_redis_settings(redis), broken)).await??)
            }
            Place::Cluster { hosts } => timeout(DISCOVER, self.cluster(hosts, &keys)).await??,
        };
        for script in &self.settings.scripts {
            // Where this is refused, the scripts travel with their first calls.
            let _ = timeout(CONNECT, wire.send(&script.load())).await?;
        }
        Ok(wire)
    }

    async fn keys(&self) -> Result<Keys, Failure> {
        let password = match &self.settings.password_file {
            None => self.settings.address.password.clone(),
            Some(path) => {
                let mut text = read(path, Why::Unauthenticated).await?;
                while text.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
                    text.pop();
                }
                Some(Secret::new(text))
            }
        };
        let ca_file = self
            .settings
            .address
            .tls
            .as_ref()
            .and_then(|trust| trust.ca_file.as_ref());
        let root_cert = match ca_file {
            None => None,
            Some(path) => Some(read(path, Why::Untrusted).await?),
        };
        Ok(Keys {
            password,
            certificates: root_cert.map(|pem| TlsCertificates {
                client_tls: None,
                root_cert: Some(pem),
            }),
        })
    }

    fn info(&self, host: &Host, database: i64, keys: &Keys) -> RedisResult<ConnectionInfo> {
        let mut redis = RedisConnectionInfo::default().set_db(database);
        if let Some(user) = &self.settings.address.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &keys.password {
            redis = redis.set_password(text(password)?);
        }
        let info = self
            .address(host)
            .into_connection_info()?
            .set_tcp_settings(tcp())
            .set_redis_settings(redis);
        match &keys.certificates {
            None => Ok(info),
            Some(certificates) => Ok(Client::build_with_tls(info, certificates.clone())?
                .get_connection_info()
                .clone()),
        }
    }

    fn address(&self, host: &Host) -> ConnectionAddr {
        let (name, port) = (host.name.clone(), host.port);
        if self.settings.address.tls.is_some() {
            ConnectionAddr::TcpTls {
                host: name,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(name, port)
        }
    }

    async fn cluster(&self, hosts: &[Host], keys: &Keys) -> Result<Wire, Failure> {
        let infos = hosts
            .iter()
            .map(|host| self.info(host, 0, keys))
            .collect::<RedisResult<Vec<_>>>()?;
        let mut builder = ClusterClient::builder(infos)
            .use_protocol(ProtocolVersion::RESP3)
            .tcp_settings(tcp())
            .connection_timeout(CONNECT)
            .response_timeout(CONNECT)
            // What moved is asked for where it went, as long as the call's deadline allows.
            .retries(3)
            .min_retry_wait(1)
            .max_retry_wait(10)
            .retry_wait_formula(1, 2);
        if let Some(certificates) = &keys.certificates {
            builder = builder.certs(certificates.clone());
        }
        Ok(Wire::Cluster(builder.build()?.get_async_connection().await?))
    }

    /// Asks the Sentinels for the master.
    async fn master(&self, hosts: &[Host], name: &str, keys: &Keys) -> Result<Client, Failure> {
        match self.ask(hosts, name, keys, true).await {
            // Many Sentinels have no password where the servers have one, and some refuse to be given it.
            Err(failure) if failure.why() == Why::Unauthenticated && self.has_login(keys) => {
                self.ask(hosts, name, keys, false).await.map_err(|_| failure)
            }
            asked => asked,
        }
    }

    async fn ask(&self, hosts: &[Host], name: &str, keys: &Keys, login: bool) -> Result<Client, Failure> {
        let addresses = hosts.iter().map(|host| self.address(host));
        let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
        if self.settings.address.tls.is_some() {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = &keys.certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        if let Some(user) = &self.settings.address.user {
            builder = builder.set_client_to_redis_username(user);
            if login {
                builder = builder.set_client_to_sentinel_username(user);
            }
        }
        if let Some(password) = &keys.password {
            let password = text(password)?;
            builder = builder.set_client_to_redis_password(password);
            if login {
                builder = builder.set_client_to_sentinel_password(password);
            }
        }
        Ok(builder.build()?.async_get_client().await?)
    }

    fn has_login(&self, keys: &Keys) -> bool {
        keys.password.is_some() || self.settings.address.user.is_some()
    }
}

/// Connects with RESP3, where a broken connection is told at once, or with RESP2 where that is not known.
async fn node(info: &ConnectionInfo, broken: Broken) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        // Calls have deadlines of their own.
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    let client = |protocol| {
        let redis = info.redis_settings().clone().set_protocol(protocol);
        Client::open(info.clone().set_redis_settings(redis))
    };
    let told = config
        .clone()
        .set_push_sender(move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                broken();
            }
            Ok(())
        });
    match client(ProtocolVersion::RESP3)?
        .get_multiplexed_async_connection_with_config(&told)
        .await
    {
        Err(error) if knows_no_resp3(&error) => {
            client(ProtocolVersion::RESP2)?
                .get_multiplexed_async_connection_with_config(&config)
                .await
        }
        connected => connected,
    }
}

/// Whether `HELLO 3` is unknown (before Redis 6, or renamed), or its protocol is.
fn knows_no_resp3(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported
        || error.code() == Some("NOPROTO")
        || error
            .detail()
            .is_some_and(|detail| detail.starts_with("unknown command"))
}

fn tcp() -> TcpSettings {
    // A call is one small write that somebody waits for.
    TcpSettings::default()
        .set_nodelay(true)
        .set_user_timeout(UNACKNOWLEDGED)
}

fn text(password: &Secret) -> RedisResult<&str> {
    std::str::from_utf8(password.expose())
        .map_err(|_| (ErrorKind::AuthenticationFailed, "the password is not UTF-8").into())
}

fn is_pem(pem: &[u8]) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(pem).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}

async fn read(path: &Path, why: Why) -> Result<Vec<u8>, Failure> {
    tokio::fs::read(path).await.map_err(|error| Failure::Unreadable {
        why,
        cause: format!("{}: {error}", path.display()),
    })
}
