//! What Kubernetes lets a caller do.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};
use resources::kinds::GROUP;
use tonic::Status;

use super::identify::Caller;
use crate::kubernetes::call;

/// How many questions about one request are asked at the same time.
const AT_A_TIME: usize = 8;

/// Asks Kubernetes what callers may do.
pub(super) struct Access {
    reviews: Api<SubjectAccessReview>,
}

/// What somebody wants to do with objects of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed<'a> {
    /// What is to be done, as RBAC names it.
    pub(super) verb: &'static str,
    /// To which kind.
    pub(super) resource: Resource,
    /// In which namespace; `None` is in every one.
    pub(super) namespace: Option<&'a str>,
    /// To which object; `None` is to any.
    pub(super) name: Option<&'a str>,
}

/// The kinds that are changed through the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Credentials,
    ClientKeys,
}

impl Resource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::ClientKeys => "clientkeys",
        }
    }
}

/// The namespaces that a caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Visible {
    /// Every one, and what belongs to none.
    All,
    /// Only these.
    Only(BTreeSet<String>),
}

impl Visible {
    pub(super) fn has(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(namespaces) => namespaces.contains(namespace),
        }
    }
}

impl Access {
    pub(super) fn new(client: Client) -> Self {
        Self {
            reviews: Api::all(client),
        }
    }

    /// Lets a caller do something that Kubernetes lets it do.
    pub(super) async fn permit(&self, caller: &Caller, deed: Deed<'_>) -> Result<(), Status> {
        if self.may(caller, deed).await? {
            return Ok(());
        }
        let Deed { verb, resource, .. } = deed;
        let resource = resource.as_str();
        let place = deed.namespace.map_or_else(
            || "in every namespace".to_owned(),
            |it| format!("in namespace {it}"),
        );
        Err(Status::permission_denied(format!(
            "{} may not {verb} {resource}.{GROUP} {place}; a Role or ClusterRole has to allow it",
            caller.username
        )))
    }

    /// The namespaces of `all` in which a caller may list all of these kinds. `namespace` asks for one only.
    pub(super) async fn visible(
        &self,
        caller: &Caller,
        resources: &[Resource],
        namespace: Option<&str>,
        all: BTreeSet<String>,
    ) -> Result<Visible, Status> {
        if let Some(namespace) = namespace {
            for resource in resources {
                self.permit(caller, listing(*resource, Some(namespace))).await?;
            }
            return Ok(Visible::Only([namespace.to_owned()].into()));
        }
        if self.lists(caller, resources, None).await? {
            return Ok(Visible::All);
        }
        let ask = |namespace: String| async move {
            let lists = self.lists(caller, resources, Some(&namespace)).await;
            lists.map(|lists| lists.then_some(namespace))
        };
        let asked = all.into_iter().map(ask).collect::<Vec<_>>();
        let mut answers = stream::iter(asked).buffer_unordered(AT_A_TIME);
        let mut seen = BTreeSet::new();
        while let Some(answer) = answers.next().await {
            seen.extend(answer?);
        }
        if seen.is_empty() {
            let first = resources.first().copied().unwrap_or(Resource::Credentials);
            self.permit(caller, listing(first, None)).await?;
        }
        Ok(Visible::Only(seen))
    }

    async fn lists(
        &self,
        caller: &Caller,
        resources: &[Resource],
        namespace: Option<&str>,
    ) -> Result<bool, Status> {
        for resource in resources {
            if !self.may(caller, listing(*resource, namespace)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn may(&self, caller: &Caller, deed: Deed<'_>) -> Result<bool, Status> {
        let Deed {
            verb,
            resource,
            namespace,
            name,
        } = deed;
        let Caller {
            username,
            uid,
            groups,
            extra,
        } = caller;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(username.clone()),
                uid: Some(uid.clone()).filter(|uid| !uid.is_empty()),
                groups: Some(groups.clone()),
                extra: Some(extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    resource: Some(resource.as_str().to_owned()),
                    verb: Some(verb.to_owned()),
                    namespace: namespace.map(str::to_owned),
                    name: name.map(str::to_owned),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = call(self.reviews.create(&PostParams::default(), &review)).await;
        let answer = answer.map_err(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "it cannot be asked what a caller may do");
            Status::unavailable("the API server cannot be asked what the caller may do; ask again")
        })?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

const fn listing(resource: Resource, namespace: Option<&str>) -> Deed<'_> {
    Deed {
        verb: "list",
        resource,
        namespace,
        name: None,
    }
}
