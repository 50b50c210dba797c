//! Providers.

use http::HeaderValue;
use snapshot::{
    Affinity, AffinityBy, Auth, Azure, Breaker, Endpoint, ErrorMatch, ErrorRule, Header, HeaderSource, Model,
    Provider, RestRule, Selection, Timeouts, Tls,
};

use super::{
    Invalid, all, all_known, converted, duration, header_name, known, name, number, required, text,
    to_duration, v1,
};

impl From<&Provider> for v1::Provider {
    fn from(provider: &Provider) -> Self {
        Self {
            name: provider.name.to_string(),
            dialect: v1::Dialect::from(provider.dialect).into(),
            apis: provider
                .apis
                .iter()
                .map(|api| v1::Api::from(*api).into())
                .collect(),
            endpoint: Some((&provider.endpoint).into()),
            auth: Some((&provider.auth).into()),
            headers: provider.headers.iter().map(Into::into).collect(),
            tls: Some((&provider.tls).into()),
            models: provider.models.iter().map(Into::into).collect(),
            consumers: v1::Consumers::from(provider.consumers).into(),
            timeouts: Some(provider.timeouts.into()),
            concurrency: provider.concurrency,
            breaker: Some(provider.breaker.into()),
            error_rules: provider.error_rules.iter().map(Into::into).collect(),
            selection: Some((&provider.selection).into()),
            azure: provider.azure.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Provider> for Provider {
    type Error = Invalid;

    fn try_from(message: v1::Provider) -> Result<Self, Invalid> {
        Ok(Self {
            name: name(&message.name, "name")?,
            dialect: known::<v1::Dialect, _>(message.dialect, "dialect")?,
            apis: all_known::<v1::Api, _>(&message.apis, "apis")?,
            endpoint: converted(message.endpoint, "endpoint")?,
            auth: converted(message.auth, "auth")?,
            headers: all(message.headers, "headers")?,
            tls: required(message.tls, "tls")?.into(),
            models: message.models.into_iter().map(Into::into).collect(),
            consumers: known::<v1::Consumers, _>(message.consumers, "consumers")?,
            timeouts: converted(message.timeouts, "timeouts")?,
            concurrency: message.concurrency,
            breaker: converted(message.breaker, "breaker")?,
            error_rules: all(message.error_rules, "error_rules")?,
            selection: converted(message.selection, "selection")?,
            azure: match message.azure {
                None => None,
                azure @ Some(_) => Some(converted(azure, "azure")?),
            },
        })
    }
}

impl From<&Endpoint> for v1::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            scheme: v1::Scheme::from(endpoint.scheme).into(),
            host: endpoint.host.to_string(),
            port: endpoint.port.into(),
            path: endpoint.path.to_string(),
            service: endpoint.service,
        }
    }
}

impl TryFrom<v1::Endpoint> for Endpoint {
    type Error = Invalid;

    fn try_from(message: v1::Endpoint) -> Result<Self, Invalid> {
        const PORT: &str = "a port from 1 to 65535";
        if message.host.is_empty() {
            return Err(Invalid::expected("host", "a host name or address"));
        }
        let port = number(message.port, "port", PORT)?;
        if port == 0 {
            return Err(Invalid::expected("port", PORT));
        }
        Ok(Self {
            scheme: known::<v1::Scheme, _>(message.scheme, "scheme")?,
            host: message.host.into(),
            port,
            path: message.path.into(),
            service: message.service,
        })
    }
}

impl From<&Auth> for v1::Auth {
    fn from(auth: &Auth) -> Self {
        use v1::auth::Scheme;
        Self {
            scheme: Some(match auth {
                Auth::Bearer => Scheme::Bearer(()),
                Auth::Header(name) => Scheme::Header(name.to_string()),
                Auth::None => Scheme::None(()),
            }),
        }
    }
}

impl TryFrom<v1::Auth> for Auth {
    type Error = Invalid;

    fn try_from(message: v1::Auth) -> Result<Self, Invalid> {
        use v1::auth::Scheme;
        Ok(match required(message.scheme, "scheme")? {
            Scheme::Bearer(()) => Self::Bearer,
            Scheme::Header(name) => Self::Header(header_name(&name, "header")?),
            Scheme::None(()) => Self::None,
        })
    }
}

