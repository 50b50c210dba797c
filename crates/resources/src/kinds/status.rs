//! What is known about an object, as its status tells it.
//!
//! Everything is optional: a status is there before all of it is known. Closed sets are texts here, so that an object
//! whose status was written by another version can still be read; the schema lists what they may be.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known about a Provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// The generation of the spec that this describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: it has a Credential that can be used. `Accepted`: it is valid by itself. `ResolvedRefs`: what it
    /// refers to exists and can be used. `Programmed`: every gateway serves this version of it. Present only while
    /// true: `Reconciling` (on its way to the gateways), `Stalled` (somebody must change it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// Its Credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialCount>,
    /// The models that it serves by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 512),
        inner(length(max = 256)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub models: Vec<String>,
}

/// How many Credentials a Provider has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialCount {
    /// All.
    pub total: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Both, such as `5/6`.
    #[schemars(length(max = 32))]
    pub summary: String,
}

/// What is known about a Credential.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// The generation of the spec that this describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: usable now, or again without anybody's help. `Accepted`: it is valid by itself. `ResolvedRefs`: what
    /// it refers to exists and can be used. `Programmed`: every gateway uses this version of it and of its Secret.
    /// Bad when true: `CoolingDown` (it rests), `QuotaExhausted` (its quota is used up). Present only while true:
    /// `Reconciling` (on its way to the gateways), `Stalled` (somebody must change it or its Secret).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// The Secret that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_secret: Option<ObservedSecret>,
    /// How many gateways have this version of it and of its Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// What rests, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub rests: Vec<RestStatus>,
    /// When the whole Credential is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub resting_until: Option<String>,
    /// What is used of its quota, for windows whose period has begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub windows: Vec<WindowStatus>,
    /// What it was used for in the last 30 days, today included. Minutes old; metrics are live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStatus>,
    /// What its upstream refused last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The annotations that were acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled: Option<LastHandled>,
}

/// Which content of a Secret was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedSecret {
    /// Name of the Secret, in the same namespace.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its `metadata.resourceVersion` when it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub resource_version: Option<String>,
}

/// How many gateways have an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// Gateways that acknowledged this version of it; for one that must not be served, those that do not have it.
    pub acked: u32,
    /// Gateways seen in the last 10 minutes that said no goodbye.
    pub connected: u32,
    /// Both, such as `11/12`.
    #[schemars(length(max = 32))]
    pub summary: String,
}

/// One rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestStatus {
    /// The upstream model that rests. Not set: the whole Credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub model: Option<String>,
    /// Why.
    #[schemars(extend("enum" = [
        "RateLimited", "QuotaExhausted", "Unauthorized", "AccountBlocked", "ModelUnavailable", "Failing"
    ]))]
    pub reason: String,
    /// Until when. In the past while one call finds out whether it is over.
    #[schemars(extend("format" = "date-time"))]
    pub until: String,
}

/// What is used of a quota window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowStatus {
    /// Name of the window.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What is counted: of a window that limits both, that of which more is used.
    #[schemars(extend("enum" = ["Requests", "Tokens"]))]
    pub unit: String,
    /// Used in the present period.
    pub used: u64,
    /// What may be used in a period. Not set: it is used up when the upstream says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// When the present period ends.
    #[schemars(extend("format" = "date-time"))]
    pub reset_at: String,
}

/// What something was used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatus {
    /// Attempts.
    pub requests: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
}

/// What an upstream refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// Why.
    #[schemars(extend("enum" = [
        "RateLimited", "QuotaExhausted", "Unauthorized", "AccountBlocked", "ModelUnavailable", "Failing"
    ]))]
    pub class: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
}

/// The values of annotations that were acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastHandled {
    /// Of `roundhouse.dev/clear-rest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub clear_rest: Option<String>,
    /// Of `roundhouse.dev/reset-quota`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reset_quota: Option<String>,
}

/// What is known about a `ModelRoute`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelRouteStatus {
    /// The generation of the spec that this describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: one of its targets can be used. `Accepted`: it is valid by itself. `ResolvedRefs`: what it refers to
    /// exists and can be used. `Programmed`: every gateway serves this version of it. Present only while true:
    /// `Reconciling` (on its way to the gateways), `Stalled` (somebody must change it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// Targets whose Provider exists and can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_targets: Option<u32>,
}

/// What is known about a `ClientKey`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientKeyStatus {
    /// The generation of the spec that this describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the key can be used. `Accepted`: it is valid by itself. `ResolvedRefs`: what it refers to exists and
    /// can be used. `Programmed`: every gateway takes this version of it. Present only while true: `Reconciling` (on
    /// its way to the gateways), `Stalled` (somebody must change it or its Secret).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// Name of the Secret that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
    /// How a minted key begins. Never a part of a key that was brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 6))]
    pub key_prefix: Option<String>,
    /// When the key stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// When the key is minted anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub next_rotation_time: Option<String>,
    /// The annotations that were acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled: Option<ClientKeyHandled>,
}

/// The values of annotations of a `ClientKey` that were acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientKeyHandled {
    /// Of `roundhouse.dev/reset-quota`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reset_quota: Option<String>,
}
