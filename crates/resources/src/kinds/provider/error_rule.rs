//! What an upstream's errors mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::Duration;

/// What an upstream's error means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.rest) || self.fault == 'Credential'", "message": "rest goes with the fault Credential", "fieldPath": ".rest"}
]))]
pub struct ErrorRule {
    /// When the rule applies: all that is given must fit.
    #[serde(rename = "match")]
    pub matches: ErrorMatch,
    /// Who is to blame: `Caller` (no retry), `Credential` (it rests, the next is tried), `Upstream` (the
    /// breaker counts, the next target is tried).
    pub fault: Fault,
    /// What rests, with the fault Credential: the `Credential`, or the `CredentialAndModel`, only for the
    /// model that was asked for.
    #[serde(default)]
    pub scope: RestReach,
    /// How it rests. Not set: it does not, the next credential is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<RestOf>,
}

/// When an error rule applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.status) || has(self.code) || has(self.bodyContains)", "message": "set at least one of status, code and bodyContains"}
]))]
pub struct ErrorMatch {
    /// HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// The error's `code` or `type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub code: Option<String>,
    /// A text that the body contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub body_contains: Option<String>,
}

/// Who is to blame for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Fault {
    /// The caller.
    Caller,
    /// The credential.
    Credential,
    /// The upstream.
    Upstream,
}

/// What rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestReach {
    /// The whole credential.
    #[default]
    Credential,
    /// The credential for one model.
    CredentialAndModel,
}

/// How something rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestOf {
    /// Why: `RateLimited`, `QuotaExhausted`, `Unauthorized`, `AccountBlocked`, `ModelUnavailable`, `Failing`.
    pub reason: RestKind,
    /// For how long. Not set: what the upstream says, or the reason's default.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
}

/// Why something rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestKind {
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
