//! Model names and who serves them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use snapshot::{
    Consumers, ModelPattern, Provider, ProviderName, Retry, Route, Snapshot, StreamPolicy, Target,
};

/// Looks model names up: a key's own namespace first, then what other namespaces offer to all.
#[derive(Default)]
pub(crate) struct Names {
    namespaces: HashMap<Arc<str>, Scope>,
    shared: Scope,
}

/// The names that one namespace, or all others, offer.
#[derive(Default)]
struct Scope {
    exact: HashMap<Arc<str>, Arc<Served>>,
    listed: BTreeMap<Arc<str>, Arc<Served>>,
    globs: Vec<(ModelPattern, Arc<Served>)>,
    providers: BTreeMap<Arc<str>, Arc<Provider>>,
}

/// Who serves a model name.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// The route's own namespace.
    pub(crate) namespace: Arc<str>,
    /// The value of the `route` label: the `ModelRoute`'s name or `provider/model`.
    pub(crate) label: Arc<str>,
    /// Both together, by which usage is counted.
    pub(crate) name: Arc<str>,
    /// The upstreams.
    pub(crate) targets: Vec<Target>,
    /// How often to try.
    pub(crate) retry: Retry,
    /// What moves on to the next priority.
    pub(crate) fallback_on: Vec<snapshot::FallbackOn>,
    /// How streams start.
    pub(crate) stream: StreamPolicy,
}

/// A model name that nothing serves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Names that the caller may have meant, best first.
    pub(crate) close: Vec<String>,
}

impl Names {
    /// Collects the names of all routes and Providers.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let mut names = Self::default();
        for route in snapshot.routes.values() {
            let served = Arc::new(Served::route(route));
            names.scopes(route.name.namespace(), route.consumers, |scope| {
                for pattern in &route.models {
                    if pattern.is_exact() {
                        scope
                            .exact
                            .entry(pattern.as_str().into())
                            .or_insert_with(|| served.clone());
                    } else {
                        scope.globs.push((pattern.clone(), served.clone()));
                    }
                }
            });
        }
        for provider in snapshot.providers.values() {
            names.scopes(provider.name.namespace(), provider.consumers, |scope| {
                scope
                    .providers
                    .entry(provider.name.name().into())
                    .or_insert_with(|| provider.clone());
                for model in &provider.models {
                    let target = target(&provider.name, model.upstream_name.clone());
                    let served = scope
                        .listed
                        .entry(model.name.clone())
                        .or_insert_with(|| Arc::new(Served::implicit(&provider.name, &model.name)));
                    Arc::make_mut(served).targets.push(target);
                }
            });
        }
        for scope in names.namespaces.values_mut().chain([&mut names.shared]) {
            scope
                .globs
                .sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.literal_prefix()));
        }
        names
    }

    fn scopes(&mut self, namespace: &str, consumers: Consumers, mut add: impl FnMut(&mut Scope)) {
        add(self.namespaces.entry(namespace.into()).or_default());
        if consumers == Consumers::All {
            add(&mut self.shared);
        }
    }

    /// Who serves `model` for a key of `namespace`.
    pub(crate) fn resolve(&self, namespace: &str, model: &str) -> Result<Arc<Served>, Unknown> {
        self.visible(namespace)
            .find_map(|scope| scope.resolve(model))
            .ok_or_else(|| self.unknown(namespace, model))
    }

    /// The Provider called `name`, for a key of `namespace`.
    pub(crate) fn provider(&self, namespace: &str, name: &str) -> Option<&Arc<Provider>> {
        self.visible(namespace)
            .find_map(|scope| scope.providers.get(name))
    }

    /// All Providers that a key of `namespace` may use.
    pub(crate) fn providers(&self, namespace: &str) -> Vec<&Arc<Provider>> {
        let mut all: Vec<_> = self
            .visible(namespace)
            .flat_map(|scope| scope.providers.values())
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        all
    }

    /// Whether a key of `namespace` may use a Provider, by itself or as a target of a route.
    pub(crate) fn reaches(&self, namespace: &str, provider: &ProviderName) -> bool {
        self.visible(namespace).any(|scope| {
            let routed = scope
                .exact
                .values()
                .chain(scope.globs.iter().map(|(_, served)| served));
            scope.providers.values().any(|visible| visible.name == *provider)
                || routed
                    .flat_map(|served| &served.targets)
                    .any(|target| target.provider == *provider)
        })
    }

    /// All model names that a key of `namespace` can list, with who serves them.
    pub(crate) fn list(&self, namespace: &str) -> BTreeMap<Arc<str>, Arc<Served>> {
        let mut all = BTreeMap::new();
        for scope in self.visible(namespace) {
            for (name, served) in scope.exact.iter().chain(&scope.listed) {
                all.entry(name.clone()).or_insert_with(|| served.clone());
            }
        }
        all
    }

    fn visible(&self, namespace: &str) -> impl Iterator<Item = &Scope> {
        self.namespaces.get(namespace).into_iter().chain([&self.shared])
    }

    fn unknown(&self, namespace: &str, model: &str) -> Unknown {
        let mut close: Vec<(f64, String)> = self
            .list(namespace)
            .keys()
            .map(|name| (strsim::jaro_winkler(name, model), name.to_string()))
            .filter(|(likeness, _)| *likeness > 0.75)
            .collect();
        close.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        Unknown {
            close: close.into_iter().take(3).map(|(_, name)| name).collect(),
        }
    }
}

