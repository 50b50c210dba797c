//! Routes.

use snapshot::{Retry, Route, StreamPolicy, Target};

use super::{
    Invalid, all, all_known, converted, duration, known, name, patterns, required, text, texts, to_duration,
    v1,
};

impl From<&Route> for v1::Route {
    fn from(route: &Route) -> Self {
        let fallback = |reason: &snapshot::FallbackOn| v1::FallbackOn::from(*reason).into();
        Self {
            name: route.name.to_string(),
            models: texts(&route.models),
            consumers: v1::Consumers::from(route.consumers).into(),
            targets: route.targets.iter().map(Into::into).collect(),
            retry: Some(v1::Retry {
                attempts: route.retry.attempts,
                budget_percent: route.retry.budget_percent,
            }),
            fallback_on: route.fallback_on.iter().map(fallback).collect(),
            stream: Some(v1::StreamPolicy {
                hold_max: Some(to_duration(route.stream.hold_max)),
                keep_alive_after: Some(to_duration(route.stream.keep_alive_after)),
            }),
        }
    }
}

impl TryFrom<v1::Route> for Route {
    type Error = Invalid;

    fn try_from(message: v1::Route) -> Result<Self, Invalid> {
        let retry = required(message.retry, "retry")?;
        Ok(Self {
            name: name(&message.name, "name")?,
            models: patterns(&message.models),
            consumers: known::<v1::Consumers, _>(message.consumers, "consumers")?,
            targets: all(message.targets, "targets")?,
            retry: Retry {
                attempts: retry.attempts,
                budget_percent: retry.budget_percent,
            },
            fallback_on: all_known::<v1::FallbackOn, _>(&message.fallback_on, "fallback_on")?,
            stream: converted(message.stream, "stream")?,
        })
    }
}

impl From<&Target> for v1::Target {
    fn from(target: &Target) -> Self {
        Self {
            provider: target.provider.to_string(),
            model: text(target.model.as_ref()),
            weight: target.weight,
            priority: target.priority,
            credential_selector: target.credential_selector.clone(),
        }
    }
}

impl TryFrom<v1::Target> for Target {
    type Error = Invalid;

    fn try_from(message: v1::Target) -> Result<Self, Invalid> {
        Ok(Self {
            provider: name(&message.provider, "provider")?,
            model: message.model.map(Into::into),
            weight: message.weight,
            priority: message.priority,
            credential_selector: message.credential_selector,
        })
    }
}

impl TryFrom<v1::StreamPolicy> for StreamPolicy {
    type Error = Invalid;

    fn try_from(message: v1::StreamPolicy) -> Result<Self, Invalid> {
        Ok(Self {
            hold_max: duration(message.hold_max, "hold_max")?,
            keep_alive_after: duration(message.keep_alive_after, "keep_alive_after")?,
        })
    }
}
