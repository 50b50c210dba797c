//! Desired state from files: read, compiled, and followed while they change.
//!
//! Files are looked at every half second and read again when they have changed and have stopped changing.
//! What is published is always whole: an object that became bad keeps its last good version, and a file
//! that is gone or empty for a moment, as editors and deployments leave it, loses nothing.

mod change;
mod keep;
mod read;
mod report;
mod scan;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use resources::{
    Identity, Kind, Object, Place, SecretValue, SecretValues,
    kinds::{ClientKey, ClientKeySpec, SecretKeyReference},
    manifest::Reader,
};
use snapshot::{ClientName, DigestKey, Keyring, ObjectName, Secret, Snapshot};
use tokio::{
    sync::{mpsc, watch},
    task, time,
};

pub(crate) use change::{Change, ChangeError};
pub use change::{Changes, FileChanges};
pub use report::{Entry, Report, validate};

use keep::Kept;
use scan::{Paths, Scan};

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a gateway serves, at one moment.
#[derive(Clone)]
pub struct Desired {
    /// What may be served. Its version is empty before the first.
    pub snapshot: Arc<Snapshot>,
    /// The secrets that go with it.
    pub keyring: Arc<Keyring>,
    /// Hashes the keys that callers present.
    pub digests: DigestKey,
    /// Objects that were made through the API.
    pub made: Arc<BTreeSet<Identity>>,
}

impl Desired {
    /// Nothing: nobody is known.
    pub fn nothing(digests: DigestKey) -> Self {
        Self {
            snapshot: Arc::default(),
            keyring: Arc::default(),
            digests,
            made: Arc::default(),
        }
    }
}

impl fmt::Debug for Desired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desired")
            .field("snapshot", &self.snapshot)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

/// Why files cannot be used at all. What is wrong inside them is logged instead, object by object.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A path that was named does not exist or cannot be opened.
    #[error("cannot read {path}", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Objects in files.
pub struct FileSource {
    paths: Paths,
    key: DigestKey,
    reader: Reader,
    kept: Kept,
    /// What was there when the files were last read.
    read: Scan,
    /// Diagnostics that were logged and still hold.
    told: BTreeSet<String>,
    /// A client key that works while the files have none.
    local_key: Option<Secret>,
    desired: watch::Sender<Arc<Desired>>,
    changes: Changes,
    requests: mpsc::Receiver<change::Request>,
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

impl FileSource {
    /// Reads files and folders for the first time.
    ///
    /// `paths` must exist. `made` is the folder of objects made through the API: it may be missing, and
    /// nothing in it is expanded.
    pub fn open(paths: Vec<PathBuf>, made: Option<PathBuf>, key: DigestKey) -> Result<Self, SourceError> {
        for path in &paths {
            std::fs::metadata(path).map_err(|source| SourceError::Path {
                path: path.clone(),
                source,
            })?;
        }
        let (changes, requests) = change::channel();
        let mut source = Self {
            changes,
            requests,
            paths: Paths { named: paths, made },
            desired: watch::Sender::new(Arc::new(Desired::nothing(key.clone()))),
            key,
            reader: Reader::new(),
            kept: Kept::default(),
            read: Scan::default(),
            told: BTreeSet::new(),
            local_key: None,
        };
        let scan = source.paths.scan();
        source.load(scan, Instant::now());
        Ok(source)
    }

    /// Whether the files have a client key, good or bad. Those made through the API do not count: whoever made
    /// them must still get in.
    pub fn has_client_keys(&self) -> bool {
        self.kept.has_client_keys
    }

    /// Offers a key that works, as the admin `ClientKey` `default/local`, while the files have no
    /// `ClientKey` at all but those made through the API.
    pub fn offer_key(&mut self, key: Secret) {
        self.local_key = Some(key);
        self.publish(Instant::now());
    }

    /// What is wrong at the moment, one line each with its place. Holds no secret.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.told.iter().map(String::as_str)
    }

    /// What the files say now and from now on. Always holds a value.
    pub fn desired(&self) -> watch::Receiver<Arc<Desired>> {
        self.desired.subscribe()
    }

