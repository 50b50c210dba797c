//! Providers.

use std::{collections::BTreeSet, sync::Arc};

use http::{HeaderName, HeaderValue};
use snapshot::{
    Affinity, AffinityBy, Auth, Azure, AzureStyle, Breaker, ErrorMatch, ErrorRule, Fault, Header,
    HeaderSource, Model, ObjectName, Provider, ProviderName, RestReason, RestRule, RestScope, Scheme, Secret,
    Selection, Strategy, Timeouts, Tls,
};

use super::{Place, Verdict, endpoint, route::consumers, secret};
use crate::{
    Objects, Reason,
    condition::Refusal,
    kinds::{self, AffinityKey, AuthType, AzureUrlStyle, Dialect, Listed, ProviderSpec, RestKind, RestReach},
};

/// A Provider and the values of its headers that come from Secrets.
pub(super) struct Built {
    pub(super) provider: Provider,
    pub(super) headers: Vec<(String, Secret)>,
}

pub(super) fn compile(
    objects: &Objects,
    name: &ObjectName,
    spec: &ProviderSpec,
    place: Place,
) -> Result<Built, Verdict> {
    let address = endpoint::compile(name.namespace(), spec, place)?;
    if spec.tls.is_some() && address.endpoint.scheme == Scheme::Http {
        return Err(invalid("spec.tls: goes with https only"));
    }
    let (headers, values) = headers(objects, name, spec)?;
    let provider = Provider {
        name: ProviderName::from(name.clone()),
        dialect: dialect(spec.dialect),
        apis: apis(spec),
        endpoint: address.endpoint,
        auth: auth(spec)?,
        headers,
        tls: tls(objects, name, spec)?,
        models: spec.models.iter().map(model).collect(),
        consumers: consumers(spec.consumers),
        timeouts: Timeouts {
            connect: spec.timeouts.connect.0,
            first_byte: spec.timeouts.first_byte.0,
            idle: spec.timeouts.idle.0,
            total: spec.timeouts.total.0,
        },
        concurrency: spec.limits.and_then(|limits| limits.concurrency),
        breaker: Breaker {
            consecutive_failures: spec.breaker.consecutive_failures,
            open_for: spec.breaker.open_for.0,
        },
        error_rules: spec.error_rules.iter().map(error_rule).collect(),
        selection: selection(spec)?,
        azure: azure(spec, address.api_version)?,
    };
    Ok(Built {
        provider,
        headers: values,
    })
}

fn invalid(message: impl Into<String>) -> Verdict {
    Verdict::refused(Refusal::new(Reason::InvalidSpec, message))
}

const fn dialect(dialect: Dialect) -> dialect::Dialect {
    match dialect {
        Dialect::OpenAI => dialect::Dialect::OpenAi,
        Dialect::Anthropic => dialect::Dialect::Anthropic,
    }
}

fn apis(spec: &ProviderSpec) -> Vec<dialect::Api> {
    use dialect::Api;
    if spec.apis.is_empty() {
        return match spec.dialect {
            Dialect::OpenAI => vec![
                Api::ChatCompletions,
                Api::Completions,
                Api::Responses,
                Api::Embeddings,
            ],
            Dialect::Anthropic => vec![Api::Messages],
        };
    }
    let api = |api: &kinds::Api| match api {
        kinds::Api::ChatCompletions => Api::ChatCompletions,
        kinds::Api::Completions => Api::Completions,
        kinds::Api::Responses => Api::Responses,
        kinds::Api::Embeddings => Api::Embeddings,
        kinds::Api::Messages => Api::Messages,
    };
    spec.apis.iter().map(api).collect()
}

fn header_name(text: &str, path: &str) -> Result<HeaderName, Verdict> {
    text.parse()
        .map_err(|_| invalid(format!("{path}: expected the name of a header")))
}

fn auth(spec: &ProviderSpec) -> Result<Auth, Verdict> {
    let Some(auth) = &spec.auth else {
        return Ok(match (spec.dialect, &spec.azure) {
            (Dialect::OpenAI, None) => Auth::Bearer,
            (Dialect::OpenAI, Some(_)) => Auth::Header(HeaderName::from_static("api-key")),
            (Dialect::Anthropic, _) => Auth::Header(HeaderName::from_static("x-api-key")),
        });
    };
    match auth.kind {
        AuthType::Bearer => Ok(Auth::Bearer),
        AuthType::None => Ok(Auth::None),
        AuthType::Header => {
            let header = auth.header.as_deref().unwrap_or_default();
            Ok(Auth::Header(header_name(header, "spec.auth.header")?))
        }
    }
}

type Headers = (Vec<Header>, Vec<(String, Secret)>);

