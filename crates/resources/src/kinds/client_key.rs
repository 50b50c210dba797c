//! One caller.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientKeyStatus, Duration, SecretKeyReference, Window};

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
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.secretRef) != has(self.target)", "message": "exactly one of secretRef and target is needed"},
    {
        "rule": "!has(self.rotation) || has(self.target)",
        "message": "rotation goes only with target; a key that was brought is changed in its Secret",
    }
]))]
pub struct ClientKeySpec {
    /// Where a key is kept that was brought: at least 20 characters. Newlines at its end are not part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyReference>,
    /// Where the operator puts a key that it mints: `rh-` and 256 random bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<MintTarget>,
    /// How often a minted key is replaced by a new one; never when this is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
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

impl ClientKeySpec {
    /// The Secret that the key is in, and the key within it. `None` for a spec that its schema refuses.
    pub fn kept_in(&self) -> Option<SecretKeyReference> {
        let minted = self.target.as_ref().map(|target| SecretKeyReference {
            name: target.name.clone(),
            key: target.key.clone(),
        });
        self.secret_ref.clone().or(minted)
    }
}

/// The Secret that a minted key is put in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.name == oldSelf.name && self.key == oldSelf.key",
    "message": "name and key cannot be changed; make another ClientKey",
}]))]
pub struct MintTarget {
    /// Name of the Secret, in the same namespace. One that exists and was not made for this `ClientKey` is never
    /// written. Cannot be changed.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::SECRET_NAME))]
    pub name: String,
    /// Key within the Secret; the one before is kept under this name with `-previous` at its end while a
    /// rotation overlaps. Cannot be changed.
    #[serde(default = "super::common::api_key")]
    #[schemars(length(min = 1, max = 200), regex(pattern = super::SECRET_KEY))]
    pub key: String,
    /// What becomes of the Secret when the `ClientKey` is deleted: `Owner` (it goes too) or `Orphan` (it stays, and
    /// serves a `ClientKey` that is made anew under the same name).
    #[serde(default)]
    pub creation_policy: CreationPolicy,
}

impl MintTarget {
    /// Where within the Secret the key before is, while a rotation overlaps.
    pub fn previous_key(&self) -> String {
        format!("{}-previous", self.key)
    }
}

/// What becomes of a minted Secret when its `ClientKey` is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CreationPolicy {
    /// It goes too.
    #[default]
    Owner,
    /// It stays.
    Orphan,
}

/// How often a minted key is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "duration(self.overlap) < duration(self.every)",
    "message": "overlap must be shorter than every",
}]))]
pub struct Rotation {
    /// The age at which a key is replaced: `1h` to `8784h` (366 days).
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "duration(self) >= duration('1h') && duration(self) <= duration('8784h')",
        "message": "a key is replaced every 1h to 8784h",
    }]))]
    pub every: Duration,
    /// How long the key before works on beside the new one: at least `1m`, for whoever still has it.
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "duration(self) >= duration('1m')",
        "message": "keys overlap for 1m at least",
    }]))]
    pub overlap: Duration,
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
