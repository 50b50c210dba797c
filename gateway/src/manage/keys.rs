//! Client keys.

use std::sync::Arc;

use http::{Response, StatusCode};
use resources::{Identity, Kind};
use serde::{Deserialize, Serialize};
use snapshot::{CallLimits, Client, ClientName, Secret, Snapshot};

use super::{
    Admin, body, change, json,
    manifest::{SecretRef, with_secret},
    quota::budgets,
    views::{WindowView, source},
};
use crate::{
    app::App,
    body::ReplyBody,
    delegated::Issue,
    failure::Failure,
    server::RequestBody,
    source::Changes,
    state::mint_client_key,
    time::{instant, rfc3339},
};

#[derive(Serialize)]
struct Listing {
    keys: Vec<Entry>,
}

/// One client key, without the key.
#[derive(Serialize)]
struct Entry {
    name: String,
    admin: bool,
    /// The models that it may name; empty is all.
    models: Vec<String>,
    limits: Limits,
    budgets: Vec<WindowView>,
    expires_at: Option<String>,
    source: &'static str,
}

/// Limits per minute and at a time; `null` is none.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    concurrency: Option<u32>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u64>,
}

/// A client key to mint.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: Option<String>,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    models: Vec<String>,
    limits: Option<Limits>,
    expires_at: Option<String>,
}

/// The only answer that holds the key.
#[derive(Serialize)]
struct Minted<'a> {
    name: String,
    key: &'a str,
    admin: bool,
    models: Vec<String>,
    limits: Limits,
    expires_at: Option<String>,
}

/// The part of a `ClientKey`'s spec that is written here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    secret_ref: SecretRef,
    admin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Models<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<SpecLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<&'a str>,
}

#[derive(Serialize)]
struct Models<'a> {
    allow: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpecLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_minute: Option<u64>,
}

/// Lists the client keys of the namespace.
pub(super) async fn list(admin: &Admin<'_>) -> Result<Response<ReplyBody>, Failure> {
    let clients = admin.live.snapshot.clients.values();
    let ours = clients.filter(|client| client.name.namespace() == admin.namespace());
    let keys = ours
        .zip(budgets(admin).await)
        .map(|(client, (_, budgets))| Entry::new(admin, client, budgets))
        .collect();
    json(StatusCode::OK, &Listing { keys })
}

impl Entry {
    fn new(admin: &Admin<'_>, client: &Client, budgets: Vec<WindowView>) -> Self {
        Self {
            name: client.name.to_string(),
            admin: client.admin,
            models: models(client),
            limits: client.limits.into(),
            budgets,
            expires_at: client.expires_at.map(rfc3339),
            source: source(admin, Kind::ClientKey, &client.name),
        }
    }
}

fn models(client: &Client) -> Vec<String> {
    client.models.iter().map(ToString::to_string).collect()
}

/// Mints a client key, and answers as soon as it works.
pub(super) async fn mint(admin: &Admin<'_>, body: RequestBody) -> Result<Response<ReplyBody>, Failure> {
    let wanted: Wanted = body::read(body).await?;
    let identity = change::identity(admin, Kind::ClientKey, wanted.name.as_deref())?;
    not_over(admin.app, wanted.expires_at.as_deref())?;
    let name = ClientName::from(identity.name.clone());
    let mut minted = None;
    let is_served = |snapshot: &Arc<Snapshot>| {
        minted = snapshot.clients.get(&name).cloned();
        minted.is_some()
    };
    let key = match &admin.app.changes {
        Changes::Files(changes) => {
            let key = mint_client_key().map_err(|error| {
                tracing::error!(%error, "no random bits for a client key");
                Failure::internal()
            })?;
            let manifest = with_secret(&identity, &wanted.spec(&identity), &key)?;
            change::make(admin, changes, &identity, manifest, is_served).await?;
            key
        }
        Changes::Operator(operator) => {
            let issued = operator.issue_client_key(change::key(admin)?, wanted.issue(&identity)?);
            change::asked(admin, issued, is_served).await?
        }
    };
    let client = minted.ok_or_else(Failure::internal)?;
    json(StatusCode::CREATED, &Minted::new(&client, &key)?)
}

impl Wanted {
    /// The object to be made, in files.
    fn spec(&self, identity: &Identity) -> Spec<'_> {
        Spec {
            secret_ref: SecretRef::of(identity),
            admin: self.admin,
            models: (!self.models.is_empty()).then_some(Models { allow: &self.models }),
            limits: self.limits.map(SpecLimits::from),
            expires_at: self.expires_at.as_deref(),
        }
    }

    /// What is asked of an operator.
    fn issue(&self, identity: &Identity) -> Result<Issue, Failure> {
        let expires_at = self.expires_at.as_deref().map(|end| {
            end.parse().map_err(|_| {
                let message = "`expires_at` is a time such as 2027-01-31T00:00:00Z";
                Failure::invalid("invalid_expires_at", message).param("expires_at")
            })
        });
        Ok(Issue {
            name: identity.name.clone(),
            admin: self.admin,
            models: self.models.clone(),
            limits: self.limits.map(CallLimits::from),
            expires_at: expires_at.transpose()?,
        })
    }
}

/// A key that has expired already helps nobody. What is no time is told with the other mistakes.
fn not_over(app: &App, expires_at: Option<&str>) -> Result<(), Failure> {
    let end: Option<jiff::Timestamp> = expires_at.and_then(|end| end.parse().ok());
    if end.is_some_and(|end| end <= instant(app.clock.now())) {
        let message = "`expires_at` lies in the past";
        return Err(Failure::invalid("invalid_expires_at", message).param("expires_at"));
    }
    Ok(())
}

impl<'a> Minted<'a> {
    fn new(client: &Client, key: &'a Secret) -> Result<Self, Failure> {
        Ok(Self {
            name: client.name.to_string(),
            key: std::str::from_utf8(key.expose()).map_err(|_| Failure::internal())?,
            admin: client.admin,
            models: models(client),
            limits: client.limits.into(),
            expires_at: client.expires_at.map(rfc3339),
        })
    }
}

impl From<CallLimits> for Limits {
    fn from(limits: CallLimits) -> Self {
        Self {
            concurrency: limits.concurrency,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
        }
    }
}

impl From<Limits> for CallLimits {
    fn from(limits: Limits) -> Self {
        Self {
            concurrency: limits.concurrency,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
        }
    }
}

impl From<Limits> for SpecLimits {
    fn from(limits: Limits) -> Self {
        Self {
            concurrency: limits.concurrency,
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
        }
    }
}