fn headers(objects: &Objects, provider: &ObjectName, spec: &ProviderSpec) -> Result<Headers, Verdict> {
    let mut headers = Vec::new();
    let mut values = Vec::new();
    let mut seen = BTreeSet::new();
    for header in &spec.headers {
        let name = header_name(&header.name, "spec.headers")?;
        if !seen.insert(name.as_str().to_owned()) {
            return Err(invalid(format!("spec.headers: {name} is there twice")));
        }
        let source = match (&header.value, &header.value_from) {
            (_, Some(from)) => {
                let value = secret::key(objects, provider.namespace(), &from.secret_key_ref)
                    .map_err(Verdict::unresolved)?;
                values.push((name.as_str().to_owned(), value));
                HeaderSource::Keyring
            }
            (value, None) => {
                let value = value.as_deref().unwrap_or_default();
                let mut value: HeaderValue = value
                    .parse()
                    .map_err(|_| invalid(format!("spec.headers: the value of {name} cannot be sent")))?;
                // People write keys here too: what prints a snapshot must not print them.
                value.set_sensitive(true);
                HeaderSource::Literal(value)
            }
        };
        headers.push(Header { name, source });
    }
    Ok((headers, values))
}

fn tls(objects: &Objects, provider: &ObjectName, spec: &ProviderSpec) -> Result<Tls, Verdict> {
    let Some(tls) = &spec.tls else {
        return Ok(Tls::default());
    };
    let ca = match &tls.ca_ref {
        None => None,
        Some(reference) => {
            let text = secret::certificates(objects, provider.namespace(), reference)
                .map_err(Verdict::unresolved)?;
            Some(Arc::from(text))
        }
    };
    Ok(Tls {
        ca,
        server_name: tls.server_name.as_deref().map(Arc::from),
    })
}

fn model(listed: &Listed) -> Model {
    Model {
        name: listed.name.as_str().into(),
        upstream_name: listed.upstream_name.as_deref().map(Arc::from),
        max_input_tokens: listed.max_input_tokens,
        max_output_tokens: listed.max_output_tokens,
    }
}

fn error_rule(rule: &kinds::ErrorRule) -> ErrorRule {
    ErrorRule {
        matches: ErrorMatch {
            status: rule.matches.status,
            code: rule.matches.code.clone(),
            body_contains: rule.matches.body_contains.clone(),
        },
        fault: match rule.fault {
            kinds::Fault::Caller => Fault::Caller,
            kinds::Fault::Credential => Fault::Credential,
            kinds::Fault::Upstream => Fault::Upstream,
        },
        scope: match rule.scope {
            RestReach::Credential => RestScope::Credential,
            RestReach::CredentialAndModel => RestScope::CredentialAndModel,
        },
        rest: rule.rest.map(|rest| RestRule {
            reason: match rest.reason {
                RestKind::RateLimited => RestReason::RateLimited,
                RestKind::QuotaExhausted => RestReason::QuotaExhausted,
                RestKind::Unauthorized => RestReason::Unauthorized,
                RestKind::AccountBlocked => RestReason::AccountBlocked,
                RestKind::ModelUnavailable => RestReason::ModelUnavailable,
                RestKind::Failing => RestReason::Failing,
            },
            duration: rest.duration.map(|duration| duration.0),
        }),
    }
}

fn selection(spec: &ProviderSpec) -> Result<Selection, Verdict> {
    let affinity = &spec.selection.affinity;
    Ok(Selection {
        strategy: match spec.selection.strategy {
            kinds::Strategy::RoundRobin => Strategy::RoundRobin,
            kinds::Strategy::LeastBusy => Strategy::LeastBusy,
            kinds::Strategy::Weighted => Strategy::Weighted,
            kinds::Strategy::FillFirst => Strategy::FillFirst,
            kinds::Strategy::MostHeadroom => Strategy::MostHeadroom,
        },
        max_wait: spec.selection.max_wait.0,
        affinity: Affinity {
            by: match affinity.by {
                AffinityKey::None => AffinityBy::None,
                AffinityKey::Session => AffinityBy::Session,
                AffinityKey::User => AffinityBy::User,
                AffinityKey::Prefix => AffinityBy::Prefix,
                AffinityKey::Header => {
                    let header = affinity.header.as_deref().unwrap_or_default();
                    AffinityBy::Header(header_name(header, "spec.selection.affinity.header")?)
                }
            },
            ttl: affinity.ttl.0,
        },
    })
}

fn azure(spec: &ProviderSpec, from_url: Option<String>) -> Result<Option<Azure>, Verdict> {
    let Some(azure) = &spec.azure else {
        return Ok(None);
    };
    let api_version = azure.api_version.clone().or(from_url);
    let style = match azure.style {
        AzureUrlStyle::V1 => AzureStyle::V1,
        AzureUrlStyle::Deployments if api_version.is_none() => {
            return Err(invalid(
                "spec.azure.apiVersion: is required with style Deployments, such as 2024-10-21",
            ));
        }
        AzureUrlStyle::Deployments => AzureStyle::Deployments,
    };
    Ok(Some(Azure {
        style,
        api_version: api_version.map(Arc::from),
    }))
}
