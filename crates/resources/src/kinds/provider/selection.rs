//! How a Credential is chosen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::{Duration, HEADER_NAME};

/// How a Credential is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Selection {
    /// `RoundRobin` (each in turn), `LeastBusy` (fewest calls in flight), `Weighted` (in proportion to
    /// weights), `FillFirst` (the first that is usable, by name) or `MostHeadroom` (the one that has used
    /// the smallest part of its quota).
    pub strategy: Strategy,
    /// How long a call waits when all Credentials are merely full.
    pub max_wait: Duration,
    /// What keeps a conversation on one Credential.
    pub affinity: Affinity,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            strategy: Strategy::RoundRobin,
            max_wait: Duration(snapshot::Selection::default().max_wait),
            affinity: Affinity::default(),
        }
    }
}

/// In what order Credentials are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest calls in flight.
    LeastBusy,
    /// In proportion to their weights.
    Weighted,
    /// The first that is usable, in order of name.
    FillFirst,
    /// The one that has used the smallest part of its quota.
    MostHeadroom,
}

/// What keeps a conversation on one Credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.header) == (self.by == 'Header')", "message": "header is needed with by Header, and goes only with it"}
]))]
pub struct Affinity {
    /// What identifies a conversation: `None` (every call is on its own), `Session` (the client's session
    /// or prompt cache key), `User` (the end user that the request names), `Header`, or `Prefix` (the
    /// beginning of the conversation).
    pub by: AffinityKey,
    /// The header that identifies it, with `by: Header`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = HEADER_NAME))]
    pub header: Option<String>,
    /// How long after its last call a conversation is remembered.
    pub ttl: Duration,
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            by: AffinityKey::None,
            header: None,
            ttl: Duration(snapshot::Affinity::default().ttl),
        }
    }
}

/// What identifies a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AffinityKey {
    /// Nothing.
    #[default]
    None,
    /// The client's session.
    Session,
    /// The end user that the request names.
    User,
    /// The value of a header.
    Header,
    /// The beginning of the conversation.
    Prefix,
}
