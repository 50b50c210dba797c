//! Which upstreams serve a model name.

use std::collections::BTreeMap;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Consumers, Duration, LocalReference, ModelRouteStatus, credential::one};

/// Which upstreams serve a model name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "roundhouse.dev",
    version = "v1alpha1",
    kind = "ModelRoute",
    plural = "modelroutes",
    shortname = "mr",
    category = "roundhouse",
    namespaced,
    status = "ModelRouteStatus",
    derive = "PartialEq",
    doc = "Which upstreams serve a model name, and when to move on from one to the next.",
    crates(kube_core = "::kube_core"),
    printcolumn = r#"{"name": "Models", "type": "string", "jsonPath": ".spec.models"}"#,
    printcolumn = r#"{"name": "Targets", "type": "integer", "jsonPath": ".status.resolvedTargets"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ModelRouteSpec {
    /// The model names that it serves: names, or globs with `*` for any run of characters.
    #[schemars(
        length(min = 1, max = 128),
        inner(length(min = 1, max = 256), regex(pattern = super::MODEL_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub models: Vec<String>,
    /// Whose client keys may use it: `Same` for those of its namespace, `All` for those of every namespace.
    #[serde(default)]
    pub consumers: Consumers,
    /// The upstreams.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<Target>,
    /// How often to try.
    #[serde(default)]
    pub retry: Retry,
    /// What moves a call on to the targets of the next priority: `CredentialsExhausted` (none is usable),
    /// `UpstreamFailed` (an error of the upstream's own), `Timeout`, `ContextTooLong`, `ModelNotFound`.
    #[serde(default = "fallbacks")]
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "set"))]
    pub fallback_on: Vec<FallbackReason>,
    /// How streams start.
    #[serde(default)]
    pub stream: StreamStart,
}

/// One upstream of a `ModelRoute`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The Provider that serves it.
    pub provider_ref: LocalReference,
    /// The model name to use there. Not set: the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = super::MODEL_PATTERN))]
    pub model: Option<String>,
    /// Share of calls among targets of equal priority.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// 0 is used first, the next when all of the one before are exhausted or failing.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub priority: u32,
    /// Uses only the Credentials that fit. Not set: all of the Provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_selector: Option<CredentialSelector>,
}

/// Which Credentials fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSelector {
    /// Labels that a Credential must carry, all of them.
    #[schemars(extend(
        "minProperties" = 1,
        "maxProperties" = 8,
        "additionalProperties" = {"type": "string", "maxLength": 63}
    ))]
    pub match_labels: BTreeMap<String, String>,
}

/// How often a call may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// Attempts per call in all, the first included.
    #[schemars(range(min = 1, max = 20))]
    pub attempts: u32,
    /// Retries in any 10 seconds, as a percentage of the calls in that time.
    #[schemars(range(min = 0, max = 100))]
    pub budget_percent: u32,
}

impl Default for Retry {
    fn default() -> Self {
        let retry = snapshot::Retry::default();
        Self {
            attempts: retry.attempts,
            budget_percent: retry.budget_percent,
        }
    }
}

/// A reason to move on to the targets of the next priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FallbackReason {
    /// No credential of the targets is usable.
    CredentialsExhausted,
    /// The upstream answered with an error of its own or broke off.
    UpstreamFailed,
    /// The upstream took too long.
    Timeout,
    /// The request is too long for the model.
    ContextTooLong,
    /// The upstream does not know the model.
    ModelNotFound,
}

fn fallbacks() -> Vec<FallbackReason> {
    vec![
        FallbackReason::CredentialsExhausted,
        FallbackReason::UpstreamFailed,
        FallbackReason::Timeout,
    ]
}

/// How streams start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamStart {
    /// How long frames without content are held back at most, so that another upstream can still be tried.
    pub hold_max: Duration,
    /// After how much silence the client gets status 200 and comment lines.
    pub keep_alive_after: Duration,
}

impl Default for StreamStart {
    fn default() -> Self {
        let stream = snapshot::StreamPolicy::default();
        Self {
            hold_max: Duration(stream.hold_max),
            keep_alive_after: Duration(stream.keep_alive_after),
        }
    }
}
