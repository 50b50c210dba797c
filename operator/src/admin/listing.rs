//! Credentials, page by page.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use proto::admin::v1;
use resources::{Object, Objects, kinds::Credential};
use snapshot::ObjectName;
use tonic::Status;

use super::{access::Visible, ask, refusal::invalid, state::Sight};

/// The longest page.
const PAGE_MAX: usize = 1000;

/// What is asked.
pub(super) struct Question {
    /// The namespace; `None` is every one.
    pub(super) namespace: Option<String>,
    provider: Option<String>,
    page: usize,
    /// The last name of the page before.
    after: Option<ObjectName>,
}

impl Question {
    /// Reads a request.
    pub(super) fn read(request: v1::ListCredentialsRequest) -> Result<Self, Status> {
        let namespace = ask::namespace_or_all(&request.namespace, "namespace")?.map(str::to_owned);
        if !request.provider.is_empty() && namespace.is_none() {
            return Err(invalid(
                "provider",
                "is a name within a namespace: give the namespace too",
            ));
        }
        let page = usize::try_from(request.page_size)
            .unwrap_or(PAGE_MAX)
            .min(PAGE_MAX);
        let after = match &*request.page_token {
            "" => None,
            token => Some(
                BASE64_URL_SAFE_NO_PAD
                    .decode(token)
                    .ok()
                    .and_then(|name| String::from_utf8(name).ok()?.parse().ok())
                    .ok_or_else(|| invalid("page_token", "expected the token of the page before"))?,
            ),
        };
        Ok(Self {
            namespace,
            provider: Some(request.provider).filter(|provider| !provider.is_empty()),
            page: if page == 0 { PAGE_MAX } else { page },
            after,
        })
    }

    /// One page of what may be seen.
    pub(super) fn answer(&self, sight: &Sight<'_>, visible: &Visible) -> v1::ListCredentialsResponse {
        let mut credentials = Vec::new();
        let mut last: Option<&ObjectName> = None;
        for (name, object) in all(&sight.published.objects) {
            let is_before = self.after.as_ref().is_some_and(|after| name <= after);
            let provider = &object.spec.provider_ref.name;
            if is_before
                || !visible.has(name.namespace())
                || self.provider.as_ref().is_some_and(|wanted| wanted != provider)
            {
                continue;
            }
            if credentials.len() == self.page {
                let next_page_token = last.map(|last| BASE64_URL_SAFE_NO_PAD.encode(last.as_str()));
                return v1::ListCredentialsResponse {
                    credentials,
                    next_page_token: next_page_token.unwrap_or_default(),
                };
            }
            credentials.push(sight.state(name, object));
            last = Some(name);
        }
        v1::ListCredentialsResponse {
            credentials,
            next_page_token: String::new(),
        }
    }
}

/// All Credentials in order of their names.
fn all(objects: &Objects) -> impl Iterator<Item = (&ObjectName, &Credential)> {
    objects.iter().filter_map(|(identity, object)| match object {
        Object::Credential(object) => Some((&identity.name, &**object)),
        _ => None,
    })
}
