//! What an upstream's refusal means: whose fault it is, and what rests.

use std::time::Duration;

use dialect::{FailureKind, Refusal, RefusalKind, Retry, scrub};
use http::StatusCode;
use pool::{Rest, RestEnd};
use snapshot::{ErrorRule, FallbackOn, Fault, Provider, RestReason, RestScope};

use super::Setback;
use crate::{
    failure::Failure,
    live::{LiveCredential, LiveProvider},
};

/// The meaning of a refusal, before it becomes words for the caller.
struct Meaning {
    fault: Fault,
    rest: Option<(RestScope, RestReason)>,
    guessed: bool,
    reason: Option<FallbackOn>,
}

/// Decides what a refusal means. The Provider's own rules come first, then the general table.
pub(crate) fn refused(
    live: &LiveProvider,
    credential: &LiveCredential,
    refusal: &Refusal,
    body: &[u8],
) -> Setback {
    let provider = &live.provider;
    let rule = provider
        .error_rules
        .iter()
        .find(|rule| applies(rule, refusal, body));
    let meaning = match rule {
        Some(rule) => by_rule(rule),
        // Redirects are never followed: an upstream that sends one is not what it was configured to be.
        None if (300..400).contains(&refusal.status) => meaning(provider, RefusalKind::ServerError, false),
        None => meaning(provider, refusal.kind, live.credentials() > 1),
    };
    let rest = meaning.rest.map(|(scope, reason)| {
        let end = match (rule.and_then(|rule| rule.rest?.duration), refusal.retry) {
            (Some(duration), _) => RestEnd::For(duration),
            // A used-up quota does not come back with the next minute, whatever a front end adds to each 429.
            (None, Some(Retry::After(_))) if reason == RestReason::QuotaExhausted => RestEnd::Guessed,
            (None, Some(Retry::After(wait))) if !wait.is_zero() => RestEnd::Hinted(wait),
            (None, Some(Retry::Reset(wait))) if !wait.is_zero() => RestEnd::Stated(wait),
            (None, _) => RestEnd::Guessed,
        };
        (scope, Rest { reason, end })
    });
    Setback {
        fault: meaning.fault,
        failure: words(credential, refusal, &meaning),
        rest,
        guess: meaning.guessed.then(|| (refusal.status, refusal.code.clone())),
        answered: true,
        reason: meaning.reason,
    }
}

fn applies(rule: &ErrorRule, refusal: &Refusal, body: &[u8]) -> bool {
    let ErrorRule { matches, .. } = rule;
    let named =
        |code: &String| refusal.code.as_ref() == Some(code) || refusal.error_type.as_ref() == Some(code);
    matches.status.is_none_or(|status| status == refusal.status)
        && matches.code.as_ref().is_none_or(named)
        && matches
            .body_contains
            .as_ref()
            .is_none_or(|text| memchr::memmem::find(body, text.as_bytes()).is_some())
}

fn by_rule(rule: &ErrorRule) -> Meaning {
    let reason = match rule.fault {
        Fault::Upstream => Some(FallbackOn::UpstreamFailed),
        Fault::Credential => Some(FallbackOn::CredentialsExhausted),
        Fault::Caller | Fault::Gateway => None,
    };
    let rest = rule.rest.map(|rest| (rule.scope, rest.reason));
    Meaning {
        fault: rule.fault,
        rest,
        guessed: false,
        reason,
    }
}

