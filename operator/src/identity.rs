//! Who calls: tokens of Kubernetes, reviewed by the API server for one audience.
//!
//! What the API server accepts is remembered for some seconds, what it refuses for one, under a hash of the token. That
//! the API server cannot be asked is not the caller's fault and says so.

mod claims;
mod remembered;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use kube::{Client, Resource, api::PostParams};
use pool::Clock;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use snapshot::{Secret, Timestamp};
use tokio::{sync::Semaphore, time::timeout};
use tonic::{Code, Status, metadata::MetadataMap};

use self::{
    claims::expiry,
    remembered::{Remembered, Verdict},
};

/// How long one review may take, waiting for its turn included.
const REVIEW: Duration = Duration::from_secs(5);

/// Reviews at a time.
const REVIEWS_MAX: usize = 8;

/// How long a token may be, in bytes.
const TOKEN_MAX: usize = 16 << 10;

/// Who calls, as the API server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the user.
    pub user: String,
    /// What tells it from an earlier user of this name.
    pub uid: String,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// What else the API server knows.
    pub extra: BTreeMap<String, Vec<String>>,
    /// When the token ends; `None` for one that does not say.
    pub expires: Option<Timestamp>,
}

/// The account of a program in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceAccount<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Why it is not known who calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// There is no `authorization` of the form `Bearer …`.
    #[error("there is no bearer token")]
    NoToken,
    /// The API server does not accept the token, or not for this audience.
    #[error("the token is not accepted for the audience {audience}")]
    NotAccepted {
        /// The audience.
        audience: &'static str,
    },
    /// The API server cannot be asked at the moment.
    #[error("tokens cannot be reviewed at the moment: {0}")]
    Unavailable(&'static str),
}

impl Unidentified {
    /// One word of a closed set, for logs and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::NotAccepted { .. } => "token_not_accepted",
            Self::Unavailable(_) => "review_unavailable",
        }
    }
}

