//! One caller.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limits, SecretKeyReference, Status};

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
    status = "Status",
    derive = "PartialEq",
    doc = "One caller: a key that clients of the gateway present, and what it may do.",
    crates(kube_core = "::kube_core"),
    printcolumn = r#"{"name": "Admin", "type": "boolean", "jsonPath": ".spec.admin"}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"ResolvedRefs\")].reason"}"#,
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
    pub limits: Option<Limits>,
    /// When it stops working, such as `2027-01-31T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// Whether answers carry `x-roundhouse-credential` and `x-roundhouse-attempts`.
    #[serde(default)]
    pub debug_headers: bool,
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
