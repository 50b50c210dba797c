//! Upstream endpoints.

use std::{fmt, sync::Arc, time::Duration};

use dialect::{Api, Dialect};

use crate::ProviderName;

/// One upstream endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Which Provider this is.
    pub name: ProviderName,
    /// How it speaks.
    pub dialect: Dialect,
    /// The formats that it serves.
    pub apis: Vec<Api>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// How its keys are presented.
    pub auth: Auth,
    /// Headers added to every request.
    pub headers: Vec<Header>,
    /// How its certificate is checked.
    pub tls: Tls,
    /// The models that it lists.
    pub models: Vec<Model>,
    /// Who may use its models by name.
    pub consumers: Consumers,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Calls at the same time to the whole Provider.
    pub concurrency: Option<u32>,
    /// When to leave it alone.
    pub breaker: Breaker,
    /// What its errors mean where the general table is wrong, first match wins.
    pub error_rules: Vec<ErrorRule>,
    /// How a credential is chosen.
    pub selection: Selection,
    /// Azure's URL shapes; `None` for all others.
    pub azure: Option<Azure>,
}

/// Whether a URL is spoken to in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// A base URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Host name or address, an IPv6 address without brackets.
    pub host: Arc<str>,
    /// Port, the scheme's default filled in.
    pub port: u16,
    /// Path prefix without a trailing slash; may be empty.
    pub path: Arc<str>,
    /// Whether it was given as an in-cluster Service, which may have a private address and plain HTTP.
    pub service: bool,
}

impl Endpoint {
    /// `host` or `host:port`, as in a `Host` header; the scheme's default port is left out.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// How a key is presented to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The key alone in this header.
    Header(http::HeaderName),
    /// No key: an implicit credential `anonymous` stands for the endpoint.
    None,
}

/// A header added to every upstream request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: http::HeaderName,
    /// Where its value comes from.
    pub source: HeaderSource,
}

/// Where a header's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderSource {
    /// Written in the resource.
    Literal(http::HeaderValue),
    /// In the keyring, under the Provider's and the header's name.
    Keyring,
}

/// How the upstream's certificate is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates (PEM) to trust instead of the built-in roots.
    pub ca: Option<Arc<str>>,
    /// The name to expect instead of the URL's host.
    pub server_name: Option<Arc<str>>,
}

/// A model that a Provider lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name that callers use.
    pub name: Arc<str>,
    /// The name that the upstream uses, when it differs (for Azure the deployment).
    pub upstream_name: Option<Arc<str>>,
    /// Longest input in tokens.
    pub max_input_tokens: Option<u64>,
    /// Longest output in tokens.
    pub max_output_tokens: Option<u64>,
}

/// Whose keys may name the models of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consumers {
    /// Those of the same namespace.
    #[default]
    Same,
    /// Those of every namespace.
    All,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte of a stream's answer.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// For the whole call.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(300),
            total: Duration::from_secs(30 * 60),
        }
    }
}

/// When to leave an endpoint alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub consecutive_failures: u32,
    /// How long it stays open before one call probes.
    pub open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            open_for: Duration::from_secs(30),
        }
    }
}

/// Who is to blame for a failed attempt; decides about retries and rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The caller: no retry, nothing rests.
    Caller,
    /// The credential: it rests, the next one is tried.
    Credential,
    /// The upstream: its breaker counts, the next target is tried.
    Upstream,
    /// This gateway.
    Gateway,
}

impl Fault {
    /// The value of the `fault` label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Credential => "credential",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// Why a credential rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RestReason {
    /// Too many calls or tokens in a short time.
    RateLimited,
    /// Its quota or credit is gone.
    QuotaExhausted,
    /// The upstream does not accept its key.
    Unauthorized,
    /// The account is blocked.
    AccountBlocked,
    /// It may not use this model.
    ModelUnavailable,
    /// It fails without a known reason.
    Failing,
}

impl RestReason {
    /// The name used in resources and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "RateLimited",
            Self::QuotaExhausted => "QuotaExhausted",
            Self::Unauthorized => "Unauthorized",
            Self::AccountBlocked => "AccountBlocked",
            Self::ModelUnavailable => "ModelUnavailable",
            Self::Failing => "Failing",
        }
    }
}

/// What rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestScope {
    /// The whole credential.
    #[default]
    Credential,
    /// The credential for the model that was asked for.
    CredentialAndModel,
}

/// What an upstream's error means where the general table is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorRule {
    /// When the rule applies.
    pub matches: ErrorMatch,
    /// Who is to blame.
    pub fault: Fault,
    /// What rests, for [`Fault::Credential`].
    pub scope: RestScope,
    /// How it rests; `None` rests nothing.
    pub rest: Option<RestRule>,
}

/// When an error rule applies: all that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorMatch {
    /// The HTTP status.
    pub status: Option<u16>,
    /// The error's `code` or `type`.
    pub code: Option<String>,
    /// A text that the body contains.
    pub body_contains: Option<String>,
}

/// How something rests after an error rule applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestRule {
    /// Why.
    pub reason: RestReason,
    /// For how long; `None` takes the upstream's word or the reason's default.
    pub duration: Option<Duration>,
}

/// How a credential is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// In what order credentials are used.
    pub strategy: Strategy,
    /// How long a call waits when all credentials are merely full.
    pub max_wait: Duration,
    /// What keeps a conversation on one credential.
    pub affinity: Affinity,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            strategy: Strategy::RoundRobin,
            max_wait: Duration::from_secs(1),
            affinity: Affinity::default(),
        }
    }
}

/// In what order credentials are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest calls in flight.
    LeastBusy,
    /// In proportion to their weights.
    Weighted,
    /// The first that is usable, in order of name.
    FillFirst,
    /// The one that has used the least of its quota.
    MostHeadroom,
}

/// What keeps a conversation on one credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// What identifies a conversation.
    pub by: AffinityBy,
    /// How long after its last call a conversation is remembered.
    pub ttl: Duration,
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            by: AffinityBy::None,
            ttl: Duration::from_secs(3600),
        }
    }
}

/// What identifies a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AffinityBy {
    /// Nothing: every call is on its own.
    None,
    /// The client's session: its session header, prompt cache key or conversation.
    Session,
    /// The end user that the request names.
    User,
    /// The value of this header.
    Header(http::HeaderName),
    /// The beginning of the conversation: system prompt and first message.
    Prefix,
}

/// Azure's URL shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// Which of the two.
    pub style: AzureStyle,
    /// The `api-version` query parameter.
    pub api_version: Option<Arc<str>>,
}

/// Which URL shape an Azure endpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AzureStyle {
    /// `/openai/v1/…`, the deployment's name in the body.
    V1,
    /// `/openai/deployments/NAME/…`, the deployment's name in the path.
    Deployments,
}
