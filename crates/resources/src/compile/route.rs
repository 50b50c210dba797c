//! Routes.

use snapshot::{
    Consumers, FallbackOn, ObjectName, ProviderName, Retry, Route, RouteName, StreamPolicy, Target,
};

use super::credential::patterns;
use crate::kinds::{self, FallbackReason, ModelRouteSpec};

pub(super) fn compile(name: &ObjectName, spec: &ModelRouteSpec, targets: Vec<Target>) -> Route {
    Route {
        name: RouteName::from(name.clone()),
        models: patterns(&spec.models),
        consumers: consumers(spec.consumers),
        targets,
        retry: Retry {
            attempts: spec.retry.attempts,
            budget_percent: spec.retry.budget_percent,
        },
        fallback_on: spec.fallback_on.iter().copied().map(fallback).collect(),
        stream: StreamPolicy {
            hold_max: spec.stream.hold_max.0,
            keep_alive_after: spec.stream.keep_alive_after.0,
        },
    }
}

pub(super) fn target(target: &kinds::Target, provider: ProviderName) -> Target {
    let selector = target.credential_selector.as_ref();
    Target {
        provider,
        model: target.model.as_deref().map(Into::into),
        weight: target.weight,
        priority: target.priority,
        credential_selector: selector.map(|it| it.match_labels.clone()).unwrap_or_default(),
    }
}

pub(super) const fn consumers(consumers: kinds::Consumers) -> Consumers {
    match consumers {
        kinds::Consumers::Same => Consumers::Same,
        kinds::Consumers::All => Consumers::All,
    }
}

const fn fallback(reason: FallbackReason) -> FallbackOn {
    match reason {
        FallbackReason::CredentialsExhausted => FallbackOn::CredentialsExhausted,
        FallbackReason::UpstreamFailed => FallbackOn::UpstreamFailed,
        FallbackReason::Timeout => FallbackOn::Timeout,
        FallbackReason::ContextTooLong => FallbackOn::ContextTooLong,
        FallbackReason::ModelNotFound => FallbackOn::ModelNotFound,
    }
}
