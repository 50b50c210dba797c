//! The credentials of a Provider.

use std::{collections::HashMap, sync::Arc};

use dialect::FailureKind;
use http::{Response, StatusCode};
use pool::usage::Dimension;
use resources::{Identity, Kind};
use serde::{Deserialize, Serialize};
use snapshot::{Credential, CredentialName, Provider, Secret, Snapshot};

use super::{
    Admin, body, change, json,
    manifest::{SecretRef, with_secret},
    views::{self, Known, RestView, WindowView, known, source_of_credential},
};
use crate::{
    body::ReplyBody,
    failure::Failure,
    server::RequestBody,
    source::Changes,
    usage::{self, Counts, DAYS_MAX, usage},
};

/// The answer to a listing.
#[derive(Serialize)]
struct Listing {
    provider: String,
    credentials: Vec<Entry>,
}

/// One credential.
#[derive(Serialize)]
struct Entry {
    /// Its place in a listing, from 0; absent where nothing is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    name: String,
    provider: String,
    suspended: bool,
    usable: bool,
    in_flight: u32,
    rests: Vec<RestView>,
    windows: Vec<WindowView>,
    usage: EntryUsage,
    source: &'static str,
}

#[derive(Clone, Copy, Default, Serialize)]
struct EntryUsage {
    today: Counts,
    total: Counts,
}

/// A credential to add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    name: Option<String>,
    api_key: Option<String>,
    bearer_token: Option<String>,
    user_id: Option<String>,
}

/// A credential to delete, by its name or its place in the listing that the caller was given last.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    name: Option<String>,
    index: Option<usize>,
}

/// What was deleted.
#[derive(Serialize)]
struct Deleted {
    deleted: String,
}

/// The part of a Credential's spec that is written here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    provider_ref: ProviderRef<'a>,
    api_key: ApiKey,
}

#[derive(Serialize)]
struct ProviderRef<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiKey {
    secret_ref: SecretRef,
}

/// Lists the credentials of a Provider.
pub(super) async fn list(admin: &Admin<'_>, provider: &str) -> Result<Response<ReplyBody>, Failure> {
    let provider = views::provider(admin, provider)?;
    let known = known(admin, &provider.name).await;
    let names = known.iter().map(|known| known.credential.name.clone());
    admin
        .app
        .listings
        .remember(&admin.caller.client.name, &provider.name, names.collect());
    let listing = Listing {
        provider: provider.name.to_string(),
        credentials: entries(admin, provider, known).await,
    };
    json(StatusCode::OK, &listing)
}

async fn entries(admin: &Admin<'_>, provider: &Provider, known: Vec<Known>) -> Vec<Entry> {
    let usage = usage_by_name(admin).await;
    let entry = |(index, known): (usize, Known)| {
        let name = &known.credential.name;
        Entry {
            index: Some(index),
            name: name.to_string(),
            provider: provider.name.to_string(),
            suspended: known.credential.suspended,
            usable: known.is_usable(&admin.live),
            in_flight: known.state.as_ref().map_or(0, |state| state.in_flight),
            rests: known.rests(),
            windows: known.windows(),
            usage: usage.get(name.as_str()).copied().unwrap_or_default(),
            source: source_of_credential(admin, &known.credential),
        }
    };
    known.into_iter().enumerate().map(entry).collect()
}

async fn usage_by_name(admin: &Admin<'_>) -> HashMap<Arc<str>, EntryUsage> {
    let today = usage::today(admin.app);
    let mut by_name: HashMap<_, EntryUsage> = HashMap::new();
    for row in usage(admin.app, DAYS_MAX).await.rows {
        if row.dimension == Dimension::Credential {
            let usage = by_name.entry(row.name).or_default();
            let counts = Counts::from(&row.tally);
            usage.total.add(&counts);
            if row.day == today {
                usage.today.add(&counts);
            }
        }
    }
    by_name
}

