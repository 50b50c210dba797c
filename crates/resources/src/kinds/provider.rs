//! One upstream endpoint.

mod error_rule;
mod selection;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Consumers, Duration, ProviderStatus, SecretKeyReference};

pub use error_rule::{ErrorMatch, ErrorRule, Fault, RestKind, RestOf, RestReach};
pub use selection::{Affinity, AffinityKey, Selection, Strategy};

/// One upstream endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "roundhouse.dev",
    version = "v1alpha1",
    kind = "Provider",
    plural = "providers",
    shortname = "prov",
    category = "roundhouse",
    namespaced,
    status = "ProviderStatus",
    selectable = ".spec.dialect",
    derive = "PartialEq",
    doc = "One upstream endpoint: where it is, how it speaks, and how its Credentials are chosen.",
    crates(kube_core = "::kube_core"),
    printcolumn = r#"{"name": "Dialect", "type": "string", "jsonPath": ".spec.dialect"}"#,
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".spec.url"}"#,
    printcolumn = r#"{"name": "Credentials", "type": "string", "jsonPath": ".status.credentials.summary"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.url) != has(self.service)", "message": "set exactly one of url and service"},
    {
        "rule": "!has(self.apis) || self.dialect != 'OpenAI' || !self.apis.exists(api, api == 'Messages')",
        "message": "the api Messages belongs to the dialect Anthropic",
        "fieldPath": ".apis"
    },
    {
        "rule": "!has(self.apis) || self.dialect != 'Anthropic' || self.apis.all(api, api == 'Messages')",
        "message": "the dialect Anthropic has only the api Messages",
        "fieldPath": ".apis"
    },
    {
        "rule": "!has(self.azure) || self.dialect == 'OpenAI'",
        "message": "azure goes with the dialect OpenAI",
        "fieldPath": ".azure"
    },
    {
        "rule": "!has(self.tls) || !has(self.service) || self.service.scheme == 'HTTPS'",
        "message": "tls goes with scheme HTTPS",
        "fieldPath": ".tls"
    }
]))]
pub struct ProviderSpec {
    /// How it speaks: `OpenAI` (and the many servers that speak it, Azure included) or `Anthropic`.
    pub dialect: Dialect,
    /// The wire formats that it serves. Not set: all of its dialect. A server without the Responses API
    /// lists the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub apis: Vec<Api>,
    /// What the vendor's SDK calls the base URL: for OpenAI and what speaks it with `/v1`, for Anthropic without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// A Service of the same namespace, instead of `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// How a key is presented. Not set: `Authorization: Bearer` for OpenAI, `x-api-key` for Anthropic,
    /// `api-key` with `azure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Headers added to every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub headers: Vec<Header>,
    /// How its certificate is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The models that it serves by name, without a `ModelRoute`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 512),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub models: Vec<Listed>,
    /// Whose client keys may use its models by name: `Same` for those of its namespace, `All` for those of
    /// every namespace.
    #[serde(default)]
    pub consumers: Consumers,
    /// How long to wait for what.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What may be asked of the whole Provider at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ProviderLimits>,
    /// When to leave it alone.
    #[serde(default)]
    pub breaker: Breaker,
    /// What its errors mean where the general rules are wrong. The first that fits wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub error_rules: Vec<ErrorRule>,
    /// How a Credential is chosen.
    #[serde(default)]
    pub selection: Selection,
    /// Makes it an Azure OpenAI resource. Deployment names that differ from model names go into
    /// `models[].upstreamName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<Azure>,
}

/// A family of wire formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Dialect {
    /// `OpenAI` and what speaks it.
    OpenAI,
    /// Anthropic's Messages API.
    Anthropic,
}

/// A request and response format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Api {
    /// `POST /chat/completions`.
    ChatCompletions,
    /// `POST /completions`.
    Completions,
    /// `POST /responses`.
    Responses,
    /// `POST /embeddings`.
    Embeddings,
    /// `POST /v1/messages`.
    Messages,
}

/// A Service of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// `HTTP` or `HTTPS`.
    #[serde(default)]
    pub scheme: ServiceScheme,
    /// Path of the base URL. Not set: `/v1` for OpenAI, none for Anthropic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*$"))]
    pub path: Option<String>,
}