impl From<&Unidentified> for Status {
    fn from(error: &Unidentified) -> Self {
        let code = match error {
            Unidentified::NoToken | Unidentified::NotAccepted { .. } => Code::Unauthenticated,
            Unidentified::Unavailable(_) => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl Identity {
    /// The account, when it is one of a program in the cluster.
    pub fn service_account(&self) -> Option<ServiceAccount<'_>> {
        let (namespace, name) = self
            .user
            .strip_prefix("system:serviceaccount:")?
            .split_once(':')?;
        Some(ServiceAccount { namespace, name })
    }

    /// The name of the pod that the token was given to.
    pub fn pod(&self) -> Option<&str> {
        self.first("authentication.kubernetes.io/pod-name")
    }

    /// What tells the pod from an earlier one of this name.
    pub fn pod_uid(&self) -> Option<&str> {
        self.first("authentication.kubernetes.io/pod-uid")
    }

    fn first(&self, key: &str) -> Option<&str> {
        self.extra.get(key)?.first().map(String::as_str)
    }
}

/// Asks the API server who calls. Cheap to clone.
#[derive(Clone)]
pub struct Reviewer(Arc<Shared>);

struct Shared {
    client: Client,
    audience: &'static str,
    clock: Arc<dyn Clock>,
    turns: Semaphore,
    remembered: Remembered,
    /// Whether the last review failed.
    is_away: AtomicBool,
}

impl Reviewer {
    /// Takes only tokens for `audience`.
    pub fn new(client: Client, audience: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            client,
            audience,
            clock,
            turns: Semaphore::new(REVIEWS_MAX),
            remembered: Remembered::default(),
            is_away: AtomicBool::new(false),
        }))
    }

    /// Who sent this. Cancel safe.
    pub async fn identify(&self, metadata: &MetadataMap) -> Result<Arc<Identity>, Unidentified> {
        let token = bearer(metadata).ok_or(Unidentified::NoToken)?;
        let key: [u8; 32] = Sha256::digest(token.expose()).into();
        if let Some(known) = self.remembered(&key) {
            return known;
        }
        timeout(REVIEW, self.review(&key, &token))
            .await
            .unwrap_or_else(|_| {
                self.away(&format_args!("no answer within {REVIEW:?}"));
                Err(Unidentified::Unavailable("the API server does not answer"))
            })
    }

    async fn review(&self, key: &[u8; 32], token: &Secret) -> Result<Arc<Identity>, Unidentified> {
        let Ok(_turn) = self.0.turns.acquire().await else {
            return Err(Unidentified::Unavailable("the process ends"));
        };
        // Another call with the same token may have been first.
        if let Some(known) = self.remembered(key) {
            return known;
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.0.audience.to_owned()]),
                token: Some(String::from_utf8_lossy(token.expose()).into_owned()),
            },
            ..TokenReview::default()
        };
        let status = match self.ask(&review).await {
            Ok(status) => status,
            Err(error) => {
                self.away(&error);
                return Err(Unidentified::Unavailable("the API server refuses or is away"));
            }
        };
        if self.0.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!(audience = self.0.audience, "tokens are reviewed again");
        }
        let verdict = self
            .accepted(status, token)
            .map_or(Verdict::Refused, |identity| Verdict::Accepted(Arc::new(identity)));
        let now = self.0.clock.now();
        self.0.remembered.insert(*key, verdict.clone(), now);
        self.conclude(verdict)
    }

    /// The answer is read as text and decoded here: the client would log a whole answer that it cannot decode, and the
    /// token is in it.
    async fn ask(&self, review: &TokenReview) -> kube::Result<TokenReviewStatus> {
        #[derive(Deserialize)]
        struct Reviewed {
            status: TokenReviewStatus,
        }
        let body = serde_json::to_vec(review).map_err(kube::Error::SerdeError)?;
        let request = kube::core::Request::new(TokenReview::url_path(&(), None))
            .create(&PostParams::default(), body)
            .map_err(kube::Error::BuildRequest)?;
        let text = self.0.client.request_text(request).await?;
        let reviewed: Reviewed = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
        Ok(reviewed.status)
    }

    /// Tells once that tokens cannot be reviewed.
    fn away(&self, error: &dyn fmt::Display) {
        if !self.0.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, audience = self.0.audience, "tokens cannot be reviewed");
        }
    }

    /// What is known of a token without asking.
    fn remembered(&self, key: &[u8; 32]) -> Option<Result<Arc<Identity>, Unidentified>> {
        let verdict = self.0.remembered.get(key)?;
        Some(self.conclude(verdict))
    }

    fn conclude(&self, verdict: Verdict) -> Result<Arc<Identity>, Unidentified> {
        match verdict {
            Verdict::Accepted(identity) => Ok(identity),
            Verdict::Refused => Err(Unidentified::NotAccepted {
                audience: self.0.audience,
            }),
        }
    }

    fn accepted(&self, status: TokenReviewStatus, token: &Secret) -> Option<Identity> {
        // Without audiences the token is one for the API server itself.
        let audiences: BTreeSet<_> = status.audiences.into_iter().flatten().collect();
        if status.authenticated != Some(true) || !audiences.contains(self.0.audience) {
            return None;
        }
        let UserInfo {
            extra,
            groups,
            uid,
            username,
        } = status.user?;
        let expires = expiry(token);
        if expires.is_some_and(|expires| expires <= self.0.clock.now()) {
            return None;
        }
        Some(Identity {
            user: username.filter(|name| !name.is_empty())?,
            uid: uid.unwrap_or_default(),
            groups: groups.unwrap_or_default(),
            extra: extra.unwrap_or_default(),
            expires,
        })
    }
}

/// The token that was sent.
fn bearer(metadata: &MetadataMap) -> Option<Secret> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let is_token = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_MAX;
    is_token.then(|| Secret::new(token))
}