    /// Makes changes while the source is followed.
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// Looks at the files for ever and publishes what changes. May be dropped at any time.
    pub async fn follow(mut self) {
        let mut before = self.read.clone();
        let mut ticks = time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        loop {
            let is_look = tokio::select! {
                _ = ticks.tick() => true,
                Some(request) = self.requests.recv() => {
                    waiting.push(request);
                    false
                }
            };
            // File systems block. The source moves to a thread that may wait, and back.
            let looked = task::spawn_blocking(move || {
                let now = Instant::now();
                if is_look {
                    before = self.look(&before, now);
                }
                self.serve(&mut waiting, now);
                (self, before, waiting)
            });
            match looked.await {
                Ok(after) => (self, before, waiting) = after,
                Err(error) => {
                    tracing::error!(%error, "resource files are no longer followed");
                    return;
                }
            }
        }
    }

    /// One look: reads the files when they differ from what was read, and are as they were at the look
    /// before.
    fn look(&mut self, before: &Scan, now: Instant) -> Scan {
        let scan = self.paths.scan_with(&self.read);
        if scan == *before && (scan != self.read || self.kept.is_due(now)) {
            self.load(scan.clone(), now);
            return self.read.clone();
        }
        scan
    }

    fn load(&mut self, scan: Scan, now: Instant) {
        let (files, scan) = read::files(&self.reader, &self.paths, scan);
        self.read = scan;
        self.kept.take(files, now);
        self.publish(now);
    }

    fn publish(&mut self, now: Instant) {
        let mut objects = self.kept.objects(now, &self.paths);
        if let Some(key) = self.offered_key() {
            objects.extend(local_client(key));
        }
        let settled = self.kept.settle(objects, &self.key, Place::Standalone);
        self.tell(settled.diagnostics);
        let compiled = settled.compiled;
        let made = self.kept.made(&self.paths);
        let is_same = {
            let desired = self.desired.borrow();
            desired.snapshot.version == compiled.snapshot.version && *desired.made == made
        };
        if is_same {
            return;
        }
        tracing::info!(
            version = compiled.snapshot.version,
            providers = compiled.snapshot.providers.len(),
            credentials = compiled.snapshot.credentials.len(),
            routes = compiled.snapshot.routes.len(),
            client_keys = compiled.snapshot.clients.len(),
            "resources loaded"
        );
        self.desired.send_replace(Arc::new(Desired {
            snapshot: Arc::new(compiled.snapshot),
            keyring: Arc::new(compiled.keyring),
            digests: self.key.clone(),
            made: Arc::new(made),
        }));
    }

    /// The key that works while the files have none.
    fn offered_key(&self) -> Option<&Secret> {
        self.local_key.as_ref().filter(|_| !self.kept.has_client_keys)
    }

    /// Logs each diagnostic when it appears, and that it is gone.
    fn tell(&mut self, diagnostics: BTreeSet<String>) {
        for diagnostic in diagnostics.difference(&self.told) {
            tracing::warn!(problem = %diagnostic, "a resource has a problem");
        }
        if diagnostics.is_empty() && !self.told.is_empty() {
            tracing::info!("all resources are good now");
        }
        self.told = diagnostics;
    }
}

/// The name of the client whose key is offered with [`FileSource::offer_key`].
const LOCAL_CLIENT: &str = "local";

fn local_client(key: &Secret) -> Vec<(ObjectName, Object)> {
    let Ok(name) = ClientName::new("default", LOCAL_CLIENT) else {
        return Vec::new();
    };
    // No Secret of a file can have this name: it holds a colon.
    let secret = format!("{LOCAL_CLIENT}:key");
    let spec = ClientKeySpec {
        secret_ref: Some(SecretKeyReference {
            name: secret.clone(),
            key: "api-key".to_owned(),
        }),
        target: None,
        rotation: None,
        admin: true,
        models: None,
        limits: None,
        budgets: Vec::new(),
        expires_at: None,
        debug_headers: true,
    };
    let values = BTreeMap::from([("api-key".to_owned(), SecretValue::Known(key.clone()))]);
    let values = Object::Secret(Arc::new(SecretValues::from(values)));
    let client = Object::ClientKey(Arc::new(ClientKey::new(LOCAL_CLIENT, spec)));
    let mut objects = vec![((*name).clone(), client)];
    objects.extend(
        ObjectName::new("default", &secret)
            .ok()
            .map(|name| (name, values)),
    );
    objects
}

fn is_client_key(identity: &Identity) -> bool {
    identity.kind == Kind::ClientKey
}

#[cfg(test)]
mod tests;