/// The general table. `several`: whether another credential could be asked for a second opinion.
fn meaning(provider: &Provider, kind: RefusalKind, several: bool) -> Meaning {
    let caller = |reason| Meaning {
        fault: Fault::Caller,
        rest: None,
        guessed: false,
        reason,
    };
    let upstream = |reason| Meaning {
        fault: Fault::Upstream,
        rest: None,
        guessed: false,
        reason: Some(reason),
    };
    let credential = |scope, reason, guessed| Meaning {
        fault: Fault::Credential,
        rest: Some((scope, reason)),
        guessed,
        reason: Some(FallbackOn::CredentialsExhausted),
    };
    // Azure limits each deployment on its own.
    let limited = if provider.azure.is_some() {
        RestScope::CredentialAndModel
    } else {
        RestScope::Credential
    };
    match kind {
        RefusalKind::ContextTooLong => caller(Some(FallbackOn::ContextTooLong)),
        // A vendor says the same of a model that does not exist and of one that this account may not use.
        RefusalKind::ModelNotFound if several => Meaning {
            reason: Some(FallbackOn::ModelNotFound),
            ..credential(RestScope::CredentialAndModel, RestReason::ModelUnavailable, true)
        },
        RefusalKind::ModelNotFound => caller(Some(FallbackOn::ModelNotFound)),
        RefusalKind::ModelForbidden => credential(
            RestScope::CredentialAndModel,
            RestReason::ModelUnavailable,
            several,
        ),
        RefusalKind::Unauthorized => credential(RestScope::Credential, RestReason::Unauthorized, false),
        RefusalKind::AccountBlocked => credential(RestScope::Credential, RestReason::AccountBlocked, false),
        RefusalKind::RateLimited => credential(limited, RestReason::RateLimited, false),
        RefusalKind::QuotaExhausted => credential(RestScope::Credential, RestReason::QuotaExhausted, false),
        RefusalKind::Forbidden | RefusalKind::Unrecognised if several => {
            credential(RestScope::Credential, RestReason::Failing, true)
        }
        RefusalKind::Malformed
        | RefusalKind::TooLarge
        | RefusalKind::ContentRefused
        | RefusalKind::NotFound
        | RefusalKind::Forbidden
        | RefusalKind::Unrecognised => caller(None),
        RefusalKind::Overloaded | RefusalKind::ServerError => upstream(FallbackOn::UpstreamFailed),
        RefusalKind::Timeout => upstream(FallbackOn::Timeout),
    }
}

/// What the caller is told. The upstream's own words pass only for the caller's own faults.
fn words(credential: &LiveCredential, refusal: &Refusal, meaning: &Meaning) -> Failure {
    match meaning.fault {
        Fault::Caller => own_words(credential, refusal),
        // Said only if no other credential could serve; a guess turns into the upstream's words in that case.
        Fault::Credential if meaning.guessed => own_words(credential, refusal),
        Fault::Credential => Failure::exhausted(
            "credentials_refused",
            "the upstream refused all credentials for this model",
            second(),
        ),
        Fault::Upstream | Fault::Gateway => {
            let status = match refusal.kind {
                RefusalKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
                RefusalKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_GATEWAY,
            };
            let failure = Failure::upstream(
                status,
                "upstream_failed",
                format!("the upstream failed (status {})", refusal.status),
            );
            match refusal.retry {
                Some(Retry::After(wait) | Retry::Reset(wait)) => failure.retry_after(wait),
                None if status == StatusCode::SERVICE_UNAVAILABLE => failure.retry_after(second()),
                None => failure,
            }
        }
    }
}

const fn second() -> Duration {
    Duration::from_secs(1)
}

/// The upstream's words about the caller's request, without anything about the account that was used.
fn own_words(credential: &LiveCredential, refusal: &Refusal) -> Failure {
    let secret = credential
        .secret
        .as_ref()
        .map_or(&b""[..], |secret| secret.expose());
    let clean = |text: &str| scrub(text, secret);
    let status = match StatusCode::from_u16(refusal.status) {
        // A refusal inside a 200, or an answer about our own key, has no status of the caller's.
        Ok(status) if status.is_client_error() && status != StatusCode::UNAUTHORIZED => status,
        _ => StatusCode::BAD_REQUEST,
    };
    let kind = match status {
        StatusCode::NOT_FOUND => FailureKind::NotFound,
        StatusCode::FORBIDDEN => FailureKind::Permission,
        StatusCode::PAYLOAD_TOO_LARGE => FailureKind::TooLarge,
        _ => FailureKind::InvalidRequest,
    };
    let message = refusal
        .message
        .as_deref()
        .map_or_else(|| "the upstream refused the request".into(), clean);
    let code = refusal
        .code
        .as_deref()
        .or(refusal.error_type.as_deref())
        .map_or_else(|| "refused".into(), clean);
    let failure = Failure::caller(kind, status, code, message);
    match &refusal.param {
        Some(param) => failure.param(clean(param)),
        None => failure,
    }
}
