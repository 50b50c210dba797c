//! Objects made and unmade through the API: checked like those of files, kept in files of their own.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    time::Instant,
};

use resources::{
    Identity, Kind, Object, Place, compile,
    manifest::{Manifest, Problem, Surroundings},
};
use snapshot::{ClientName, CredentialName, ObjectName, Secret};
use tokio::sync::{mpsc, oneshot};

use super::{FileSource, local_client};
use crate::state::write_private;

/// Makes changes where objects come from. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Changes {
    /// Asks the source that reads files.
    Files(FileChanges),
    /// Nothing can be changed.
    Nowhere,
}

/// Asks the source that reads files for changes.
#[derive(Clone, Debug)]
pub struct FileChanges(mpsc::Sender<Request>);

/// A change and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    change: Change,
    answer: oneshot::Sender<Result<(), ChangeError>>,
}

/// What is to change.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// This object is made.
    Make {
        /// Which object it is about.
        identity: Identity,
        /// It and what it refers to, as YAML.
        manifest: Secret,
    },
    /// This object and what was made with it go.
    Unmake(Identity),
}

/// Why a change was not made. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The name is taken.
    #[error("there is a {0} already")]
    Exists(Identity),
    /// Nothing has this name.
    #[error("there is no {0}")]
    Missing(Identity),
    /// It belongs to somebody's files, which are never rewritten.
    #[error("{0} was not made through the API; delete it where it was written")]
    NotMade(Identity),
    /// It would not be accepted.
    #[error("{0}")]
    Refused(String),
    /// It cannot be kept.
    #[error("objects made through the API cannot be kept in {path}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nobody follows the files any more, or there is no place for such objects.
    #[error("objects cannot be changed through the API")]
    Closed,
}

/// Changes that wait for their turn; more make their callers wait.
const WAITING_MAX: usize = 64;

pub(super) fn channel() -> (Changes, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Changes::Files(FileChanges(sender)), receiver)
}

impl Changes {
    /// Makes a change. It is published, though maybe not yet served, when this returns. A dropped future changes
    /// its mind too late: the change may have been made.
    pub(crate) async fn make(&self, change: Change) -> Result<(), ChangeError> {
        let Self::Files(FileChanges(source)) = self else {
            return Err(ChangeError::Closed);
        };
        let (answer, answered) = oneshot::channel();
        let request = Request { change, answer };
        source.send(request).await.map_err(|_| ChangeError::Closed)?;
        answered.await.unwrap_or(Err(ChangeError::Closed))
    }
}

impl FileSource {
    /// Makes the changes that wait, one after the other. Files that have changed and were not read yet are read
    /// first, at a look: until then nothing is done.
    pub(super) fn serve(&mut self, waiting: &mut Vec<Request>, now: Instant) {
        if waiting.is_empty() || self.paths.scan_with(&self.read) != self.read {
            return;
        }
        for Request { change, answer } in waiting.drain(..) {
            let done = match change {
                Change::Make { identity, manifest } => self.make(identity, &manifest, now),
                Change::Unmake(identity) => self.unmake(identity, now),
            };
            // Whoever asked may have left.
            let _ = answer.send(done);
        }
    }

    pub(super) fn make(
        &mut self,
        identity: Identity,
        manifest: &Secret,
        now: Instant,
    ) -> Result<(), ChangeError> {
        let path = self.file_of(&identity)?;
        if self.is_taken(&identity) {
            return Err(ChangeError::Exists(identity));
        }
        self.check(&path.display().to_string(), manifest, now)?;
        let failed = |path: PathBuf| move |source| ChangeError::Io { path, source };
        if let Some(folder) = path.parent() {
            let mut builder = DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(failed(folder.to_owned()))?;
        }
        write_private(&path, manifest).map_err(failed(path))?;
        self.reload(now);
        Ok(())
    }

    pub(super) fn unmake(&mut self, identity: Identity, now: Instant) -> Result<(), ChangeError> {
        let path = self.file_of(&identity)?;
        let Some(origin) = self.kept.origin(&identity) else {
            return Err(ChangeError::Missing(identity));
        };
        // What somebody put into the folder by hand may hold more than this object.
        if *origin.file != *path.display().to_string() {
            return Err(ChangeError::NotMade(identity));
        }
        fs::remove_file(&path).map_err(|source| ChangeError::Io {
            path: path.clone(),
            source,
        })?;
        self.kept.forget(&path);
        self.reload(now);
        Ok(())
    }

    fn reload(&mut self, now: Instant) {
        let scan = self.paths.scan_with(&self.read);
        self.load(scan, now);
    }

    /// The file of an object made through the API.
    fn file_of(&self, identity: &Identity) -> Result<PathBuf, ChangeError> {
        let made = self.paths.made.as_ref().ok_or(ChangeError::Closed)?;
        let Identity { kind, name } = identity;
        let kind = kind.as_str().to_lowercase();
        Ok(made.join(format!("{kind}.{}.{}.yaml", name.namespace(), name.name())))
    }

    /// Whether an object has this name, accepted or not, from whatever place.
    fn is_taken(&self, identity: &Identity) -> bool {
        let desired = self.desired.borrow();
        let name = || identity.name.clone();
        let is_served = match identity.kind {
            Kind::Credential => desired
                .snapshot
                .credentials
                .contains_key(&CredentialName::from(name())),
            Kind::ClientKey => desired.snapshot.clients.contains_key(&ClientName::from(name())),
            Kind::Provider | Kind::ModelRoute | Kind::Secret | Kind::ConfigMap => false,
        };
        is_served || self.kept.is_known(identity)
    }

    /// Whether the objects would be accepted beside all others. Their Secrets' names must be free as well.
    fn check(&mut self, file: &str, manifest: &Secret, now: Instant) -> Result<(), ChangeError> {
        let text = String::from_utf8_lossy(manifest.expose());
        let mut added: Vec<(ObjectName, Object)> = Vec::new();
        for Manifest {
            identity, content, ..
        } in self.reader.read(file, &text, &mut Nothing)
        {
            let object = content.map_err(|problems| ChangeError::Refused(told(&problems)))?;
            let Some(identity) = identity else { continue };
            if self.is_taken(&identity) {
                return Err(ChangeError::Exists(identity));
            }
            added.push((identity.name, object));
        }
        let mut objects = self.kept.objects(now, &self.paths);
        if let Some(key) = self.offered_key() {
            objects.extend(local_client(key));
        }
        let ours: Vec<Identity> = added
            .iter()
            .map(|(name, object)| Identity {
                kind: object.kind(),
                name: name.clone(),
            })
            .collect();
        objects.extend(added);
        let compiled = compile(&objects, &self.key, Place::Standalone);
        let wrong: Vec<&str> = compiled
            .conditions
            .iter()
            .filter(|object| ours.contains(&object.identity))
            .flat_map(|object| &object.conditions)
            .filter(|condition| !condition.status)
            .map(|condition| condition.message.as_str())
            .collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(ChangeError::Refused(wrong.join("; ")))
        }
    }
}

/// Problems without lines: nobody has seen the text.
fn told(problems: &[Problem]) -> String {
    let told: Vec<String> = problems
        .iter()
        .map(|Problem { path, message, .. }| match path.as_str() {
            "" => message.clone(),
            path => format!("{path}: {message}"),
        })
        .collect();
    told.join("; ")
}

/// What objects made through the API see of their surroundings.
struct Nothing;

impl Surroundings for Nothing {
    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }

    fn file(&mut self, _: &str) -> Result<Vec<u8>, String> {
        Err("objects made through the API are not expanded".to_owned())
    }
}
