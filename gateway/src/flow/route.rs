//! Call + snapshot → plan: which upstreams to try, in which order.

use std::sync::Arc;

use dialect::{Dialect, FailureKind, Operation, Passthrough};
use http::StatusCode;
use pool::{Holder, ObjectId, StoreAway};
use smallvec::SmallVec;
use snapshot::{ClientName, CredentialName, FallbackOn, ModelPattern, Provider, ProviderName};

use super::{affinity::affinity, authenticate::Caller, peek::Call};
use crate::{
    app::App,
    failure::Failure,
    live::{Eligible, Live, LiveProvider, Served, Unknown},
};

/// Which upstreams to try, best first.
pub(crate) struct Plan {
    /// The route.
    pub(crate) served: Arc<Served>,
    /// The upstreams, by priority and within it by a weighted draw. Never empty.
    pub(crate) hops: SmallVec<[Hop; 1]>,
}

/// One upstream to try.
pub(crate) struct Hop {
    pub(crate) client: ClientName,
    pub(crate) provider: Arc<LiveProvider>,
    /// The model's name there.
    pub(crate) model: Arc<str>,
    pub(crate) priority: u32,
    /// Its credentials.
    pub(crate) eligible: Arc<Eligible>,
    /// The only credential that can serve: it holds what the call names.
    pub(crate) pinned: Option<CredentialName>,
    /// What the call names, where only the shared store may know who holds it.
    pub(crate) object: Option<ObjectId>,
    /// Identifies the conversation.
    pub(crate) affinity: Option<u64>,
}

impl Plan {
    /// Whether `reason` moves the call on to the next priority.
    pub(crate) fn falls_back(&self, reason: FallbackOn) -> bool {
        self.served.fallback_on.contains(&reason)
    }
}

/// How a call that names stored objects finds their holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// With the pick, where the call's model says which Provider to ask.
    WithPick,
    /// Before everything else.
    First,
}

/// Finds the upstreams for a call.
pub(super) async fn route(
    app: &App,
    live: &Live,
    caller: &Caller,
    call: &Call,
    asking: Asking,
) -> Result<Plan, Failure> {
    if let Some(model) = &call.model {
        allowed(&caller.client.models, model)?;
    }
    if asking == Asking::WithPick
        && let (Some(model), [id]) = (&call.model, call.object_ids.as_slice())
        && app.pool.holder(ObjectId::new(id)) == Holder::Elsewhere
        && let Ok(served) = named(live, caller, call, model)
    {
        let mut hops = hops(live, caller, call, &served, None);
        hops.truncate(1);
        if let Some(hop) = hops.first_mut() {
            hop.object = Some(ObjectId::new(id));
            return Ok(Plan { served, hops });
        }
    }
    let holder = holder(app, live, caller, call).await?;
    let served = match (&holder, &call.model) {
        (Some((provider, _)), Some(model)) => held(named(live, caller, call, model), provider, model),
        (Some((provider, _)), None) => Arc::new(Served::pinned(&provider.provider, "")),
        (None, Some(model)) => named(live, caller, call, model)?,
        (None, None) => unnamed(live, caller, call)?,
    };
    let pinned = holder.map(|(_, credential)| credential);
    let hops = hops(live, caller, call, &served, pinned.as_ref());
    if hops.is_empty() {
        return Err(unserved(call));
    }
    Ok(Plan { served, hops })
}

/// The route to the holder of what a call names: the model's own, without its other targets.
fn held(named: Result<Arc<Served>, Failure>, holder: &LiveProvider, model: &str) -> Arc<Served> {
    let provider = &holder.provider;
    match named {
        Ok(served)
            if served
                .targets
                .iter()
                .any(|target| target.provider == provider.name) =>
        {
            let mut served = (*served).clone();
            served.targets.retain(|target| target.provider == provider.name);
            Arc::new(served)
        }
        Ok(_) | Err(_) => Arc::new(Served::pinned(provider, model)),
    }
}

