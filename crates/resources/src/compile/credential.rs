//! Credentials.

use std::collections::BTreeMap;

use snapshot::{
    CallLimits, Credential, CredentialName, ModelFilter, ModelPattern, ObjectName, ProviderName, QuotaWindow,
    SecretVersion,
};

use crate::kinds::{self, Limits};

pub(super) fn compile(
    name: &ObjectName,
    object: &kinds::Credential,
    provider: ProviderName,
    secret_version: SecretVersion,
    quota: Vec<QuotaWindow>,
) -> Credential {
    let spec = &object.spec;
    let filter = spec.models.clone().unwrap_or_default();
    Credential {
        name: CredentialName::from(name.clone()),
        provider,
        secret_version,
        labels: object.metadata.labels.clone().unwrap_or_default(),
        weight: spec.weight,
        priority: spec.priority,
        models: ModelFilter {
            allow: patterns(&filter.allow),
            deny: patterns(&filter.deny),
        },
        limits: limits(spec.limits),
        quota: quota.into(),
        suspended: spec.suspend,
    }
}

/// The credential of a Provider that takes no key: `PROVIDER:anonymous`. No object can have that name, as
/// names hold no colon.
pub(super) fn anonymous(provider: &ProviderName) -> Option<Credential> {
    let name = CredentialName::new(provider.namespace(), &format!("{}:anonymous", provider.name()));
    Some(Credential {
        name: name.ok()?,
        provider: provider.clone(),
        secret_version: SecretVersion("none".into()),
        labels: BTreeMap::new(),
        weight: 1,
        priority: 0,
        models: ModelFilter::default(),
        limits: CallLimits::default(),
        quota: Vec::new().into(),
        suspended: false,
    })
}

pub(super) fn patterns(texts: &[String]) -> Vec<ModelPattern> {
    texts.iter().map(|text| ModelPattern::new(text)).collect()
}

fn limits(limits: Option<Limits>) -> CallLimits {
    let limits = limits.unwrap_or_default();
    CallLimits {
        concurrency: limits.concurrency,
        requests_per_minute: limits.requests_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
    }
}
