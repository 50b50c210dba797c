//! What rests of a Credential, from all who know.

use std::{sync::Arc, time::Duration};

use pool::Resting;
use resources::kinds::{CredentialStatus, RestStatus};
use snapshot::{RestReason, Timestamp};

use super::{Known, read, steady};
use crate::status::measured::Reading;

/// What rests.
#[derive(Debug, Default)]
pub(super) struct Rests {
    /// The whole Credential.
    pub(super) whole: Option<Resting>,
    /// Some of its models.
    models: Vec<Resting>,
}

/// A report that came so shortly before a reading began may not be in it.
const LATE: Duration = Duration::from_secs(1);
/// Rests that are told at most.
const TOLD: usize = 64;

/// Whether a rest does not end by itself, whatever its ladder says: a probe would only be refused again.
pub(super) const fn needs_somebody(reason: RestReason) -> bool {
    match reason {
        RestReason::Unauthorized | RestReason::AccountBlocked => true,
        RestReason::RateLimited
        | RestReason::QuotaExhausted
        | RestReason::ModelUnavailable
        | RestReason::Failing => false,
    }
}

impl Rests {
    /// What the store says, or what was told before while nobody knows better, and what was reported since.
    pub(super) fn of(known: &Known<'_>, is_same_secret: bool) -> Self {
        let mut rests = match known.reading {
            Reading::NoStore => Vec::new(),
            Reading::Away => former(known.before, is_same_secret),
            Reading::Known(measured) => measured
                .credentials
                .get(known.name)
                .map(|state| state.rests.clone())
                .unwrap_or_default(),
        };
        let is_news = |arrived: tokio::time::Instant| match known.reading {
            Reading::NoStore | Reading::Away => true,
            Reading::Known(measured) => arrived + LATE > measured.began,
        };
        if let Some(told) = known.told.filter(|told| is_news(told.arrived)) {
            match told.rest {
                None => rests.retain(|rest| rest.model.is_some()),
                Some((reason, until)) => {
                    let known = rests.iter().find(|rest| rest.model.is_none());
                    if known.is_none_or(|known| known.until < until) {
                        rests.retain(|rest| rest.model.is_some());
                        rests.push(Resting {
                            model: None,
                            reason,
                            until,
                        });
                    }
                }
            }
        }
        let before = known.before.map_or(&[][..], |before| &before.rests);
        for rest in &mut rests {
            rest.until = unchanged(rest, before).unwrap_or(rest.until);
        }
        // What ended by itself only waits for a call to find out.
        rests.retain(|rest| rest.until > known.now || needs_somebody(rest.reason));
        let (whole, mut models): (Vec<_>, Vec<_>) = rests.into_iter().partition(|rest| rest.model.is_none());
        models.sort_by(|a, b| a.model.cmp(&b.model));
        Self {
            whole: whole.into_iter().next(),
            models,
        }
    }

    /// As a status tells them: that of the whole Credential first.
    pub(super) fn told(self) -> Vec<RestStatus> {
        let told = |rest: Resting| RestStatus {
            model: rest.model.as_deref().map(ToOwned::to_owned),
            reason: rest.reason.as_str().to_owned(),
            until: rest.until.to_string(),
        };
        self.whole
            .into_iter()
            .chain(self.models)
            .take(TOLD)
            .map(told)
            .collect()
    }
}

/// The end that is told of a rest, where that means the same.
fn unchanged(rest: &Resting, before: &[RestStatus]) -> Option<Timestamp> {
    let former = before.iter().find(|former| {
        former.model.as_deref() == rest.model.as_deref() && former.reason == rest.reason.as_str()
    })?;
    read(&steady(rest.until, Some(&former.until)))
}

/// What was told before. A new secret ends what the former one was refused for.
fn former(before: Option<&CredentialStatus>, is_same_secret: bool) -> Vec<Resting> {
    let rest = |rest: &RestStatus| {
        Some(Resting {
            model: rest.model.as_deref().map(Arc::from),
            reason: reason(&rest.reason)?,
            until: read(&rest.until).unwrap_or(Timestamp::EPOCH),
        })
    };
    let before = before.map_or(&[][..], |before| &before.rests);
    before
        .iter()
        .filter_map(rest)
        .filter(|rest| is_same_secret || rest.reason != RestReason::Unauthorized)
        .collect()
}

fn reason(text: &str) -> Option<RestReason> {
    [
        RestReason::RateLimited,
        RestReason::QuotaExhausted,
        RestReason::Unauthorized,
        RestReason::AccountBlocked,
        RestReason::ModelUnavailable,
        RestReason::Failing,
    ]
    .into_iter()
    .find(|reason| reason.as_str() == text)
}
