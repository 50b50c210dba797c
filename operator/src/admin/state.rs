//! How a credential is: from the object, its status, what is published and who serves it.

use std::sync::Arc;

use proto::{Kind, ObjectKey, admin::v1};
use resources::kinds::{Credential, CredentialStatus};
use snapshot::{CredentialName, ObjectName, QuotaWindow, Timestamp};

use super::{ask::named, control::is_made};
use crate::{gateways::Gateway, published::Published};

/// What is told of all credentials from.
pub(super) struct Sight<'a> {
    pub(super) published: &'a Published,
    pub(super) gateways: &'a [Gateway],
    pub(super) in_flight: &'a (dyn Fn(&CredentialName) -> u32 + Send + Sync),
    pub(super) now: Timestamp,
}

impl Sight<'_> {
    /// How a credential is.
    pub(super) fn state(&self, name: &ObjectName, object: &Credential) -> v1::CredentialState {
        let credential = CredentialName::from(name.clone());
        let served = self.published.contents.snapshot().credentials.get(&credential);
        let nothing = CredentialStatus::default();
        let status = object.status.as_ref().unwrap_or(&nothing);
        let rests = self.rests(status);
        let windows = served.map_or_else(Vec::new, |served| windows(&served.quota, status, self.now));
        let is_resting = rests.iter().any(|rest| rest.model.is_empty());
        let is_used_up = windows.iter().any(is_used_up);
        let source = if is_made(object) {
            v1::Source::Api
        } else {
            v1::Source::Applied
        };
        v1::CredentialState {
            credential: Some(named(name)),
            provider: object.spec.provider_ref.name.clone(),
            usable: served.is_some() && !object.spec.suspend && !is_resting && !is_used_up,
            suspended: object.spec.suspend,
            ready: ready(status),
            in_flight: (self.in_flight)(&credential),
            rests,
            windows,
            secret_version: served.map_or_else(String::new, |served| served.secret_version.0.to_string()),
            // Keys that are presented as they are have neither.
            expires_at: None,
            next_refresh_at: None,
            distribution: Some(self.distribution(name)),
            source: source.into(),
        }
    }

    fn rests(&self, status: &CredentialStatus) -> Vec<v1::Rest> {
        let rests = status.rests.iter().filter_map(|rest| {
            let until = time(&rest.until)?;
            (until > self.now).then(|| v1::Rest {
                model: rest.model.clone().unwrap_or_default(),
                reason: reason(&rest.reason).into(),
                until: Some(moment(until)),
            })
        });
        rests.collect()
    }

    /// The gateways that serve the present version of a credential and of its secret.
    fn distribution(&self, name: &ObjectName) -> v1::Distribution {
        let wanted = self.published.contents.versions();
        let key = |kind| ObjectKey {
            kind,
            name: Arc::from(name.as_str()),
        };
        let keys = [key(Kind::Credential), key(Kind::CredentialSecret)];
        let serves = |gateway: &&Gateway| {
            keys.iter()
                .all(|key| gateway.acked.objects.get(key) == wanted.objects.get(key))
        };
        let count = |gateways: usize| u32::try_from(gateways).unwrap_or(u32::MAX);
        v1::Distribution {
            acked: count(self.gateways.iter().filter(serves).count()),
            connected: count(self.gateways.len()),
        }
    }
}

fn ready(status: &CredentialStatus) -> Option<v1::Ready> {
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")?;
    Some(v1::Ready {
        status: match ready.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        },
        reason: ready.reason.clone(),
        message: ready.message.clone(),
    })
}

/// The windows that are wanted, with what is used of those whose period goes on.
fn windows(wanted: &[QuotaWindow], status: &CredentialStatus, now: Timestamp) -> Vec<v1::Window> {
    let told = |window: &QuotaWindow| {
        let begun = status.windows.iter().find(|begun| *begun.name == *window.name);
        let begun = begun.and_then(|begun| Some((begun, time(&begun.reset_at).filter(|end| *end > now)?)));
        let used = |unit: &str| match begun {
            Some((begun, _)) if begun.unit == unit => begun.used,
            _ => 0,
        };
        v1::Window {
            name: window.name.to_string(),
            requests: used("Requests"),
            requests_limit: window.requests,
            tokens: used("Tokens"),
            tokens_limit: window.tokens,
            resets_at: begun.map(|(_, end)| moment(end)),
        }
    };
    wanted.iter().map(told).collect()
}

fn is_used_up(window: &v1::Window) -> bool {
    let reached = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
    reached(window.requests, window.requests_limit) || reached(window.tokens, window.tokens_limit)
}

/// Why something rests; what another version wrote may be unknown to this one.
fn reason(text: &str) -> v1::RestReason {
    match text {
        "RateLimited" => v1::RestReason::RateLimited,
        "QuotaExhausted" => v1::RestReason::QuotaExhausted,
        "Unauthorized" => v1::RestReason::Unauthorized,
        "AccountBlocked" => v1::RestReason::AccountBlocked,
        "ModelUnavailable" => v1::RestReason::ModelUnavailable,
        "Failing" => v1::RestReason::Failing,
        _ => v1::RestReason::Unspecified,
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond())
        .ok()
        .map(Timestamp::from_micros)
}

/// A moment as answers have it.
pub(super) fn moment(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.as_micros() % 1_000_000 * 1000).unwrap_or_default(),
    }
}
