//! What a standalone gateway keeps between runs.
//!
//! The directory is 0700 and everything in it 0600. A directory that others can enter, as a careless `mkdir`
//! leaves it, is closed rather than refused: nothing of ours in it was ever readable to them, since the
//! files' own modes protect them. A *file* with a secret that others can read is refused, because the secret
//! may have been read already; only a person can decide to keep it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use snapshot::{DigestKey, Secret};

const LOCK: &str = "lock";
const DIGEST_KEY: &str = "digest-key";
const CLIENT_KEY: &str = "client-key";
const KEY_BYTES: usize = 32;

/// The open state directory. No other process can open it until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// A client key that the gateway made for its administrator.
#[derive(Clone, Debug)]
pub struct GeneratedKey {
    /// The key as a client sends it.
    pub key: Secret,
    /// Where it is kept.
    pub path: PathBuf,
    /// Whether it was made just now, and should be shown.
    pub fresh: bool,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process holds the directory.
    #[error("{path} is in use by {}", holder.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process, where it said so.
        holder: Option<u32>,
    },
    /// Somebody else owns the directory.
    #[error("{path} belongs to user {owner}; choose another --state-dir")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Others may have read a secret.
    #[error(
        "{path} can be read by others (mode {mode:03o}); delete it to have a new one made, or chmod 600 it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file does not hold what was written to it.
    #[error("{path} does not hold a key; delete it to have a new one made")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot use {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StateDir {
    /// Opens the directory, made when it is missing, and locks it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed(&path))?;
        close_to_others(&path)?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The installation's key for digests of client keys and secrets, made at the first call.
    pub fn digest_key(&self) -> Result<DigestKey, StateError> {
        let (key, path, _) = self.key(DIGEST_KEY, |bytes| bytes.to_vec())?;
        if key.expose().len() != KEY_BYTES {
            return Err(StateError::Damaged { path });
        }
        Ok(DigestKey::new(&key))
    }

    /// The administrator's client key, made at the first call: `rh-` and 256 random bits.
    pub fn client_key(&self) -> Result<GeneratedKey, StateError> {
        let (key, path, fresh) = self.key(CLIENT_KEY, |bytes| {
            let mut line = client_key_of(bytes).expose().to_vec();
            line.push(b'\n');
            line
        })?;
        let text = key.expose().trim_ascii();
        // People may put a key of their own into the file; it only has to be one line and long enough.
        if text.len() < 20 || !text.iter().all(u8::is_ascii_graphic) {
            return Err(StateError::Damaged { path });
        }
        Ok(GeneratedKey {
            key: Secret::new(text),
            path,
            fresh,
        })
    }

    /// Reads the named file, or fills it with `form` of fresh random bytes.
    fn key(
        &self,
        name: &str,
        form: impl FnOnce(&[u8; KEY_BYTES]) -> Vec<u8>,
    ) -> Result<(Secret, PathBuf, bool), StateError> {
        let path = self.path.join(name);
        match read_private(&path) {
            Ok(key) => Ok((key, path, false)),
            Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let bytes = random().map_err(failed(&path))?;
                let key = Secret::new(form(&bytes));
                write_private(&path, &key).map_err(failed(&path))?;
                Ok((key, path, true))
            }
            Err(error) => Err(error),
        }
    }
}

/// Makes a client key: `rh-` and 256 random bits.
pub(crate) fn mint_client_key() -> io::Result<Secret> {
    random().map(|bytes| client_key_of(&bytes))
}

fn client_key_of(bytes: &[u8; KEY_BYTES]) -> Secret {
    Secret::new(format!("rh-{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

fn random() -> io::Result<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn close_to_others(path: &Path) -> Result<(), StateError> {
    let found = fs::metadata(path).map_err(failed(path))?;
    let ours = rustix::process::geteuid().as_raw();
    if found.uid() != ours {
        return Err(StateError::Foreign {
            path: path.to_owned(),
            owner: found.uid(),
        });
    }
    if found.mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the state directory was open to others and is closed now");
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed(path))?;
    }
    Ok(())
}

/// Takes the lock and notes our process in it. The lock goes with the process, however it ends.
fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => (),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = file
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(StateError::Locked {
                path: directory.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(source)) => return Err(StateError::Io { path, source }),
    }
    let note = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    note(&mut file).map_err(failed(&path))?;
    Ok(file)
}

fn read_private(path: &Path) -> Result<Secret, StateError> {
    let mut file = File::open(path).map_err(failed(path))?;
    let found = file.metadata().map_err(failed(path))?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(StateError::Foreign {
            path: path.to_owned(),
            owner: found.uid(),
        });
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StateError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed(path))?;
    Ok(Secret::new(bytes))
}

/// Writes beside the file and renames, so that a crash leaves all of it or nothing.
pub(crate) fn write_private(path: &Path, secret: &Secret) -> io::Result<()> {
    let beside = path.with_extension("new");
    // What lies there may be somebody else's, or held open by them.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(secret.expose())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn everything_kept_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/state");
        let state = StateDir::open(&path).unwrap();
        state.digest_key().unwrap();
        state.client_key().unwrap();
        assert_eq!(mode(&path), 0o700);
        let mut names: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                path.join("client-key"),
                path.join("digest-key"),
                path.join("lock")
            ]
        );
        for name in names {
            assert_eq!(mode(&name), 0o600, "{}", name.display());
        }
    }

    #[test]
    fn keys_are_made_once() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(home.path()).unwrap();
        let first = state.client_key().unwrap();
        let digest = state.digest_key().unwrap().digest(b"x");
        drop(state);
        let state = StateDir::open(home.path()).unwrap();
        let second = state.client_key().unwrap();
        assert!(first.fresh && !second.fresh, "only the first call makes the key");
        assert_eq!(first.key.expose(), second.key.expose());
        assert_eq!(digest, state.digest_key().unwrap().digest(b"x"));
        let text = std::str::from_utf8(first.key.expose()).unwrap();
        assert!(text.starts_with("rh-") && text.len() == 3 + 43, "{text}");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(
            StateDir::open(other.path())
                .unwrap()
                .digest_key()
                .unwrap()
                .digest(b"x"),
            digest
        );
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let held = StateDir::open(home.path()).unwrap();
        let error = StateDir::open(home.path()).unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("is in use by process {}", std::process::id())),
            "{error}"
        );
        drop(held);
        StateDir::open(home.path()).unwrap();
    }

    #[test]
    fn an_open_directory_is_closed_but_an_exposed_secret_is_refused() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let state = StateDir::open(home.path()).unwrap();
        assert_eq!(mode(home.path()), 0o700);
        let key = state.client_key().unwrap();
        fs::set_permissions(&key.path, Permissions::from_mode(0o644)).unwrap();
        let error = state.client_key().unwrap_err();
        assert!(
            matches!(error, StateError::Exposed { mode: 0o644, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_damaged_key_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(home.path()).unwrap();
        write_private(&home.path().join(DIGEST_KEY), &Secret::new("short")).unwrap();
        write_private(
            &home.path().join(CLIENT_KEY),
            &Secret::new("two lines of\ntext, long enough"),
        )
        .unwrap();
        assert!(matches!(state.digest_key(), Err(StateError::Damaged { .. })));
        assert!(matches!(state.client_key(), Err(StateError::Damaged { .. })));
    }
}