fn allowed(patterns: &[ModelPattern], model: &str) -> Result<(), Failure> {
    if patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(model)) {
        return Ok(());
    }
    Err(Failure::caller(
        FailureKind::Permission,
        StatusCode::FORBIDDEN,
        "model_not_allowed",
        format!("this key may not use the model `{}`", shown(model)),
    )
    .param("model"))
}

/// The credential that holds the stored objects which a call names, with its Provider.
async fn holder(
    app: &App,
    live: &Live,
    caller: &Caller,
    call: &Call,
) -> Result<Option<(Arc<LiveProvider>, CredentialName)>, Failure> {
    let mut found: Option<(Arc<LiveProvider>, CredentialName)> = None;
    for id in &call.object_ids {
        let missing = || Failure::not_found("object_not_found", format!("`{}` is not known here", shown(id)));
        let known = app.pool.recall(ObjectId::new(id)).await;
        let name = known.map_err(|StoreAway| away(id))?.ok_or_else(missing)?;
        let (provider, _) = live.credential(&name).ok_or_else(missing)?;
        // An id is no permission: the caller must be able to reach the Provider in its own right.
        if !reachable(live, caller, call, &provider.provider.name) {
            return Err(missing());
        }
        if found.as_ref().is_some_and(|(_, held_by)| *held_by != name) {
            return Err(Failure::invalid(
                "objects_apart",
                "the stored objects that this request names are held by different accounts",
            ));
        }
        found = Some((provider.clone(), name));
    }
    Ok(found)
}

/// Nobody can say who holds an object. That is no proof that it does not exist.
fn away(id: &str) -> Failure {
    let message = format!("who holds `{}` cannot be looked up at the moment", shown(id));
    Failure::overloaded("objects_unavailable", message)
}

/// Whether the caller may use a Provider, by itself or through a route, and the path allows it.
fn reachable(live: &Live, caller: &Caller, call: &Call, provider: &ProviderName) -> bool {
    let namespace = caller.client.name.namespace();
    let pinned = call
        .path
        .provider
        .as_deref()
        .and_then(|name| live.names.provider(namespace, name));
    match (pinned, call.path.provider.as_deref()) {
        (Some(pinned), _) => pinned.name == *provider,
        (None, None | Some("openai")) => live.names.reaches(namespace, provider),
        (None, Some(_)) => false,
    }
}

/// Who serves a named model.
fn named(live: &Live, caller: &Caller, call: &Call, model: &str) -> Result<Arc<Served>, Failure> {
    let namespace = caller.client.name.namespace();
    match pinned(live, namespace, call.path.provider.as_deref())? {
        Some(provider) => Ok(Arc::new(Served::pinned(provider, model))),
        None => live
            .names
            .resolve(namespace, model)
            .map_err(|unknown| unknown_model(model, &unknown)),
    }
}

/// The Provider that the path pins.
pub(super) fn pinned<'a>(
    live: &'a Live,
    namespace: &str,
    provider: Option<&str>,
) -> Result<Option<&'a Arc<Provider>>, Failure> {
    let Some(name) = provider else {
        return Ok(None);
    };
    match live.names.provider(namespace, name) {
        Some(provider) => Ok(Some(provider)),
        // `/openai/v1/…` is what Azure's SDKs call, whether or not a Provider has that name.
        None if name == "openai" => Ok(None),
        None => Err(Failure::not_found(
            "unknown_provider",
            format!("there is no provider `{}`", shown(name)),
        )),
    }
}

