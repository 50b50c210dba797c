//! Credentials, without their secrets.

use snapshot::{Credential, ModelFilter, SecretVersion};

use super::{Invalid, all, name, patterns, required, texts, v1};

impl From<&Credential> for v1::Credential {
    fn from(credential: &Credential) -> Self {
        Self {
            name: credential.name.to_string(),
            provider: credential.provider.to_string(),
            secret_version: credential.secret_version.0.to_string(),
            labels: credential.labels.clone(),
            weight: credential.weight,
            priority: credential.priority,
            models: Some(v1::ModelFilter {
                allow: texts(&credential.models.allow),
                deny: texts(&credential.models.deny),
            }),
            limits: Some(credential.limits.into()),
            quota: credential.quota.iter().map(Into::into).collect(),
            suspended: credential.suspended,
        }
    }
}

impl TryFrom<v1::Credential> for Credential {
    type Error = Invalid;

    fn try_from(message: v1::Credential) -> Result<Self, Invalid> {
        let models = required(message.models, "models")?;
        Ok(Self {
            name: name(&message.name, "name")?,
            provider: name(&message.provider, "provider")?,
            secret_version: SecretVersion(message.secret_version.into()),
            labels: message.labels,
            weight: message.weight,
            priority: message.priority,
            models: ModelFilter {
                allow: patterns(&models.allow),
                deny: patterns(&models.deny),
            },
            limits: required(message.limits, "limits")?.into(),
            quota: all(message.quota, "quota")?,
            suspended: message.suspended,
        })
    }
}
