//! What is served, kept for the next start of the same container.
//!
//! It holds secrets: the folder should be in memory (tmpfs), and everything in it is for this user alone. A folder of
//! ours that is open to others is closed. One that belongs to somebody else, as a volume's root does, is used
//! all the same: files of others in it are not.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use pool::Clock;
use prost::Message;
use proto::{Contents, Follower, MESSAGE_LIMIT, TRANSFER_LIMIT, chunks, discovery::v1::StreamResponse};
use sha2::{Digest, Sha256};
use snapshot::{Secret, Timestamp};
use tokio::{sync::watch, task};

use crate::state::write_private;

/// The name of the file.
const FILE: &str = "contents";
/// How it begins.
const MAGIC: &str = "roundhouse-contents";
/// The longest file that is read.
const MOST: u64 = TRANSFER_LIMIT as u64 * 2;

/// Which build writes and reads. Versions of objects stand for fields that another build may not know: what it kept must
/// not be read (see `docs/decisions/0010-versions-of-objects.md`).
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let schema = Sha256::digest(proto::DESCRIPTORS);
    let schema = schema
        .iter()
        .take(8)
        .fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    format!("{}-{schema:016x}", env!("CARGO_PKG_VERSION"))
});

/// A folder in which what is served is kept.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Why what was kept is not used, or is not kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refused.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others can read the file, or it is theirs.
    #[error("{path} is not for this user alone", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Another build wrote it.
    #[error("{path} was written by another build ({build})", path = path.display())]
    Build {
        /// The file.
        path: PathBuf,
        /// Which.
        build: String,
    },
    /// It is not what was written.
    #[error("{path} is damaged: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

impl Cache {
    /// Keeps what is served in `folder`, which is made when it is missing.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// What was kept, and when; `None` when nothing was.
    pub fn read(&self) -> Result<Option<(Contents, Timestamp)>, CacheError> {
        let path = self.path();
        match read(&path) {
            Ok(bytes) => parse(&path, bytes.expose()).map(Some),
            Err(CacheError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps `contents` in the place of what was kept: all of it, or nothing.
    pub fn write(&self, contents: &Contents, now: Timestamp) -> Result<(), CacheError> {
        self.prepare()?;
        let path = self.path();
        write_private(&path, &form(contents, now)).map_err(failed(&path))
    }

    /// Makes the folder, and closes one of ours that is open to others.
    fn prepare(&self) -> Result<(), CacheError> {
        let folder = &self.folder;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed(folder))?;
        let found = fs::metadata(folder).map_err(failed(folder))?;
        if found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 != 0 {
            tracing::warn!(path = %folder.display(), "the cache folder was open to others and is closed now");
            fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed(folder))?;
        }
        Ok(())
    }

    /// Keeps what is served from now on, for ever. May be dropped at any time.
    pub(super) async fn follow(&self, contents: &mut watch::Receiver<Option<Contents>>, clock: &dyn Clock) {
        let mut failing = false;
        while contents.changed().await.is_ok() {
            let Some(contents) = contents.borrow_and_update().clone() else {
                continue;
            };
            let (cache, now) = (self.clone(), clock.now());
            // File systems block.
            let written = task::spawn_blocking(move || cache.write(&contents, now)).await;
            match written {
                Ok(Ok(())) => failing = false,
                Ok(Err(error)) if !failing => {
                    failing = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what is served cannot be kept for the next start"
                    );
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "keeping what is served ended by itself"),
            }
        }
    }
}

/// A line that says what it is, then the messages of a transfer, each behind its length.
fn form(contents: &Contents, now: Timestamp) -> Secret {
    let mut body = Vec::new();
    for message in chunks(contents, MESSAGE_LIMIT) {
        let length = message.encoded_len() as u64;
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(Secret::new(message.encode_to_vec()).expose());
    }
    let body = Secret::new(body);
    let line = format!(
        "{MAGIC} {} {} {:032x}\n",
        *BUILD,
        now.as_micros(),
        check(body.expose())
    );
    Secret::new([line.as_bytes(), body.expose()].concat())
}

/// The beginning of a hash of everything after the first line: a transfer's own digest does not cover values.
fn check(body: &[u8]) -> u128 {
    let hash = Sha256::digest(body);
    hash.iter()
        .take(16)
        .fold(0, |all, byte| all << 8 | u128::from(*byte))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<(Contents, Timestamp), CacheError> {
    let damaged = |what| CacheError::Damaged {
        path: path.to_owned(),
        what,
    };
    let line = memchr::memchr(b'\n', bytes).ok_or_else(|| damaged("it has no first line"))?;
    let (line, body) = (&bytes[..line], &bytes[line + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| damaged("its first line is no text"))?;
    let mut words = line.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(damaged("it is something else"));
    }
    let build = words.next().unwrap_or_default();
    if build != *BUILD {
        // It is shown; a build's name is short and plain.
        let build = build.chars().filter(char::is_ascii_graphic).take(64).collect();
        return Err(CacheError::Build {
            path: path.to_owned(),
            build,
        });
    }
    let since = words.next().and_then(|micros| micros.parse().ok());
    let since = since.ok_or_else(|| damaged("its first line says no time"))?;
    let expected = words.next().and_then(|hash| u128::from_str_radix(hash, 16).ok());
    if expected != Some(check(body)) {
        return Err(damaged("its content is not what was written"));
    }
    let contents = transfer(body).ok_or_else(|| damaged("its content cannot be read"))?;
    Ok((contents, Timestamp::from_micros(since)))
}

fn transfer(mut body: &[u8]) -> Option<Contents> {
    let mut follower = Follower::new(None);
    let mut contents = None;
    while let Some((length, rest)) = body.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (message, rest) = rest.split_at_checked(length)?;
        let message = StreamResponse::decode(message).ok()?;
        contents = follower.accept(message).ok()?;
        body = rest;
    }
    contents.filter(|_| body.is_empty())
}

fn read(path: &Path) -> Result<Secret, CacheError> {
    let mut file = File::open(path).map_err(failed(path))?;
    let found = file.metadata().map_err(failed(path))?;
    if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0 {
        return Err(CacheError::Exposed {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    let read = file.by_ref().take(MOST).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map_err(failed(path))?;
    Ok(bytes)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io { path, source }
}
