//! One account or key of a Provider.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CredentialStatus, Limits, LocalReference, SecretKeyReference, Window};

/// One account or key of a Provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "roundhouse.dev",
    version = "v1alpha1",
    kind = "Credential",
    plural = "credentials",
    shortname = "cred",
    category = "roundhouse",
    namespaced,
    status = "CredentialStatus",
    selectable = ".spec.providerRef.name",
    derive = "PartialEq",
    doc = "One account or key of a Provider. Calls to the Provider rotate over its Credentials.",
    crates(kube_core = "::kube_core"),
    printcolumn = r#"{"name": "Provider", "type": "string", "jsonPath": ".spec.providerRef.name"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Gateways", "type": "string", "jsonPath": ".status.distribution.summary"}"#,
    printcolumn = r#"{"name": "Requests", "type": "integer", "jsonPath": ".status.usage.requests"}"#,
    printcolumn = r#"{"name": "Resting Until", "type": "string", "jsonPath": ".status.restingUntil"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSpec {
    /// The Provider that this account belongs to. Cannot be changed.
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "providerRef cannot be changed; make another Credential"}
    ]))]
    pub provider_ref: LocalReference,
    /// A key that the upstream takes as it is.
    pub api_key: ApiKey,
    /// Share of calls under the Weighted strategy.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// Tier: 0 is used first, the next one only when none of the tier before is usable.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub priority: u32,
    /// The upstream models that it may serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<CredentialModels>,
    /// What may be asked of it at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What its account allows within longer periods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Takes it out of use without deleting it.
    #[serde(default)]
    pub suspend: bool,
}

/// A key that the upstream takes as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Where the key is kept. Newlines at its end are not part of it.
    pub secret_ref: SecretKeyReference,
}

/// What an account allows within longer periods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quota {
    /// The Credential rests from the moment when one of them is used up until its period ends. A window
    /// without numbers is used up when the upstream says so.
    #[schemars(
        length(min = 1, max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub windows: Vec<Window>,
}

/// The upstream models that a Credential may serve: names, or globs with `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialModels {
    /// Only these. Empty allows all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        inner(length(min = 1, max = 256), regex(pattern = super::MODEL_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub allow: Vec<String>,
    /// Never these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        inner(length(min = 1, max = 256), regex(pattern = super::MODEL_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub deny: Vec<String>,
}

pub(super) const fn one() -> u32 {
    1
}