impl Scope {
    fn resolve(&self, model: &str) -> Option<Arc<Served>> {
        if let Some(served) = self.exact.get(model).or_else(|| self.listed.get(model)) {
            return Some(served.clone());
        }
        if let Some((_, served)) = self.globs.iter().find(|(pattern, _)| pattern.matches(model)) {
            return Some(served.clone());
        }
        let (provider, model) = model.split_once('/')?;
        Some(Arc::new(Served::pinned(self.providers.get(provider)?, model)))
    }
}

impl Served {
    fn route(route: &Route) -> Self {
        Self {
            namespace: route.name.namespace().into(),
            label: route.name.name().into(),
            name: route.name.as_str().into(),
            targets: route.targets.clone(),
            retry: route.retry,
            fallback_on: route.fallback_on.clone(),
            stream: route.stream,
        }
    }

    /// The route that leads to one Provider only, under its own name for the model if it lists it.
    pub(crate) fn pinned(provider: &Provider, model: &str) -> Self {
        let listed = provider.models.iter().find(|listed| *listed.name == *model);
        let upstream = listed.and_then(|listed| listed.upstream_name.clone());
        // A name that only the caller knows is no label.
        let label = if listed.is_some() { model } else { "other" };
        let mut served = Self::implicit(&provider.name, label);
        served.targets.push(target(
            &provider.name,
            Some(upstream.unwrap_or_else(|| model.into())),
        ));
        served
    }

    /// The route that a Provider's own model name stands for, without its targets.
    fn implicit(provider: &ProviderName, model: &str) -> Self {
        Self {
            namespace: provider.namespace().into(),
            label: format!("{}/{model}", provider.name()).into(),
            name: format!("{provider}/{model}").into(),
            targets: Vec::new(),
            retry: Retry::default(),
            fallback_on: DEFAULT_FALLBACK.to_vec(),
            stream: StreamPolicy::default(),
        }
    }
}

/// What moves a call on where no route says otherwise.
const DEFAULT_FALLBACK: [snapshot::FallbackOn; 3] = [
    snapshot::FallbackOn::CredentialsExhausted,
    snapshot::FallbackOn::UpstreamFailed,
    snapshot::FallbackOn::Timeout,
];

/// A target with nothing but a Provider and perhaps a model.
fn target(provider: &ProviderName, model: Option<Arc<str>>) -> Target {
    Target {
        provider: provider.clone(),
        model,
        weight: 1,
        priority: 0,
        credential_selector: BTreeMap::default(),
    }
}
