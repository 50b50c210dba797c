//! What gateways report.

use snapshot::{CredentialName, RestReason, SecretVersion, Timestamp};

use super::{Invalid, Problem, name, timestamp, to_timestamp, v1};

/// What a gateway learned about a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Which.
    pub credential: CredentialName,
    /// The value of its secret that was used.
    pub secret_version: SecretVersion,
    /// Why it rests; `None` when a call succeeded after it had rested.
    pub rests: Option<RestReason>,
    /// When it is usable again, where the upstream said so.
    pub until: Option<Timestamp>,
}

impl From<&Reported> for v1::Report {
    fn from(reported: &Reported) -> Self {
        let kind = match reported.rests {
            Some(RestReason::RateLimited) => v1::ReportKind::RateLimited,
            Some(RestReason::QuotaExhausted) => v1::ReportKind::QuotaExhausted,
            Some(RestReason::Unauthorized) => v1::ReportKind::Unauthorized,
            Some(RestReason::AccountBlocked) => v1::ReportKind::AccountBlocked,
            Some(RestReason::ModelUnavailable) => v1::ReportKind::ModelUnavailable,
            Some(RestReason::Failing) => v1::ReportKind::Failing,
            None => v1::ReportKind::Recovered,
        };
        Self {
            credential: reported.credential.to_string(),
            secret_version: reported.secret_version.0.to_string(),
            kind: kind.into(),
            until: reported.until.map(to_timestamp),
        }
    }
}

impl TryFrom<v1::Report> for Reported {
    type Error = Invalid;

    fn try_from(message: v1::Report) -> Result<Self, Invalid> {
        let unknown = || Invalid::new("kind", Problem::UnknownValue(message.kind));
        let kind = v1::ReportKind::try_from(message.kind).map_err(|_| unknown())?;
        Ok(Self {
            credential: name(&message.credential, "credential")?,
            secret_version: SecretVersion(message.secret_version.into()),
            rests: match kind {
                v1::ReportKind::Unspecified => return Err(unknown()),
                v1::ReportKind::RateLimited => Some(RestReason::RateLimited),
                v1::ReportKind::QuotaExhausted => Some(RestReason::QuotaExhausted),
                v1::ReportKind::Unauthorized => Some(RestReason::Unauthorized),
                v1::ReportKind::AccountBlocked => Some(RestReason::AccountBlocked),
                v1::ReportKind::ModelUnavailable => Some(RestReason::ModelUnavailable),
                v1::ReportKind::Failing => Some(RestReason::Failing),
                v1::ReportKind::Recovered => None,
            },
            until: timestamp(message.until, "until")?,
        })
    }
}
