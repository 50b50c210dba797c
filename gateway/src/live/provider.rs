//! A Provider that can be called: its connections, keys and lanes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderName, HeaderValue};
use pool::{Lane, Member};
use snapshot::{Auth, Credential, CredentialName, HeaderSource, Keyring, Provider, Secret, Snapshot};

use crate::{
    metrics::{CredentialMeters, Metrics},
    upstream::{Permit, Upstream, UpstreamError, Upstreams},
};

/// A Provider that can be called.
pub(crate) struct LiveProvider {
    /// What administrators want of it.
    pub(crate) provider: Arc<Provider>,
    /// Its connections.
    pub(crate) upstream: Arc<Upstream>,
    /// The value of the `Host` header.
    pub(crate) host: HeaderValue,
    /// Headers added to every request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    credentials: BTreeMap<CredentialName, Arc<LiveCredential>>,
    eligible: Mutex<HashMap<LaneKey, Arc<Eligible>>>,
}

/// Who can serve an upstream model.
pub(crate) struct Eligible {
    /// The credentials, one lane for each priority, best first.
    pub(crate) lanes: Vec<Arc<Lane>>,
    /// The model with the Provider's namespace, by which usage is counted.
    pub(crate) model: Arc<str>,
}

/// What the members of a lane depend on.
#[derive(PartialEq, Eq, Hash)]
struct LaneKey {
    model: Arc<str>,
    selector: BTreeMap<String, String>,
}

/// A credential that can be presented.
pub(crate) struct LiveCredential {
    /// What administrators want of it.
    pub(crate) credential: Arc<Credential>,
    /// The header that presents it; `None` where the upstream wants no key.
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
    /// The key itself, to take it out of texts.
    pub(crate) secret: Option<Secret>,
    /// What was done with it.
    pub(crate) meters: CredentialMeters,
    /// What holds for as long as it is presented like this.
    pub(crate) standing: Arc<Standing>,
}

/// What holds for a credential as long as it is presented in the same way to the same upstream, however often the
/// state is prepared anew meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Whether attempts may still begin with it.
    pub(crate) permit: Permit,
    /// Whether an upstream has refused it since it last accepted it.
    rests: AtomicBool,
}

impl Standing {
    /// Notes that an upstream refuses it.
    pub(crate) fn refused(&self) {
        self.rests.store(true, Ordering::Relaxed);
    }

    /// Notes that an upstream accepts it, and tells whether that is news.
    pub(crate) fn accepted(&self) -> bool {
        self.rests.load(Ordering::Relaxed) && self.rests.swap(false, Ordering::Relaxed)
    }
}

/// A Provider that cannot be called.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("its host cannot be sent as a header")]
    Host,
    #[error("the value of its header {0} is missing or cannot be sent")]
    Header(HeaderName),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Lanes kept per Provider; callers can name any model where a route is a glob.
const LANES_MAX: usize = 1024;

impl LiveProvider {
    /// Prepares a Provider with its credentials.
    pub(super) fn new(
        provider: Arc<Provider>,
        snapshot: &Snapshot,
        keyring: &Keyring,
        upstreams: &Upstreams,
        metrics: &Metrics,
    ) -> Result<Self, ProviderError> {
        let host = HeaderValue::try_from(provider.endpoint.authority()).map_err(|_| ProviderError::Host)?;
        let mut headers = Vec::new();
        for header in &provider.headers {
            let value = match &header.source {
                HeaderSource::Literal(value) => Some(value.clone()),
                HeaderSource::Keyring => keyring
                    .headers
                    .get(&(provider.name.clone(), header.name.as_str().to_owned()))
                    .and_then(|secret| sensitive(b"", secret)),
            };
            headers.push((
                header.name.clone(),
                value.ok_or_else(|| ProviderError::Header(header.name.clone()))?,
            ));
        }
        let credentials = snapshot
            .credentials
            .values()
            .filter(|credential| credential.provider == provider.name && !credential.suspended)
            .filter_map(|credential| {
                let live = LiveCredential::new(credential.clone(), &provider.auth, keyring, metrics)?;
                Some((credential.name.clone(), Arc::new(live)))
            })
            .collect();
        let upstream = upstreams.client(&provider)?;
        Ok(Self {
            provider,
            upstream,
            host,
            headers,
            credentials,
            eligible: Mutex::default(),
        })
    }