/// Who serves a call that names no model: the only Provider there is for it.
fn unnamed(live: &Live, caller: &Caller, call: &Call) -> Result<Arc<Served>, Failure> {
    let namespace = caller.client.name.namespace();
    if needs_model(call.operation) {
        return Err(Failure::invalid("missing_model", "the request names no `model`").param("model"));
    }
    if let Some(provider) = pinned(live, namespace, call.path.provider.as_deref())? {
        return Ok(Arc::new(Served::pinned(provider, "")));
    }
    let fitting: Vec<_> = live
        .names
        .providers(namespace)
        .into_iter()
        .filter(|known| {
            live.providers
                .get(&known.name)
                .is_some_and(|provider| serves(provider, call.operation))
        })
        .collect();
    match fitting.as_slice() {
        [] => Err(unserved(call)),
        [provider] => Ok(Arc::new(Served::pinned(provider, ""))),
        several => {
            let names: Vec<_> = several
                .iter()
                .map(|provider| format!("/{}/v1", provider.name.name()))
                .collect();
            Err(Failure::invalid(
                "ambiguous_provider",
                format!(
                    "several providers could serve this; name one in the path: {}",
                    names.join(", ")
                ),
            ))
        }
    }
}

fn needs_model(operation: Operation) -> bool {
    !matches!(
        operation,
        Operation::StoredResponse
            | Operation::Passthrough(
                Passthrough::Files
                    | Passthrough::Uploads
                    | Passthrough::Batches
                    | Passthrough::VectorStores
                    | Passthrough::Moderations
            )
    )
}

/// Whether a Provider speaks what the call needs.
fn serves(provider: &LiveProvider, operation: Operation) -> bool {
    match operation.api() {
        Some(api) => provider.provider.apis.contains(&api),
        None => provider.provider.dialect == operation.dialect(),
    }
}

/// The targets that can serve, by priority and within it by a weighted draw.
fn hops(
    live: &Live,
    caller: &Caller,
    call: &Call,
    served: &Served,
    pinned: Option<&CredentialName>,
) -> SmallVec<[Hop; 1]> {
    let written = call.model.as_deref().unwrap_or("");
    let mut drawn: SmallVec<[(f64, Hop); 1]> = served
        .targets
        .iter()
        .filter_map(|target| {
            let provider = live
                .providers
                .get(&target.provider)
                .filter(|provider| serves(provider, call.operation))?;
            let model = target.model.clone().unwrap_or_else(|| written.into());
            let draw = if served.targets.len() > 1 {
                draw(target.weight)
            } else {
                0.0
            };
            let hop = Hop {
                client: caller.client.name.clone(),
                provider: provider.clone(),
                priority: target.priority,
                eligible: provider.eligible(&model, &target.credential_selector),
                pinned: pinned.cloned(),
                object: None,
                affinity: affinity(caller, call, provider),
                model,
            };
            Some((draw, hop))
        })
        .collect();
    drawn.sort_by(|a, b| a.1.priority.cmp(&b.1.priority).then_with(|| a.0.total_cmp(&b.0)));
    drawn.into_iter().map(|(_, hop)| hop).collect()
}

/// A draw such that the smallest of several is each one's with a chance in proportion to its weight.
fn draw(weight: u32) -> f64 {
    let chance: f64 = rand::random::<f64>().max(f64::MIN_POSITIVE);
    -chance.ln() / f64::from(weight.max(1))
}

fn unknown_model(model: &str, unknown: &Unknown) -> Failure {
    let mut message = format!("the model `{}` is not served here", shown(model));
    if !unknown.close.is_empty() {
        let close: Vec<_> = unknown.close.iter().map(|name| format!("`{name}`")).collect();
        message.push_str("; did you mean ");
        message.push_str(&close.join(" or "));
        message.push('?');
    }
    Failure::not_found("model_not_found", message).param("model")
}

fn unserved(call: &Call) -> Failure {
    let what = match call.operation.dialect() {
        Dialect::OpenAi => call
            .operation
            .api()
            .map_or("this operation", dialect::Api::as_str),
        Dialect::Anthropic => "Messages",
    };
    let message = match &call.model {
        Some(model) => format!("no provider of the model `{}` serves {what}", shown(model)),
        None => format!("no provider serves {what}"),
    };
    Failure::invalid("operation_not_served", message)
}

/// A caller's text, short enough to repeat.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(128).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