/// Adds a credential, and answers as soon as it is served.
pub(super) async fn add(
    admin: &Admin<'_>,
    provider: &str,
    body: RequestBody,
) -> Result<Response<ReplyBody>, Failure> {
    let provider = views::provider(admin, provider)?;
    let addition: Addition = body::read(body).await?;
    let identity = change::identity(admin, Kind::Credential, addition.name.as_deref())?;
    let secret = addition.secret()?;
    let name = CredentialName::from(identity.name.clone());
    let is_served = |snapshot: &Arc<Snapshot>| snapshot.credentials.contains_key(&name);
    match &admin.app.changes {
        Changes::Files(changes) => {
            let spec = Spec {
                provider_ref: ProviderRef {
                    name: provider.name.name(),
                },
                api_key: ApiKey {
                    secret_ref: SecretRef::of(&identity),
                },
            };
            let manifest = with_secret(&identity, &spec, &secret)?;
            change::make(admin, changes, &identity, manifest, is_served).await?;
        }
        Changes::Operator(operator) => {
            let key = change::key(admin)?;
            let added = operator.add_credential(key, &provider.name, &name, &secret);
            change::asked(admin, added, is_served).await?;
        }
    }
    let admin = Admin {
        live: admin.app.live(),
        app: admin.app,
        caller: admin.caller.clone(),
        key: None,
    };
    let mut known = known(&admin, &provider.name).await;
    known.retain(|known| known.credential.name == name);
    // It may have been deleted again already.
    let added = entries(&admin, provider, known)
        .await
        .pop()
        .map(|added| Entry { index: None, ..added });
    json(StatusCode::CREATED, &added)
}

impl Addition {
    /// The one secret that it carries.
    fn secret(self) -> Result<Secret, Failure> {
        if self.user_id.is_some() {
            let message = "`user_id` is for Providers whose accounts have one, and this Provider's have none; leave \
                           it out";
            return Err(Failure::invalid("user_id_not_used", message).param("user_id"));
        }
        match (self.api_key, self.bearer_token) {
            (Some(secret), None) | (None, Some(secret)) => Ok(Secret::new(secret)),
            (None, None) | (Some(_), Some(_)) => Err(Failure::invalid(
                "invalid_request_body",
                "expected one of `api_key` and `bearer_token`",
            )),
        }
    }
}

/// Deletes a credential that was added here.
pub(super) async fn delete(
    admin: &Admin<'_>,
    provider: &str,
    body: RequestBody,
) -> Result<Response<ReplyBody>, Failure> {
    let provider = views::provider(admin, provider)?;
    let deletion: Deletion = body::read(body).await?;
    let name = deletion.credential(admin, provider)?.name.clone();
    let identity = Identity {
        kind: Kind::Credential,
        name: (*name).clone(),
    };
    let is_gone = |snapshot: &Arc<Snapshot>| !snapshot.credentials.contains_key(&name);
    match &admin.app.changes {
        Changes::Files(changes) => change::unmake(admin, changes, &identity, is_gone).await?,
        Changes::Operator(operator) => {
            let deleted = operator.delete_credential(change::key(admin)?, &name);
            change::asked(admin, deleted, is_gone).await?;
        }
    }
    let deleted = name.to_string();
    json(StatusCode::OK, &Deleted { deleted })
}

impl Deletion {
    /// The credential that is meant, of this Provider.
    fn credential<'a>(&self, admin: &'a Admin<'_>, provider: &Provider) -> Result<&'a Credential, Failure> {
        let not_found = |param: &'static str| {
            let message = "this Provider has no such credential; ask for the listing again";
            Failure::not_found("credential_not_found", message).param(param)
        };
        match (&self.name, self.index) {
            (Some(name), None) => views::credential(admin, name)
                .ok()
                .filter(|credential| credential.provider == provider.name)
                .map(|credential| &**credential)
                .ok_or_else(|| not_found("name")),
            (None, Some(index)) => {
                let listings = &admin.app.listings;
                let Some(listed) = listings.last(&admin.caller.client.name, &provider.name) else {
                    return Err(not_listed());
                };
                listed
                    .get(index)
                    .and_then(|name| admin.live.snapshot.credentials.get(name))
                    .filter(|credential| credential.provider == provider.name)
                    .map(|credential| &**credential)
                    .ok_or_else(|| not_found("index"))
            }
            (None, None) | (Some(_), Some(_)) => Err(Failure::invalid(
                "invalid_request_body",
                "expected one of `name` and `index`",
            )),
        }
    }
}

/// Without a listing a place is a guess, and another credential might go.
fn not_listed() -> Failure {
    Failure::caller(
        FailureKind::InvalidRequest,
        StatusCode::CONFLICT,
        "credentials_not_listed",
        "`index` is a place in the listing that you were given last, and this gateway has given you none; ask for the \
         listing first, or say the `name`",
    )
    .param("index")
}
