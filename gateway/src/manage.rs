//! What administrators ask over HTTP: credentials, quotas, statistics, client keys.
//!
//! An admin key sees and changes its own namespace only. Nothing here answers a secret, but for a client key that
//! was just minted, once.

mod body;
mod change;
mod credentials;
mod keys;
mod listings;
mod manifest;
mod quota;
mod stats;
mod views;

use std::sync::Arc;

use bytes::Bytes;
use dialect::FailureKind;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use snapshot::Secret;

pub(crate) use listings::Listings;

use crate::{
    app::App,
    arguments::AdminRoutes,
    body::ReplyBody,
    failure::Failure,
    flow::{Caller, Managed},
    live::Live,
    server::RequestBody,
};

/// A known administrator, and what it found when it came.
pub(crate) struct Admin<'a> {
    app: &'a Arc<App>,
    live: Arc<Live>,
    caller: Caller,
    /// Its key, where changes are asked for on its behalf.
    key: Option<Secret>,
}

impl<'a> Admin<'a> {
    /// Lets a caller in whose key is an admin's.
    pub(crate) fn enter(
        app: &'a Arc<App>,
        live: Arc<Live>,
        caller: Caller,
        key: Option<Secret>,
    ) -> Result<Self, Failure> {
        if caller.client.admin {
            return Ok(Self {
                app,
                live,
                caller,
                key,
            });
        }
        Err(Failure::caller(
            FailureKind::Permission,
            StatusCode::FORBIDDEN,
            "admin_key_required",
            "this route is for client keys with `admin: true`",
        ))
    }

    /// The only namespace that it sees and changes.
    fn namespace(&self) -> &str {
        self.caller.client.name.namespace()
    }
}

/// Answers an administrator.
pub(crate) async fn answer(
    admin: &Admin<'_>,
    asked: Managed,
    query: Option<&str>,
    body: RequestBody,
) -> Result<Response<ReplyBody>, Failure> {
    if asked.changes() && admin.app.settings.admin_routes != AdminRoutes::ReadWrite {
        return Err(Failure::caller(
            FailureKind::Permission,
            StatusCode::FORBIDDEN,
            "admin_routes_read_only",
            "nothing can be changed here; change the resources in the cluster, or enable it with `gateway.adminRoutes: \
             ReadWrite`",
        ));
    }
    match asked {
        Managed::Credentials(provider) => credentials::list(admin, &provider).await,
        Managed::AddCredential(provider) => credentials::add(admin, &provider, body).await,
        Managed::DeleteCredential(provider) => credentials::delete(admin, &provider, body).await,
        Managed::Quota => quota::show(admin).await,
        Managed::ResetQuota => quota::reset(admin, body).await,
        Managed::Stats => stats::show(admin, query).await,
        Managed::Keys => keys::list(admin).await,
        Managed::MintKey => keys::mint(admin, body).await,
    }
}

/// An answer that no cache may keep.
fn json(status: StatusCode, content: &impl Serialize) -> Result<Response<ReplyBody>, Failure> {
    let body = serde_json::to_vec(content).map_err(|error| {
        tracing::error!(%error, "an answer to an administrator cannot be written");
        Failure::internal()
    })?;
    let mut response = Response::new(ReplyBody::whole(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
