//! What the gateway answers itself: models, probes, what runs here.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use dialect::{ModelEntry, Page, encode_model, encode_models};
use http::{HeaderValue, Response, header};

use super::{Inbound, authenticate::authenticate, paths::Asked, route};
use crate::{
    app::App,
    body::ReplyBody,
    failure::Failure,
    live::{Live, LiveClient},
};

/// Answers what needs no upstream.
pub(super) fn answer(
    app: &Arc<App>,
    inbound: &Inbound,
    asked: &Asked,
) -> Result<Response<ReplyBody>, Failure> {
    match asked {
        Asked::Hello => Ok(Response::new(ReplyBody::whole(Bytes::new()))),
        Asked::Health => Ok(json(Bytes::from_static(br#"{"status":"ok"}"#))),
        Asked::About => Ok(json(Bytes::from_static(ABOUT.as_bytes()))),
        Asked::Models { provider } => models(app, inbound, provider.as_deref(), None),
        Asked::Model { provider, id } => models(app, inbound, provider.as_deref(), Some(id)),
        // Calls are served by the flow, administrators by `manage`.
        Asked::Call(_) | Asked::Manage(_) => Err(Failure::internal()),
    }
}

const ABOUT: &str = concat!(
    r#"{"service":"roundhouse","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","api":"/v1"}"#
);

fn json(body: Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a listing says of a model.
struct Listed {
    owner: Arc<str>,
    max_input_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
}

fn models(
    app: &Arc<App>,
    inbound: &Inbound,
    provider: Option<&str>,
    id: Option<&String>,
) -> Result<Response<ReplyBody>, Failure> {
    let live = app.live();
    let caller = authenticate(app, &live, inbound)?;
    let listed = list(&live, &caller, provider)?;
    let entries: Vec<ModelEntry<'_>> = listed
        .iter()
        .map(|(name, model)| ModelEntry {
            id: name,
            owned_by: &model.owner,
            created: 0,
            max_input_tokens: model.max_input_tokens,
            max_output_tokens: model.max_output_tokens,
        })
        .collect();
    let Some(id) = id else {
        let page = Page::parse(inbound.query.as_deref().unwrap_or(""));
        return Ok(json(encode_models(inbound.dialect, &entries, &page)));
    };
    match entries.iter().find(|entry| entry.id == id) {
        Some(entry) => Ok(json(encode_model(inbound.dialect, entry))),
        None => Err(Failure::not_found("model_not_found", "this model is not served here").param("model")),
    }
}

/// The models that a caller may use, by name.
fn list(
    live: &Live,
    caller: &LiveClient,
    pinned: Option<&str>,
) -> Result<BTreeMap<Arc<str>, Listed>, Failure> {
    let namespace = caller.client.name.namespace();
    let pinned = route::pinned(live, namespace, pinned)?;
    let allowed = |name: &str| {
        let patterns = &caller.client.models;
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
    };
    let mut listed = BTreeMap::new();
    if let Some(provider) = pinned {
        for model in provider.models.iter().filter(|model| allowed(&model.name)) {
            let owner: Arc<str> = provider.name.name().into();
            let (max_input_tokens, max_output_tokens) = (model.max_input_tokens, model.max_output_tokens);
            listed.insert(
                model.name.clone(),
                Listed {
                    owner,
                    max_input_tokens,
                    max_output_tokens,
                },
            );
        }
        return Ok(listed);
    }
    for (name, served) in live
        .names
        .list(namespace)
        .into_iter()
        .filter(|(name, _)| allowed(name))
    {
        let model = served.targets.first().and_then(|target| {
            let provider = live.snapshot.providers.get(&target.provider)?;
            let upstream = target.model.as_deref().unwrap_or(&name);
            let model = provider.models.iter().find(|model| {
                *model.name == *name
                    || *model.name == *upstream
                    || model.upstream_name.as_deref() == Some(upstream)
            });
            Some((provider.name.name(), model))
        });
        let (owner, model) = model.unwrap_or(("roundhouse", None));
        listed.insert(
            name,
            Listed {
                owner: owner.into(),
                max_input_tokens: model.and_then(|model| model.max_input_tokens),
                max_output_tokens: model.and_then(|model| model.max_output_tokens),
            },
        );
    }
    Ok(listed)
}
