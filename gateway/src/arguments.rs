//! The command line. Every flag has an environment variable; what is not enforced has no flag.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use pool::redis::link::AddressError;
use process::arguments::{LogArguments, RedisArguments};

use crate::discovery::OperatorUrl;

/// Serves LLM clients from a pool of upstream credentials.
#[derive(Debug, Parser)]
#[command(name = "roundhouse-gateway", version, max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves clients until it is asked to end.
    Serve(Box<Serve>),
    /// Checks resource files and prints each object's conditions; exits with 1 if any is not accepted.
    Validate(Validate),
}

/// `roundhouse-gateway validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// Files or folders of resources.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// `roundhouse-gateway serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Files or folders of resources, read again when they change.
    #[arg(
        long,
        env = "ROUNDHOUSE_RESOURCES",
        value_name = "PATH",
        required_unless_present = "discovery",
        conflicts_with = "discovery",
        num_args = 1..,
        value_delimiter = ','
    )]
    pub resources: Vec<PathBuf>,

    /// In a cluster, instead of files: the operator, `https://HOST:PORT`. Each address of HOST is one of its replicas.
    #[arg(long, env = "ROUNDHOUSE_DISCOVERY", value_name = "URL")]
    pub discovery: Option<OperatorUrl>,

    /// Certificates (PEM) to trust for the operator, read again at each connection.
    #[arg(
        long,
        env = "ROUNDHOUSE_DISCOVERY_CA_FILE",
        value_name = "FILE",
        conflicts_with = "resources"
    )]
    pub discovery_ca_file: Option<PathBuf>,

    /// The token that says to the operator who this is, read again at each connection.
    #[arg(
        long,
        env = "ROUNDHOUSE_DISCOVERY_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "resources"
    )]
    pub discovery_token_file: Option<PathBuf>,

    /// Where what the operator said is kept for the next start. It holds secrets: use memory (tmpfs). Absent keeps nothing.
    #[arg(
        long,
        env = "ROUNDHOUSE_CACHE_DIR",
        value_name = "DIR",
        conflicts_with = "resources"
    )]
    pub cache_dir: Option<PathBuf>,

    /// In a cluster, lets upstreams have private addresses also where their Provider does not name a Service.
    #[arg(
        long,
        env = "ROUNDHOUSE_ALLOW_PRIVATE_UPSTREAMS",
        conflicts_with = "resources"
    )]
    pub allow_private_upstreams: bool,

    /// What administrators can do over HTTP. By default everything with files, and nothing in a cluster.
    #[arg(long, env = "ROUNDHOUSE_ADMIN_ROUTES", value_enum, ignore_case = true)]
    pub admin_routes: Option<AdminRoutes>,

    /// Where clients connect.
    #[arg(
        long,
        env = "ROUNDHOUSE_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// Where health and metrics are served.
    #[arg(
        long,
        env = "ROUNDHOUSE_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9090"
    )]
    pub admin_listen: SocketAddr,

    /// PEM certificate chain for the client listener; read again when it changes.
    #[arg(long, env = "ROUNDHOUSE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// PEM private key that goes with the certificate.
    #[arg(long, env = "ROUNDHOUSE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// What is kept between runs: generated keys, and objects made through the API.
    #[arg(
        long,
        env = "ROUNDHOUSE_STATE_DIR",
        value_name = "DIR",
        default_value = ".roundhouse"
    )]
    pub state_dir: PathBuf,

    /// The Redis that gateways share.
    #[command(flatten)]
    pub redis: RedisArguments,

    /// How long a call waits for an answer of the Redis before it goes on without. Three late answers in a row count as
    /// an outage.
    #[arg(
        long,
        env = "ROUNDHOUSE_REDIS_DEADLINE",
        value_name = "DURATION",
        default_value = "40ms",
        requires = "redis_url",
        value_parser = duration
    )]
    pub redis_deadline: Duration,

    /// Serves callers without a client key. Refused unless every listener is loopback.
    #[arg(long, env = "ROUNDHOUSE_ALLOW_ANONYMOUS")]
    pub allow_anonymous: bool,

    /// Calls at a time; beyond it callers get 503 and when to try again.
    #[arg(long, env = "ROUNDHOUSE_MAX_IN_FLIGHT", value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_in_flight: u32,

    /// Bytes of request bodies held at a time (`256Mi`); beyond it callers get 503.
    #[arg(
        long,
        env = "ROUNDHOUSE_MAX_BODY_MEMORY",
        value_name = "BYTES",
        default_value = "256Mi"
    )]
    pub max_body_memory: Bytes,

    /// How long to serve on as before after the signal to end.
    #[arg(long, env = "ROUNDHOUSE_DRAIN_MIN", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub drain_min: Duration,

    /// How long calls may go on after the signal to end; then their streams are ended.
    #[arg(long, env = "ROUNDHOUSE_DRAIN_MAX", value_name = "DURATION", default_value = "600s", value_parser = duration)]
    pub drain_max: Duration,

    /// What is logged.
    #[command(flatten)]
    pub log: LogArguments,
}

/// What administrators can do over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdminRoutes {
    /// Nothing: there are no such routes.
    #[value(name = "Disabled")]
    Disabled,
    /// Look, but not change anything.
    #[value(name = "ReadOnly")]
    ReadOnly,
    /// Look and change.
    #[value(name = "ReadWrite")]
    ReadWrite,
}

/// A number of bytes: `1048576`, `1024Ki`, `1Mi`, `1M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Why arguments that are fine one by one cannot be used together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// Everybody on the network could use the credentials.
    #[error(
        "--allow-anonymous needs every listener on loopback, and {0} is not; listen on 127.0.0.1 or make a ClientKey"
    )]
    AnonymousBeyondLoopback(SocketAddr),
    /// The store cannot be named so.
    #[error("--redis-url: {0}")]
    RedisUrl(AddressError),
    /// Calls would have to end before new ones stop.
    #[error("--drain-max must be at least --drain-min")]
    DrainOrder,
}

impl Serve {
    /// Checks what no single flag can check.
    pub fn check(&self) -> Result<(), Misuse> {
        let mut listeners = [self.listen, self.admin_listen].into_iter();
        if self.allow_anonymous
            && let Some(open) = listeners.find(|address| !address.ip().to_canonical().is_loopback())
        {
            return Err(Misuse::AnonymousBeyondLoopback(open));
        }
        if self.drain_max < self.drain_min {
            return Err(Misuse::DrainOrder);
        }
        self.redis.address().map_err(Misuse::RedisUrl)?;
        Ok(())
    }
}

impl Serve {
    /// What administrators can do over HTTP.
    pub fn admin_routes(&self) -> AdminRoutes {
        self.admin_routes.unwrap_or(match self.discovery {
            Some(_) => AdminRoutes::Disabled,
            None => AdminRoutes::ReadWrite,
        })
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit: u64 = match &text[digits.len()..] {
            "" | "B" => 1,
            "k" | "K" => 1000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            unit => return Err(format!("expected a unit like Ki, Mi or Gi, found {unit}")),
        };
        let number: u64 = digits
            .parse()
            .map_err(|_| format!("expected a number of bytes, found {digits}"))?;
        number
            .checked_mul(unit)
            .map(Self)
            .ok_or_else(|| "more bytes than can be counted".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a duration like 10s or 5m, found {text}");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| expected())?;
    Duration::try_from(duration).map_err(|_| expected())
}

#[cfg(test)]
mod tests;
