//! The desired state, prepared for requests: what a call looks up, already looked up.
//!
//! A [`Live`] is made once for each change of resources and never changes. A call takes one at its start
//! and uses it to its end; only the keys are read anew at each attempt.

mod names;
mod provider;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use resources::Identity;
use snapshot::{Client, ClientName, CredentialName, DigestKey, KeyDigest, ProviderName, Snapshot, Timestamp};

pub(crate) use names::{Names, Served, Unknown};
pub(crate) use provider::{Eligible, LiveCredential, LiveProvider, member};

use crate::{
    metrics::{ClientMeters, Metrics},
    source::Desired,
    upstream::Upstreams,
};

/// Everything that calls look up, at one moment.
pub(crate) struct Live {
    /// What administrators want.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Objects that were made through the API.
    pub(crate) made: Arc<BTreeSet<Identity>>,
    /// Model names and who serves them.
    pub(crate) names: Names,
    /// Providers that can be called.
    pub(crate) providers: HashMap<ProviderName, Arc<LiveProvider>>,
    /// Callers by the digest of their key.
    clients: HashMap<KeyDigest, Known>,
    /// Hashes the keys that callers present.
    digests: DigestKey,
    /// The caller without a key, where allowed.
    anonymous: Option<Arc<LiveClient>>,
}

/// The caller that a key stands for.
pub(crate) struct Known {
    /// Who it is.
    pub(crate) caller: Arc<LiveClient>,
    /// When the key stops working because another took its place.
    pub(crate) valid_until: Option<Timestamp>,
}

/// One caller with its counters.
pub(crate) struct LiveClient {
    /// Who it is and what it may do.
    pub(crate) client: Client,
    /// What it did.
    pub(crate) meters: ClientMeters,
}

impl Live {
    /// Prepares `desired`. What cannot be prepared is left out and logged: one bad object affects itself alone.
    /// Credentials that are presented as they were `before` keep their standing.
    pub(crate) fn new(
        desired: &Desired,
        before: Option<&Self>,
        upstreams: &Upstreams,
        metrics: &Metrics,
        allow_anonymous: bool,
    ) -> Self {
        let snapshot = desired.snapshot.clone();
        let mut providers = HashMap::new();
        for (name, provider) in &snapshot.providers {
            match LiveProvider::new(provider.clone(), &snapshot, &desired.keyring, upstreams, metrics) {
                Ok(mut provider) => {
                    if let Some(before) = before.and_then(|before| before.providers.get(name)) {
                        provider.keep_standing(before);
                    }
                    providers.insert(name.clone(), Arc::new(provider));
                }
                Err(error) => tracing::warn!(provider = %name, %error, "provider cannot be used"),
            }
        }
        let mut clients = HashMap::new();
        for client in snapshot.clients.values() {
            let live = Arc::new(LiveClient {
                meters: metrics.client(&client.name),
                client: (**client).clone(),
            });
            clients.extend(client.keys.iter().map(|key| {
                let known = Known {
                    caller: live.clone(),
                    valid_until: key.valid_until,
                };
                (key.digest, known)
            }));
        }
        let anonymous = allow_anonymous.then(|| Arc::new(anonymous(metrics)));
        Self {
            names: Names::new(&snapshot),
            made: desired.made.clone(),
            snapshot,
            providers,
            clients,
            digests: desired.digests.clone(),
            anonymous,
        }
    }

    /// Takes the permits back that do not hold `after` this any more. No attempt begins with a credential that has
    /// gone or is presented otherwise once this has returned.
    pub(crate) fn revoke_permits(&self, after: &Self) {
        for (name, provider) in &self.providers {
            provider.revoke_permits(after.providers.get(name).map(|after| &**after));
        }
    }

    /// Whether it is known what to serve. Before the first snapshot it is not.
    pub(crate) fn is_known(&self) -> bool {
        !self.snapshot.version.is_empty()
    }

    /// The caller that presents `key`.
    pub(crate) fn client(&self, key: &[u8]) -> Option<&Known> {
        self.clients.get(&self.digests.digest(key))
    }

    /// The caller without a key, where allowed.
    pub(crate) fn anonymous(&self) -> Option<&Arc<LiveClient>> {
        self.anonymous.as_ref()
    }

    /// A credential with its Provider, when both can be used.
    pub(crate) fn credential(
        &self,
        name: &CredentialName,
    ) -> Option<(&Arc<LiveProvider>, &Arc<LiveCredential>)> {
        let provider = self
            .providers
            .get(&self.snapshot.credentials.get(name)?.provider)?;
        Some((provider, provider.credential(name)?))
    }
}

/// The namespace in which callers without a key look names up.
const ANONYMOUS_NAMESPACE: &str = "default";

fn anonymous(metrics: &Metrics) -> LiveClient {
    #[expect(clippy::expect_used, reason = "both parts are constants without a slash")]
    let name = ClientName::new(ANONYMOUS_NAMESPACE, "anonymous").expect("a legal name");
    LiveClient {
        meters: metrics.client(&name),
        client: Client {
            name,
            keys: Vec::new(),
            admin: false,
            models: Vec::new(),
            limits: snapshot::CallLimits::default(),
            when_store_is_away: snapshot::WhenStoreIsAway::default(),
            budgets: Vec::new(),
            expires_at: None,
            debug_headers: false,
        },
    }
}
