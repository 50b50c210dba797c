//! Where a store is, as people write it.

use std::{fmt, path::PathBuf, str::FromStr};

use percent_encoding::percent_decode_str;
use snapshot::Secret;

const SCHEMES: &str = "redis, rediss, redis-sentinel, rediss-sentinel, redis-cluster or rediss-cluster";

/// Where a store is: `redis://[user[:password]@]host[:port][/database]`,
/// `redis-sentinel://[user[:password]@]host[:port],…/name[/database]` (the hosts are those of the Sentinels),
/// or `redis-cluster://[user[:password]@]host[:port],…`.
///
/// With `rediss` instead of `redis` every connection uses TLS, and `?ca-file=PATH` names the certificates in
/// PEM that are trusted instead of the public ones. User, password, name and path are percent-decoded. A Sentinel
/// is given the same user and password as the servers, and none when it refuses them.
///
/// Printing shows all but the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) place: Place,
    pub(super) tls: Option<Trust>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
}

/// What the hosts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The server.
    Node { host: Host, database: i64 },
    /// Sentinels, which know the server.
    Sentinel {
        hosts: Vec<Host>,
        name: String,
        database: i64,
    },
    /// Some servers of a cluster.
    Cluster { hosts: Vec<Host> },
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name or an address, without brackets.
    pub(super) name: String,
    pub(super) port: u16,
}

/// Who is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    /// Certificates in PEM; `None` are the public ones.
    pub(super) ca_file: Option<PathBuf>,
}

/// The text is no address of a store. Messages never repeat user or password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `://`, or something else before it.
    #[error("expected an address that begins with {SCHEMES}, then ://")]
    Scheme,
    /// No host, or an empty one in the list.
    #[error("expected a host, found none")]
    NoHost,
    /// Several hosts where one server is meant.
    #[error("expected one host; several are for redis-sentinel and redis-cluster")]
    SeveralHosts,
    /// Brackets without an IPv6 address, or an IPv6 address without brackets.
    #[error("expected a host name, an IPv4 address, or an IPv6 address in brackets, found {0:?}")]
    Host(String),
    /// The port is none.
    #[error("expected a port from 1 to 65535 after the host; a user and a password end with an @")]
    Port,
    /// The database is no number.
    #[error("expected the number of a database, found {0:?}")]
    Database(String),
    /// A Sentinel address without the name of the master.
    #[error("expected the master's name after the Sentinels, as in redis-sentinel://host/name")]
    NoName,
    /// A cluster address with a path.
    #[error("expected nothing after the hosts of a cluster, which has one database")]
    ClusterPath,
    /// An option that does not exist.
    #[error("expected the option ca-file, found {0:?}")]
    Option(String),
    /// An option for TLS without TLS.
    #[error("expected ca-file only where TLS is used: rediss, rediss-sentinel or rediss-cluster")]
    NoTls,
    /// An option without a value.
    #[error("expected a path after ca-file=")]
    NoPath,
    /// A path with the sign that ends user and password.
    #[error("expected %40 for @ in the path after ca-file=")]
    At,
    /// What is percent-encoded is no UTF-8.
    #[error("expected UTF-8 in what is percent-encoded")]
    Encoding,
}

#[derive(Clone, Copy)]
enum Kind {
    Node,
    Sentinel,
    Cluster,
}

impl Address {
    /// Whether keys are spread over servers.
    pub fn is_cluster(&self) -> bool {
        matches!(self.place, Place::Cluster { .. })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let (kind, tls) = match scheme {
            "redis" => (Kind::Node, false),
            "rediss" => (Kind::Node, true),
            "redis-sentinel" => (Kind::Sentinel, false),
            "rediss-sentinel" => (Kind::Sentinel, true),
            "redis-cluster" => (Kind::Cluster, false),
            "rediss-cluster" => (Kind::Cluster, true),
            _ => return Err(AddressError::Scheme),
        };
        // A password may hold anything but `@` and what is percent-encoded, so it is taken off first.
        let (login, rest) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(login, rest)| (Some(login), rest));
        if login.is_some_and(|login| login.contains("?ca-file=")) {
            return Err(AddressError::At);
        }
        let (user, password) = login.map_or(Ok((None, None)), self::login)?;
        let (rest, query) = rest
            .split_once('?')
            .map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let trust = trust(tls, query)?;
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            place: place(kind, hosts, path)?,
            tls: trust,
            user,
            password,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls.is_some() { "s" } else { "" };
        match &self.place {
            Place::Node { host, database } => write!(f, "redis{tls}://{host}/{database}"),
            Place::Sentinel {
                hosts,
                name,
                database,
            } => write!(f, "redis{tls}-sentinel://{}/{name}/{database}", List(hosts)),
            Place::Cluster { hosts } => write!(f, "redis{tls}-cluster://{}", List(hosts)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

struct List<'a>(&'a [Host]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, host) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        Ok(())
    }
}

