//! Shapes that several answers share. Their members are a contract with clients.

use std::{collections::HashMap, sync::Arc};

use pool::{CredentialState, Resting, WindowState};
use resources::{Identity, Kind};
use serde::Serialize;
use snapshot::{ClientName, Credential, CredentialName, ObjectName, Provider, ProviderName, QuotaWindow};

use super::Admin;
use crate::{
    failure::Failure,
    live::{Live, member},
    source::Changes,
    time::rfc3339,
};

/// A rest of a credential.
#[derive(Serialize)]
pub(super) struct RestView {
    /// The upstream model that rests; absent when all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Arc<str>>,
    reason: &'static str,
    until: String,
}

/// What is used of a quota or budget in its present period.
#[derive(Serialize)]
pub(super) struct WindowView {
    name: Arc<str>,
    requests: u64,
    /// `null` is no limit.
    requests_limit: Option<u64>,
    tokens: u64,
    tokens_limit: Option<u64>,
    /// `null` before a period has begun.
    resets_at: Option<String>,
}

/// A credential with what the pool knows of it.
pub(super) struct Known {
    pub(super) credential: Arc<Credential>,
    /// `None` when it was never used.
    pub(super) state: Option<CredentialState>,
}

/// All credentials of a Provider, suspended ones too, sorted by name.
pub(super) async fn known(admin: &Admin<'_>, provider: &ProviderName) -> Vec<Known> {
    let credentials: Vec<&Arc<Credential>> = admin
        .live
        .snapshot
        .credentials
        .values()
        .filter(|credential| credential.provider == *provider)
        .collect();
    let members: Vec<_> = credentials.iter().map(|credential| member(credential)).collect();
    let states = admin.app.pool.look_up(provider, &members).await;
    let mut states: HashMap<_, _> = states
        .into_iter()
        .map(|state| (state.name.clone(), state))
        .collect();
    credentials
        .into_iter()
        .map(|credential| Known {
            credential: credential.clone(),
            state: states.remove(&credential.name),
        })
        .collect()
}

impl Known {
    /// Whether a call could use it now, as far as it is not merely full.
    pub(super) fn is_usable(&self, live: &Live) -> bool {
        let rests = self.state.as_ref().map_or(&[][..], |state| &state.rests);
        !self.credential.suspended
            && live.credential(&self.credential.name).is_some()
            && !rests.iter().any(|rest| rest.model.is_none())
            && !self.windows().iter().any(WindowView::is_used_up)
    }

    pub(super) fn rests(&self) -> Vec<RestView> {
        let rests = self.state.iter().flat_map(|state| &state.rests);
        rests.map(RestView::from).collect()
    }

    pub(super) fn windows(&self) -> Vec<WindowView> {
        let begun = self.state.as_ref().map_or(&[][..], |state| &state.windows);
        windows(&self.credential.quota, begun)
    }
}

/// The windows that are wanted, with what is used of those that have begun.
pub(super) fn windows(wanted: &[QuotaWindow], begun: &[WindowState]) -> Vec<WindowView> {
    wanted
        .iter()
        .map(|window| {
            let state = begun.iter().find(|state| state.name == window.name);
            WindowView {
                name: window.name.clone(),
                requests: state.map_or(0, |state| state.requests),
                requests_limit: window.requests,
                tokens: state.map_or(0, |state| state.tokens),
                tokens_limit: window.tokens,
                resets_at: state.map(|state| rfc3339(state.resets_at)),
            }
        })
        .collect()
}

impl WindowView {
    fn is_used_up(&self) -> bool {
        let reached = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
        reached(self.requests, self.requests_limit) || reached(self.tokens, self.tokens_limit)
    }
}

impl From<&Resting> for RestView {
    fn from(rest: &Resting) -> Self {
        Self {
            model: rest.model.clone(),
            reason: rest.reason.as_str(),
            until: rfc3339(rest.until),
        }
    }
}

/// Where a credential comes from.
pub(super) fn source_of_credential(admin: &Admin<'_>, credential: &Credential) -> &'static str {
    let (label, value) = MADE_BY;
    let is_made = credential.labels.get(label).is_some_and(|found| found == value);
    match admin.app.changes {
        Changes::Operator(_) if is_made => "api",
        Changes::Operator(_) | Changes::Files(_) => source(admin, Kind::Credential, &credential.name),
    }
}

/// Where an object comes from.
pub(super) fn source(admin: &Admin<'_>, kind: Kind, name: &ObjectName) -> &'static str {
    let identity = Identity {
        kind,
        name: name.clone(),
    };
    match admin.app.changes {
        Changes::Files(_) if admin.live.made.contains(&identity) => "api",
        Changes::Files(_) => "file",
        Changes::Operator(_) => "cluster",
    }
}

/// The label of what was made through the API of an operator, and its value.
const MADE_BY: (&str, &str) = ("roundhouse.dev/made-by", "api");

/// A Provider of the administrator's namespace.
pub(super) fn provider<'a>(admin: &'a Admin<'_>, name: &str) -> Result<&'a Arc<Provider>, Failure> {
    ProviderName::new(admin.namespace(), name)
        .ok()
        .and_then(|name| admin.live.snapshot.providers.get(&name))
        .ok_or_else(|| {
            let message = "this namespace has no Provider of that name";
            Failure::not_found("unknown_provider", message)
        })
}

/// A credential that an administrator names, with or without its namespace.
pub(super) fn credential<'a>(admin: &'a Admin<'_>, name: &str) -> Result<&'a Arc<Credential>, Failure> {
    named(admin, name)
        .and_then(|name| admin.live.snapshot.credentials.get(&CredentialName::from(name)))
        .ok_or_else(|| {
            let message = "this namespace has no Credential of that name";
            Failure::not_found("credential_not_found", message).param("credential")
        })
}

/// A client that an administrator names, with or without its namespace.
pub(super) fn client<'a>(admin: &'a Admin<'_>, name: &str) -> Result<&'a Arc<snapshot::Client>, Failure> {
    named(admin, name)
        .and_then(|name| admin.live.snapshot.clients.get(&ClientName::from(name)))
        .ok_or_else(|| {
            let message = "this namespace has no ClientKey of that name";
            Failure::not_found("client_not_found", message).param("client")
        })
}

/// What `name` or `namespace/name` stands for; `None` beyond the administrator's namespace.
fn named(admin: &Admin<'_>, name: &str) -> Option<ObjectName> {
    let namespace = admin.namespace();
    let bare = match name.split_once('/') {
        Some((given, bare)) if given == namespace => bare,
        Some(_) => return None,
        None => name,
    };
    ObjectName::new(namespace, bare).ok()
}