    /// A credential of this Provider.
    pub(crate) fn credential(&self, name: &CredentialName) -> Option<&Arc<LiveCredential>> {
        self.credentials.get(name)
    }

    /// How many credentials it has.
    pub(crate) fn credentials(&self) -> usize {
        self.credentials.len()
    }

    /// Whether what is made for `other` may go to this one: it is the same place, and keys are shown alike.
    pub(crate) fn leads_to(&self, other: &Self) -> bool {
        let (now, then) = (&self.provider, &other.provider);
        (&now.name, &now.endpoint, &now.auth, &now.tls) == (&then.name, &then.endpoint, &then.auth, &then.tls)
    }

    /// Gives credentials that are presented as they were `before` the standing that they had.
    pub(super) fn keep_standing(&mut self, before: &Self) {
        if !self.leads_to(before) || self.headers != before.headers {
            return;
        }
        for (name, credential) in &mut self.credentials {
            if let Some(before) = before.credentials.get(name)
                && before.header == credential.header
                && let Some(credential) = Arc::get_mut(credential)
            {
                credential.standing = before.standing.clone();
            }
        }
    }

    /// Takes back the permits that no credential has `after` this.
    pub(super) fn revoke_permits(&self, after: Option<&Self>) {
        for (name, credential) in &self.credentials {
            let after = after.and_then(|after| after.credentials.get(name));
            if after.is_none_or(|after| !Arc::ptr_eq(&after.standing, &credential.standing)) {
                credential.standing.permit.revoke();
            }
        }
    }

    /// The credentials eligible for an upstream model.
    pub(crate) fn eligible(&self, model: &Arc<str>, selector: &BTreeMap<String, String>) -> Arc<Eligible> {
        let key = LaneKey {
            model: model.clone(),
            selector: selector.clone(),
        };
        let mut eligible = self.eligible.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = eligible.get(&key) {
            return known.clone();
        }
        let made = Arc::new(Eligible {
            lanes: self.lanes(model, selector),
            model: format!("{}/{model}", self.provider.name.namespace()).into(),
        });
        if eligible.len() < LANES_MAX {
            eligible.insert(key, made.clone());
        }
        made
    }

    fn lanes(&self, model: &str, selector: &BTreeMap<String, String>) -> Vec<Arc<Lane>> {
        let mut tiers: BTreeMap<u32, Vec<Member>> = BTreeMap::new();
        for live in self.credentials.values() {
            let credential = &live.credential;
            let selected = selector
                .iter()
                .all(|(key, value)| credential.labels.get(key) == Some(value));
            if selected && (model.is_empty() || credential.models.allows(model)) {
                tiers
                    .entry(credential.priority)
                    .or_default()
                    .push(member(credential));
            }
        }
        let strategy = self.provider.selection.strategy;
        let lane = |members| Arc::new(Lane::new(self.provider.name.clone(), model, strategy, members));
        tiers.into_values().map(lane).collect()
    }
}

/// A credential as the pool knows it.
pub(crate) fn member(credential: &Credential) -> Member {
    Member {
        credential: credential.name.clone(),
        weight: credential.weight,
        limits: credential.limits,
        quota: credential.quota.clone(),
    }
}

impl LiveCredential {
    /// `None` when its key is missing or cannot be sent in a header.
    fn new(credential: Arc<Credential>, auth: &Auth, keyring: &Keyring, metrics: &Metrics) -> Option<Self> {
        let held = keyring.credentials.get(&credential.name);
        let header = match auth {
            Auth::None => None,
            Auth::Bearer => Some((http::header::AUTHORIZATION, sensitive(b"Bearer ", &held?.secret)?)),
            Auth::Header(name) => Some((name.clone(), sensitive(b"", &held?.secret)?)),
        };
        Some(Self {
            header,
            secret: held.map(|held| held.secret.clone()),
            meters: metrics.credential(&credential.name),
            standing: Arc::default(),
            credential,
        })
    }
}

/// A header value that HTTP libraries neither print nor index.
fn sensitive(prefix: &[u8], secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(&[prefix, secret.expose()].concat()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
