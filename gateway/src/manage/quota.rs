//! What is used of quotas and budgets.

use std::collections::HashMap;

use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    Admin, body, json,
    views::{self, Known, RestView, WindowView, known, windows},
};
use crate::{body::ReplyBody, failure::Failure, server::RequestBody};

#[derive(Serialize)]
struct Quota {
    providers: Vec<ProviderQuota>,
    clients: Vec<ClientBudgets>,
}

#[derive(Serialize)]
struct ProviderQuota {
    name: String,
    credentials: Vec<CredentialQuota>,
}

#[derive(Serialize)]
struct CredentialQuota {
    name: String,
    suspended: bool,
    usable: bool,
    rests: Vec<RestView>,
    windows: Vec<WindowView>,
}

#[derive(Serialize)]
struct ClientBudgets {
    name: String,
    budgets: Vec<WindowView>,
}

/// Whose quota is to begin anew. Nobody named means everybody of the namespace.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    credential: Option<String>,
    client: Option<String>,
}

#[derive(Serialize)]
struct Done {
    reset: Reset,
}

/// Whose quota or budgets begin anew.
#[derive(Default, Serialize)]
struct Reset {
    credentials: Vec<String>,
    clients: Vec<String>,
}

/// Tells what is used, by Provider and credential, and by client key.
pub(super) async fn show(admin: &Admin<'_>) -> Result<Response<ReplyBody>, Failure> {
    let namespace = admin.namespace();
    let snapshot = &admin.live.snapshot;
    let mut providers = Vec::new();
    for name in snapshot
        .providers
        .keys()
        .filter(|name| name.namespace() == namespace)
    {
        let credential = |known: Known| CredentialQuota {
            name: known.credential.name.to_string(),
            suspended: known.credential.suspended,
            usable: known.is_usable(&admin.live),
            rests: known.rests(),
            windows: known.windows(),
        };
        let credentials = known(admin, name).await;
        providers.push(ProviderQuota {
            name: name.to_string(),
            credentials: credentials.into_iter().map(credential).collect(),
        });
    }
    let clients = budgets(admin)
        .await
        .into_iter()
        .map(|(name, budgets)| ClientBudgets { name, budgets })
        .collect();
    json(StatusCode::OK, &Quota { providers, clients })
}

/// The budgets of all client keys of the namespace, sorted by name.
pub(super) async fn budgets(admin: &Admin<'_>) -> Vec<(String, Vec<WindowView>)> {
    let namespace = admin.namespace();
    let clients: Vec<_> = admin
        .live
        .snapshot
        .clients
        .values()
        .filter(|client| client.name.namespace() == namespace)
        .collect();
    let asked: Vec<_> = clients
        .iter()
        .map(|client| (&client.name, &*client.budgets))
        .collect();
    let states = admin.app.pool.look_up_clients(&asked).await;
    let states: HashMap<_, _> = states.iter().map(|state| (&state.name, state)).collect();
    clients
        .into_iter()
        .map(|client| {
            let begun = states.get(&client.name).map_or(&[][..], |state| &state.budgets);
            (client.name.to_string(), windows(&client.budgets, begun))
        })
        .collect()
}

/// Begins quotas and budgets anew, and ends rests for lack of quota.
pub(super) async fn reset(admin: &Admin<'_>, body: RequestBody) -> Result<Response<ReplyBody>, Failure> {
    let whose: Whose = body::read(body).await?;
    let namespace = admin.namespace();
    let snapshot = &admin.live.snapshot;
    let is_everybody = whose.credential.is_none() && whose.client.is_none();
    // All that is named must exist before anything changes.
    let credentials = match &whose.credential {
        Some(name) => vec![views::credential(admin, name)?],
        None if is_everybody => {
            let all = snapshot.credentials.values();
            all.filter(|credential| credential.name.namespace() == namespace)
                .collect()
        }
        None => Vec::new(),
    };
    let clients = match &whose.client {
        Some(name) => vec![views::client(admin, name)?],
        None if is_everybody => {
            let all = snapshot.clients.values();
            all.filter(|client| client.name.namespace() == namespace)
                .collect()
        }
        None => Vec::new(),
    };
    let mut reset = Reset::default();
    for credential in credentials {
        admin.app.pool.reset_quota(&credential.provider, &credential.name);
        reset.credentials.push(credential.name.to_string());
    }
    for client in clients {
        admin.app.pool.reset_budgets(&client.name);
        reset.clients.push(client.name.to_string());
    }
    tracing::info!(
        by = %admin.caller.client.name,
        credentials = ?reset.credentials,
        clients = ?reset.clients,
        "quotas and budgets reset through the API"
    );
    json(StatusCode::OK, &Done { reset })
}