fn place(kind: Kind, hosts: &str, path: &str) -> Result<Place, AddressError> {
    match kind {
        Kind::Node => {
            let mut hosts = self::hosts(hosts, 6379)?;
            let host = hosts.pop().ok_or(AddressError::NoHost)?;
            if !hosts.is_empty() {
                return Err(AddressError::SeveralHosts);
            }
            Ok(Place::Node {
                host,
                database: database(path)?,
            })
        }
        Kind::Sentinel => {
            let (name, database) = path.split_once('/').unwrap_or((path, ""));
            if name.is_empty() {
                return Err(AddressError::NoName);
            }
            Ok(Place::Sentinel {
                hosts: self::hosts(hosts, 26379)?,
                name: decoded(name)?,
                database: self::database(database)?,
            })
        }
        Kind::Cluster if path.is_empty() => Ok(Place::Cluster {
            hosts: self::hosts(hosts, 6379)?,
        }),
        Kind::Cluster => Err(AddressError::ClusterPath),
    }
}

fn hosts(list: &str, port: u16) -> Result<Vec<Host>, AddressError> {
    list.split(',').map(|text| host(text, port)).collect()
}

fn host(text: &str, default: u16) -> Result<Host, AddressError> {
    let invalid = || AddressError::Host(text.to_owned());
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or_else(invalid)?;
        name.parse::<std::net::Ipv6Addr>().map_err(|_| invalid())?;
        match rest {
            "" => (name, None),
            _ => (name, Some(rest.strip_prefix(':').ok_or_else(invalid)?)),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(invalid()),
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    if name.is_empty() {
        return Err(AddressError::NoHost);
    }
    if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(invalid());
    }
    let port = match port {
        None => default,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(AddressError::Port),
            Ok(port) => port,
        },
    };
    Ok(Host {
        name: name.to_owned(),
        port,
    })
}

fn database(text: &str) -> Result<i64, AddressError> {
    if text.is_empty() {
        return Ok(0);
    }
    match text.parse() {
        Ok(number @ 0..) => Ok(number),
        _ => Err(AddressError::Database(text.to_owned())),
    }
}

fn trust(tls: bool, query: Option<&str>) -> Result<Option<Trust>, AddressError> {
    let mut ca_file = None;
    for option in query.into_iter().flat_map(|query| query.split('&')) {
        match option.split_once('=') {
            Some(("ca-file", "")) => return Err(AddressError::NoPath),
            Some(("ca-file", path)) => ca_file = Some(PathBuf::from(decoded(path)?)),
            Some((name, _)) => return Err(AddressError::Option(name.to_owned())),
            None => return Err(AddressError::Option(option.to_owned())),
        }
    }
    match (tls, ca_file) {
        (true, ca_file) => Ok(Some(Trust { ca_file })),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(AddressError::NoTls),
    }
}

type Login = (Option<String>, Option<Secret>);

fn login(text: &str) -> Result<Login, AddressError> {
    let (user, password) = text
        .split_once(':')
        .map_or((text, None), |(user, password)| (user, Some(password)));
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    let password = password
        .map(decoded)
        .transpose()?
        .filter(|password| !password.is_empty());
    Ok((user, password.map(Secret::new)))
}

fn decoded(text: &str) -> Result<String, AddressError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| AddressError::Encoding)
}

#[cfg(test)]
mod tests;