impl From<&Header> for v1::Header {
    fn from(header: &Header) -> Self {
        use v1::header::Source;
        Self {
            name: header.name.to_string(),
            source: Some(match &header.source {
                HeaderSource::Literal(value) => Source::Literal(v1::HeaderLiteral {
                    value: value.as_bytes().to_vec(),
                }),
                HeaderSource::Keyring => Source::Secret(()),
            }),
        }
    }
}

impl TryFrom<v1::Header> for Header {
    type Error = Invalid;

    fn try_from(message: v1::Header) -> Result<Self, Invalid> {
        use v1::header::Source;
        Ok(Self {
            name: header_name(&message.name, "name")?,
            source: match required(message.source, "source")? {
                Source::Literal(literal) => {
                    let mut value = HeaderValue::try_from(literal.value)
                        .map_err(|_| Invalid::expected("literal.value", "a value that can be sent"))?;
                    // People write keys here too: what prints a snapshot must not print them.
                    value.set_sensitive(true);
                    HeaderSource::Literal(value)
                }
                Source::Secret(()) => HeaderSource::Keyring,
            },
        })
    }
}

impl From<&Tls> for v1::Tls {
    fn from(tls: &Tls) -> Self {
        Self {
            ca: text(tls.ca.as_ref()),
            server_name: text(tls.server_name.as_ref()),
        }
    }
}

impl From<v1::Tls> for Tls {
    fn from(message: v1::Tls) -> Self {
        Self {
            ca: message.ca.map(Into::into),
            server_name: message.server_name.map(Into::into),
        }
    }
}

impl From<&Model> for v1::Model {
    fn from(model: &Model) -> Self {
        Self {
            name: model.name.to_string(),
            upstream_name: text(model.upstream_name.as_ref()),
            max_input_tokens: model.max_input_tokens,
            max_output_tokens: model.max_output_tokens,
        }
    }
}

impl From<v1::Model> for Model {
    fn from(message: v1::Model) -> Self {
        Self {
            name: message.name.into(),
            upstream_name: message.upstream_name.map(Into::into),
            max_input_tokens: message.max_input_tokens,
            max_output_tokens: message.max_output_tokens,
        }
    }
}

impl From<Timeouts> for v1::Timeouts {
    fn from(timeouts: Timeouts) -> Self {
        Self {
            connect: Some(to_duration(timeouts.connect)),
            first_byte: Some(to_duration(timeouts.first_byte)),
            idle: Some(to_duration(timeouts.idle)),
            total: Some(to_duration(timeouts.total)),
        }
    }
}

impl TryFrom<v1::Timeouts> for Timeouts {
    type Error = Invalid;

    fn try_from(message: v1::Timeouts) -> Result<Self, Invalid> {
        Ok(Self {
            connect: duration(message.connect, "connect")?,
            first_byte: duration(message.first_byte, "first_byte")?,
            idle: duration(message.idle, "idle")?,
            total: duration(message.total, "total")?,
        })
    }
}

impl From<Breaker> for v1::Breaker {
    fn from(breaker: Breaker) -> Self {
        Self {
            consecutive_failures: breaker.consecutive_failures,
            open_for: Some(to_duration(breaker.open_for)),
        }
    }
}

impl TryFrom<v1::Breaker> for Breaker {
    type Error = Invalid;

    fn try_from(message: v1::Breaker) -> Result<Self, Invalid> {
        Ok(Self {
            consecutive_failures: message.consecutive_failures,
            open_for: duration(message.open_for, "open_for")?,
        })
    }
}

impl From<&ErrorRule> for v1::ErrorRule {
    fn from(rule: &ErrorRule) -> Self {
        Self {
            r#match: Some(v1::ErrorMatch {
                status: rule.matches.status.map(Into::into),
                code: rule.matches.code.clone(),
                body_contains: rule.matches.body_contains.clone(),
            }),
            fault: v1::Fault::from(rule.fault).into(),
            scope: v1::RestScope::from(rule.scope).into(),
            rest: rule.rest.map(Into::into),
        }
    }
}