/// Whether a Service is spoken to over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceScheme {
    /// Plain HTTP.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP over TLS.
    #[serde(rename = "HTTPS")]
    Https,
}

/// How a key is presented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.header) == (self.type == 'Header')", "message": "header is needed with type Header, and goes only with it"}
]))]
pub struct Auth {
    /// `Bearer` for `Authorization: Bearer KEY`, `Header` for the key alone in a header, `None` for an
    /// upstream that takes no key (it needs no Credential then).
    #[serde(rename = "type")]
    pub kind: AuthType,
    /// The header that carries the key, with type Header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = super::HEADER_NAME))]
    pub header: Option<String>,
}

/// Ways to present a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthType {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The key alone in a header.
    Header,
    /// No key.
    None,
}

/// A header added to every request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.value) != has(self.valueFrom)", "message": "set exactly one of value and valueFrom"},
    {
        "rule": "!(self.name.lowerAscii() in ['authorization', 'connection', 'content-length', 'content-type', 'host', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'])",
        "message": "this header is set by the gateway; a key belongs into a Credential",
        "fieldPath": ".name"
    }
]))]
pub struct Header {
    /// Name of the header.
    #[schemars(length(min = 1, max = 128), regex(pattern = super::HEADER_NAME))]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = r"^[^\x00-\x08\x0A-\x1F\x7F]*$"))]
    pub value: Option<String>,
    /// Where its value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderValueFrom>,
}

/// Where a header's value is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderValueFrom {
    /// A key of a Secret.
    pub secret_key_ref: SecretKeyReference,
}

/// How the upstream's certificate is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.caRef) || has(self.serverName)", "message": "set caRef or serverName"}
]))]
pub struct Tls {
    /// Certificates (PEM) to trust instead of the built-in roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaReference>,
    /// The name to expect in the certificate instead of the URL's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
}

/// Where certificates are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaReference {
    /// `Secret` or `ConfigMap`.
    pub kind: CaKind,
    /// Name of the object, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within the object.
    #[serde(default = "ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What holds certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaKind {
    /// A Secret.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
}

fn ca_key() -> String {
    "ca.crt".to_owned()
}

/// A model that a Provider serves by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The name that callers use.
    #[schemars(length(min = 1, max = 256), regex(pattern = super::MODEL_NAME))]
    pub name: String,
    /// The name that the upstream uses, where it differs; for Azure the deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = super::MODEL_PATTERN))]
    pub upstream_name: Option<String>,
    /// Longest input in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_input_tokens: Option<u64>,
    /// Longest output in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_output_tokens: Option<u64>,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "[self.connect, self.firstByte, self.idle, self.total].all(limit, duration(limit) > duration('0s'))",
        "message": "a timeout must be longer than 0s"
    }
]))]
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
        let timeouts = snapshot::Timeouts::default();
        Self {
            connect: Duration(timeouts.connect),
            first_byte: Duration(timeouts.first_byte),
            idle: Duration(timeouts.idle),
            total: Duration(timeouts.total),
        }
    }
}

/// What may be asked of a whole Provider at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderLimits {
    /// Calls at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
}

/// When to leave an endpoint alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Breaker {
    /// Failures in a row that open it.
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive_failures: u32,
    /// How long it stays open before one call probes.
    pub open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        let breaker = snapshot::Breaker::default();
        Self {
            consecutive_failures: breaker.consecutive_failures,
            open_for: Duration(breaker.open_for),
        }
    }
}

/// Azure's URL shapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Azure {
    /// `V1` for `/openai/v1/…`, or `Deployments` for `/openai/deployments/NAME/…`, which needs an
    /// `apiVersion` here or in the URL.
    #[serde(default)]
    pub style: AzureUrlStyle,
    /// The `api-version` query parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9.-]+$"))]
    pub api_version: Option<String>,
}

/// Which URL shape an Azure endpoint has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AzureUrlStyle {
    /// `/openai/v1/…`.
    #[default]
    V1,
    /// `/openai/deployments/NAME/…`.
    Deployments,
}
