//! Accounts and keys of a Provider.

use std::sync::Arc;

use crate::{CredentialName, ModelPattern, ProviderName, QuotaWindow, SecretVersion};

/// One account or key of a Provider, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Which Credential this is.
    pub name: CredentialName,
    /// The Provider it belongs to, always in the same namespace.
    pub provider: ProviderName,
    /// Which value of its secret is in the keyring.
    pub secret_version: SecretVersion,
    /// Labels of the object, which `credentialSelector` of a target matches.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Its share under the Weighted strategy, at least 1.
    pub weight: u32,
    /// Its tier: 0 is used first, the next only when none of the tier before is usable.
    pub priority: u32,
    /// The models that it may serve.
    pub models: ModelFilter,
    /// What may be asked of it at most.
    pub limits: CallLimits,
    /// What its account allows within longer periods.
    pub quota: Arc<[QuotaWindow]>,
    /// Whether an administrator took it out of use.
    pub suspended: bool,
}

/// Which upstream models a credential may serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFilter {
    /// Only these; empty allows all.
    pub allow: Vec<ModelPattern>,
    /// Never these.
    pub deny: Vec<ModelPattern>,
}

impl ModelFilter {
    /// Whether `model` may be served.
    pub fn allows(&self, model: &str) -> bool {
        (self.allow.is_empty() || self.allow.iter().any(|pattern| pattern.matches(model)))
            && !self.deny.iter().any(|pattern| pattern.matches(model))
    }
}

/// Upper bounds on use. `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallLimits {
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    /// Calls in any 60 seconds.
    pub requests_per_minute: Option<u32>,
    /// Tokens in any 60 seconds.
    pub tokens_per_minute: Option<u64>,
}