impl TryFrom<v1::ErrorRule> for ErrorRule {
    type Error = Invalid;

    fn try_from(message: v1::ErrorRule) -> Result<Self, Invalid> {
        Ok(Self {
            matches: converted(message.r#match, "match")?,
            fault: known::<v1::Fault, _>(message.fault, "fault")?,
            scope: known::<v1::RestScope, _>(message.scope, "scope")?,
            rest: match message.rest {
                None => None,
                rest @ Some(_) => Some(converted(rest, "rest")?),
            },
        })
    }
}

impl TryFrom<v1::ErrorMatch> for ErrorMatch {
    type Error = Invalid;

    fn try_from(message: v1::ErrorMatch) -> Result<Self, Invalid> {
        let status = message.status;
        Ok(Self {
            status: status
                .map(|status| number(status, "status", "an HTTP status"))
                .transpose()?,
            code: message.code,
            body_contains: message.body_contains,
        })
    }
}

impl From<RestRule> for v1::RestRule {
    fn from(rule: RestRule) -> Self {
        Self {
            reason: v1::RestReason::from(rule.reason).into(),
            duration: rule.duration.map(to_duration),
        }
    }
}

impl TryFrom<v1::RestRule> for RestRule {
    type Error = Invalid;

    fn try_from(message: v1::RestRule) -> Result<Self, Invalid> {
        Ok(Self {
            reason: known::<v1::RestReason, _>(message.reason, "reason")?,
            duration: match message.duration {
                None => None,
                some => Some(duration(some, "duration")?),
            },
        })
    }
}

impl From<&Selection> for v1::Selection {
    fn from(selection: &Selection) -> Self {
        Self {
            strategy: v1::Strategy::from(selection.strategy).into(),
            max_wait: Some(to_duration(selection.max_wait)),
            affinity: Some((&selection.affinity).into()),
        }
    }
}

impl TryFrom<v1::Selection> for Selection {
    type Error = Invalid;

    fn try_from(message: v1::Selection) -> Result<Self, Invalid> {
        Ok(Self {
            strategy: known::<v1::Strategy, _>(message.strategy, "strategy")?,
            max_wait: duration(message.max_wait, "max_wait")?,
            affinity: converted(message.affinity, "affinity")?,
        })
    }
}

impl From<&Affinity> for v1::Affinity {
    fn from(affinity: &Affinity) -> Self {
        use v1::affinity::By;
        Self {
            by: Some(match &affinity.by {
                AffinityBy::None => By::None(()),
                AffinityBy::Session => By::Session(()),
                AffinityBy::User => By::User(()),
                AffinityBy::Header(name) => By::Header(name.to_string()),
                AffinityBy::Prefix => By::Prefix(()),
            }),
            ttl: Some(to_duration(affinity.ttl)),
        }
    }
}

impl TryFrom<v1::Affinity> for Affinity {
    type Error = Invalid;

    fn try_from(message: v1::Affinity) -> Result<Self, Invalid> {
        use v1::affinity::By;
        Ok(Self {
            by: match required(message.by, "by")? {
                By::None(()) => AffinityBy::None,
                By::Session(()) => AffinityBy::Session,
                By::User(()) => AffinityBy::User,
                By::Header(name) => AffinityBy::Header(header_name(&name, "header")?),
                By::Prefix(()) => AffinityBy::Prefix,
            },
            ttl: duration(message.ttl, "ttl")?,
        })
    }
}

impl From<&Azure> for v1::Azure {
    fn from(azure: &Azure) -> Self {
        Self {
            style: v1::AzureStyle::from(azure.style).into(),
            api_version: text(azure.api_version.as_ref()),
        }
    }
}

impl TryFrom<v1::Azure> for Azure {
    type Error = Invalid;

    fn try_from(message: v1::Azure) -> Result<Self, Invalid> {
        Ok(Self {
            style: known::<v1::AzureStyle, _>(message.style, "style")?,
            api_version: message.api_version.map(Into::into),
        })
    }
}
