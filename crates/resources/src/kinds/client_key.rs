//! One caller.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientKeyStatus, SecretKeyReference, Window};

/// One caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "roundhouse.dev",
    version = "v1alpha1",
    kind = "ClientKey",
    plural = "clientkeys",
    shortname = "ck",
    category = "roundhouse",
    namespaced,
    status = "ClientKeyStatus",
    selectable = ".spec.admin",
    derive = "PartialEq",
    doc = "One caller: a key that clients of the gateway present, and what it may do.",
    crates(kube_core = "::kube_core"),
    printcolumn = r#"{"name": "Admin", "type": "boolean", "jsonPath": ".spec.admin"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Expires", "type": "string", "jsonPath": ".spec.expiresAt"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ClientKeySpec {
    /// Where the key is kept: at least 20 characters. Newlines at its end are not part of it.
    pub secret_ref: SecretKeyReference,
    /// Whether it may use the admin routes, for its own namespace.
    #[serde(default)]
    pub admin: bool,
    /// The models that it may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ClientModels>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ClientLimits>,
    /// What it may use within longer periods, of which each needs a number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend(
            "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["name"],
            "x-kubernetes-validations" = [{
                "rule": "self.all(budget, has(budget.requests) || has(budget.tokens))",
                "message": "a budget needs requests or tokens"
            }]
        )
    )]
    pub budgets: Vec<Window>,
    /// When it stops working, such as `2027-01-31T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// Whether answers carry `x-roundhouse-credential` and `x-roundhouse-attempts`.
    #[serde(default)]
    pub debug_headers: bool,
}

/// Upper bounds on use. What is not set is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientLimits {
    /// Calls at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
    /// Calls in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests_per_minute: Option<u32>,
    /// Tokens, of input and output together, in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub tokens_per_minute: Option<u64>,
    /// What becomes of limits and budgets while gateways cannot reach the store in which they agree on what
    /// is used: `Share` (each gateway allows its share) or `Refuse` (calls are refused).
    #[serde(default)]
    pub when_store_is_away: WhenStoreIsAway,
}

/// What becomes of a caller's limits while gateways cannot agree on what is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenStoreIsAway {
    /// Each gateway allows its share.
    #[default]
    Share,
    /// Calls are refused.
    Refuse,
}

/// The models that a `ClientKey` may name: names, or globs with `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientModels {
    /// Only these. Empty allows all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        inner(length(min = 1, max = 256), regex(pattern = super::MODEL_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub allow: Vec<String>,
}
