//! Where an upstream is: URLs as people paste them, taken apart and checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use snapshot::{Endpoint, Scheme};

use super::{Place, Verdict};
use crate::{
    Reason,
    condition::Refusal,
    kinds::{AzureUrlStyle, Dialect, ProviderSpec, Service, ServiceScheme},
    manifest::first_reference,
};

/// An endpoint, and the `api-version` of an Azure URL that had one.
pub(super) struct Address {
    pub(super) endpoint: Endpoint,
    pub(super) api_version: Option<String>,
}

pub(super) fn compile(namespace: &str, spec: &ProviderSpec, place: Place) -> Result<Address, Verdict> {
    let mut address = match (&spec.url, &spec.service) {
        (Some(url), None) => from_url(url, spec.azure.is_some(), place)?,
        (None, Some(service)) => from_service(namespace, service, spec.dialect, spec.azure.is_some()),
        _ => return Err(refuse(Reason::InvalidSpec, "set exactly one of url and service")),
    };
    let mut path = address.endpoint.path.trim_end_matches('/').to_owned();
    if let Some(azure) = &spec.azure {
        path = azure_path(&path, azure.style);
    }
    address.endpoint.path = path.into();
    Ok(address)
}

fn refuse(reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict::refused(Refusal::new(reason, message))
}

fn from_service(namespace: &str, service: &Service, dialect: Dialect, azure: bool) -> Address {
    let default_path = match dialect {
        Dialect::OpenAI if !azure => "/v1",
        Dialect::OpenAI | Dialect::Anthropic => "",
    };
    Address {
        endpoint: Endpoint {
            scheme: match service.scheme {
                ServiceScheme::Http => Scheme::Http,
                ServiceScheme::Https => Scheme::Https,
            },
            host: format!("{}.{namespace}.svc", service.name).into(),
            port: service.port,
            path: service.path.as_deref().unwrap_or(default_path).into(),
            service: true,
        },
        api_version: None,
    }
}

fn from_url(url: &str, azure: bool, place: Place) -> Result<Address, Verdict> {
    if let Some(reference) = first_reference(url) {
        let what = match place {
            Place::Standalone => "has no value here: set it, or give it a default as in ${NAME:-default}",
            Place::Cluster { .. } => "is only expanded in files: write the address itself",
        };
        let message = format!("spec.url: {reference} {what}");
        return Err(Verdict::unresolved(Refusal::new(
            Reason::UnexpandedVariable,
            message,
        )));
    }
    // No message repeats the URL: people put keys into them.
    let invalid = |what: &str| refuse(Reason::InvalidSpec, format!("spec.url: {what}"));
    let uri: Uri = url
        .trim()
        .parse()
        .map_err(|_| invalid("expected an address such as https://api.example.com/v1"))?;
    let scheme = match uri.scheme_str() {
        Some("https") => Scheme::Https,
        Some("http") => Scheme::Http,
        _ => return Err(invalid("must begin with https:// or http://")),
    };
    let authority = uri.authority().ok_or_else(|| invalid("has no host"))?;
    if authority.as_str().contains('@') {
        return Err(invalid(
            "must hold no user or password; a key goes into a Credential",
        ));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(invalid("has no host"));
    }
    let port = match (authority.port(), scheme) {
        (Some(port), _) => port.as_u16(),
        (None, Scheme::Https) => 443,
        (None, Scheme::Http) => 80,
    };
    // A port out of range reads as none.
    let says_port = authority.as_str().len() > authority.host().len();
    if port == 0 || (authority.port().is_none() && says_port) {
        return Err(invalid("has no valid port"));
    }
    let api_version = match uri.query() {
        None => None,
        Some(query) if azure => query
            .split('&')
            .find_map(|pair| pair.strip_prefix("api-version="))
            .map(str::to_owned),
        Some(_) => return Err(invalid("must hold no query")),
    };
    check_host(&host.to_ascii_lowercase(), scheme, place)?;
    Ok(Address {
        endpoint: Endpoint {
            scheme,
            host: host.to_ascii_lowercase().into(),
            port,
            path: uri.path().into(),
            service: false,
        },
        api_version,
    })
}

/// Takes `/openai` and what follows it off a pasted path, and puts the root of the style in its place.
fn azure_path(path: &str, style: AzureUrlStyle) -> String {
    let end = path
        .match_indices("/openai")
        .find(|(at, found)| matches!(path.as_bytes().get(at + found.len()), None | Some(b'/')))
        .map_or(path.len(), |(at, _)| at);
    let root = match style {
        AzureUrlStyle::V1 => "/openai/v1",
        AzureUrlStyle::Deployments => "/openai",
    };
    format!("{}{root}", path[..end].trim_end_matches('/'))
}

/// How far away an address is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Forbidden,
    Loopback,
    Private,
    Public,
    /// A name: what it stands for is checked when it is resolved.
    Unknown,
}

fn check_host(host: &str, scheme: Scheme, place: Place) -> Result<(), Verdict> {
    let forbidden = |what: &str| refuse(Reason::AddressForbidden, format!("spec.url: {what}"));
    match (reach(host), place) {
        (Reach::Forbidden, _) => {
            return Err(forbidden(
                "link-local, unspecified and multicast addresses are never allowed",
            ));
        }
        (Reach::Loopback, Place::Cluster { .. }) => {
            return Err(forbidden("loopback addresses are not allowed in a cluster"));
        }
        (Reach::Private, Place::Cluster { allow_private: false }) => {
            return Err(forbidden(
                "private addresses need `service` instead of `url`, or the installation's upstreams.allowPrivate",
            ));
        }
        _ => {}
    }
    let plain_allowed = match (reach(host), place) {
        // A name may be private; one that turns out to be public is refused when it is resolved.
        (Reach::Loopback | Reach::Private, _) | (Reach::Unknown, Place::Standalone) => true,
        (_, Place::Cluster { allow_private }) => allow_private,
        (_, Place::Standalone) => false,
    };
    if scheme == Scheme::Http && !plain_allowed {
        return Err(forbidden(match place {
            Place::Standalone => {
                "plain http to a public address would show the key to everybody on the way; use https"
            }
            Place::Cluster { .. } => {
                "plain http needs `service` instead of `url`, or the installation's upstreams.allowPrivate"
            }
        }));
    }
    Ok(())
}

fn reach(host: &str) -> Reach {
    if host == "localhost" || host.ends_with(".localhost") {
        return Reach::Loopback;
    }
    match host.parse::<IpAddr>() {
        Err(_) => Reach::Unknown,
        Ok(IpAddr::V4(address)) => reach_v4(address),
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => reach_v4(address),
            None => reach_v6(address),
        },
    }
}

const fn reach_v4(address: Ipv4Addr) -> Reach {
    let [first, second, ..] = address.octets();
    if address.is_link_local() || first == 0 || address.is_multicast() || address.is_broadcast() {
        Reach::Forbidden
    } else if address.is_loopback() {
        Reach::Loopback
    } else if address.is_private() || (first == 100 && second >= 64 && second < 128) {
        Reach::Private
    } else {
        Reach::Public
    }
}

const fn reach_v6(address: Ipv6Addr) -> Reach {
    if address.is_unicast_link_local() || address.is_unspecified() || address.is_multicast() {
        Reach::Forbidden
    } else if address.is_loopback() {
        Reach::Loopback
    } else if address.is_unique_local() {
        Reach::Private
    } else {
        Reach::Public
    }
}
