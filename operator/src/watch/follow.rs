//! Lists all objects of one kind in one namespace, and watches them from there on, for ever.
//!
//! `kube`'s own watcher does the same and is not used: it does not tell when an idle watch stands again after an outage,
//! cannot be asked for another listing, and its client quotes whole answers in the log when one cannot be decoded.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Client, Resource,
    api::{ListParams, WatchParams},
    core::Request,
};
use resources::{
    Kind,
    kinds::{ClientKey, Credential, ModelRoute, Provider},
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, timeout_at},
};

use super::{
    contact::Party,
    decode::{self, Line, Unexpected},
};
use crate::{
    index::{Event, Scope},
    kubernetes::{CallError, Pauses, call},
};

/// Objects of a page of a listing.
const PAGE: u32 = 100;
/// Of Secrets fewer: their annotations may hold their values once more.
const PAGE_OF_METADATA: u32 = 25;

/// How long an API server is asked to keep a watch. A dead peer is noticed a little later.
const WATCH: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);

/// Before a listing in which much was missing is asked for once more.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Follows all objects of one kind in one namespace.
pub(super) struct Follower {
    pub(super) client: Client,
    pub(super) scope: Scope,
    pub(super) party: Party,
    pub(super) events: mpsc::Sender<Event>,
    /// Asks for another listing.
    pub(super) relist: Arc<Notify>,
}

/// Why a watch cannot go on from where it is.
enum Lost {
    /// Its version is too old.
    Version,
    /// Another listing is asked for.
    Asked,
    /// Nobody listens any more.
    Listener,
}

/// Why one connection of a watch ended.
enum End {
    /// As it was to, or without a word: it goes on from where it is.
    Over,
    Failed(CallError),
    Lost(Lost),
}

impl Follower {
    /// Tells everything of these objects. Ends when nobody listens any more.
    pub(super) async fn run(self) {
        loop {
            let (objects, version) = self.list().await;
            let listed = Event::Relisted(self.scope.clone(), objects);
            if self.events.send(listed).await.is_err() {
                return;
            }
            match self.watch(version).await {
                Lost::Version => tracing::debug!(listing = %self.scope, "the watch is behind; listing again"),
                Lost::Asked => sleep(SECOND_LOOK).await,
                Lost::Listener => return,
            }
        }
    }

    /// Everything that there is, and the version to watch from.
    async fn list(&self) -> (Vec<(resources::Identity, crate::index::Content)>, String) {
        let mut pauses = Pauses::default();
        let mut objects = Vec::new();
        let mut next = None;
        loop {
            match self.page(next.take()).await {
                Ok(page) => {
                    self.party.works();
                    pauses.reset();
                    objects.extend(page.objects);
                    next = page.next;
                    if next.is_none() {
                        return (objects, page.resource_version);
                    }
                }
                // From the beginning: what asks for the next page may have expired.
                Err(error) => {
                    objects.clear();
                    self.party.fails(&error);
                    sleep(pauses.longer()).await;
                }
            }
        }
    }

    async fn page(&self, next: Option<String>) -> Result<decode::Page, CallError> {
        let mut params = ListParams::default().limit(if self.is_metadata() {
            PAGE_OF_METADATA
        } else {
            PAGE
        });
        params.continue_token = next;
        let request = self.request();
        let request = if self.is_metadata() {
            request.list_metadata(&params)
        } else {
            request.list(&params)
        };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let text = call(self.client.request_text(request)).await?;
        decode::page(self.scope.kind, &text).map_err(|Unexpected| unexpected())
    }

    async fn watch(&self, mut version: String) -> Lost {
        let mut pauses = Pauses::default();
        loop {
            let begun = Instant::now();
            match self.connection(&mut version).await {
                End::Lost(lost) => return lost,
                // One that ends at once is no watch; asking again at once would be a storm.
                End::Over if begun.elapsed() > GRACE => pauses.reset(),
                End::Over => sleep(pauses.longer()).await,
                End::Failed(error) => {
                    self.party.fails(&error);
                    sleep(pauses.longer()).await;
                }
            }
        }
    }

    /// Watches from `version`, which it moves on, until this connection ends.
    async fn connection(&self, version: &mut String) -> End {
        let lines = match self.open(version).await {
            Ok(lines) => lines,
            Err(CallError::Refused { code: 410, .. }) => return End::Lost(Lost::Version),
            Err(error) => return End::Failed(error),
        };
        self.party.works();
        let mut lines = pin!(lines);
        let deadline = Instant::now() + WATCH + GRACE;
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = tokio::select! {
                () = self.relist.notified() => return End::Lost(Lost::Asked),
                read = timeout_at(deadline, lines.read_until(b'\n', &mut text)) => read,
            };
            match read {
                Ok(Ok(1..)) => (),
                Ok(Ok(0)) | Err(_) => return End::Over,
                // It was cut. Whether that is an outage shows when it is opened again.
                Ok(Err(error)) => {
                    tracing::debug!(watch = %self.scope, %error, "a watch was cut");
                    return End::Over;
                }
            }
            if !text.ends_with(b"\n") {
                return End::Over;
            }
            let event = match self.event(&text, version) {
                Ok(Some(event)) => event,
                Ok(None) => continue,
                Err(end) => return end,
            };
            if self.events.send(event).await.is_err() {
                return End::Lost(Lost::Listener);
            }
        }
    }

    /// What a line tells, if anything. Moves `version` on.
    fn event(&self, text: &[u8], version: &mut String) -> Result<Option<Event>, End> {
        let Ok((line, newer)) = decode::line(self.scope.kind, text) else {
            // Something was missed: only a listing tells what.
            self.party.fails(&unexpected());
            return Err(End::Lost(Lost::Asked));
        };
        if let Some(newer) = newer {
            *version = newer;
        }
        match line {
            Line::Applied(identity, content) => Ok(Some(Event::Applied(identity, content))),
            Line::Deleted(identity) => Ok(Some(Event::Deleted(identity))),
            Line::Bookmark | Line::Nameless => Ok(None),
            Line::Error(status) if status.code == 410 => Err(End::Lost(Lost::Version)),
            Line::Error(status) => Err(End::Failed(CallError::from(kube::Error::Api(status)))),
        }
    }

    async fn open(&self, version: &str) -> Result<impl AsyncBufRead + use<>, CallError> {
        let seconds = u32::try_from(WATCH.as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams::default().timeout(seconds);
        let request = self.request();
        let request = if self.is_metadata() {
            request.watch_metadata(&params, version)
        } else {
            request.watch(&params, version)
        };
        let request = request.map_err(kube::Error::BuildRequest)?;
        call(self.client.request_stream(request)).await
    }

    fn request(&self) -> Request {
        let namespace = self.scope.namespace.as_deref();
        Request::new(path(self.scope.kind, namespace))
    }

    /// Whether no more than metadata is asked for.
    const fn is_metadata(&self) -> bool {
        matches!(self.scope.kind, Kind::Secret | Kind::ConfigMap)
    }
}

/// Where the objects of a kind are.
pub(super) fn path(kind: Kind, namespace: Option<&str>) -> String {
    match kind {
        Kind::Provider => Provider::url_path(&(), namespace),
        Kind::Credential => Credential::url_path(&(), namespace),
        Kind::ModelRoute => ModelRoute::url_path(&(), namespace),
        Kind::ClientKey => ClientKey::url_path(&(), namespace),
        Kind::Secret => Secret::url_path(&(), namespace),
        Kind::ConfigMap => ConfigMap::url_path(&(), namespace),
    }
}

fn unexpected() -> CallError {
    CallError::Broken(Unexpected.to_string())
}
