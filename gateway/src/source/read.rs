//! Reads manifests and what they refer to.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use resources::manifest::{Manifest, Reader, Surroundings};

use super::scan::{Paths, Scan, fingerprint};

/// Longer files are no manifests.
const MAX_MANIFEST: u64 = 16 << 20;
/// Longer files are no values.
const MAX_VALUE: u64 = 1 << 20;

/// One file as it was read.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// The file as people know it, for messages.
    pub(super) name: String,
    /// Whether the path was named itself, not found in a folder.
    pub(super) is_named: bool,
    /// The objects, or why the file could not be read.
    pub(super) manifests: Result<Vec<Manifest>, String>,
}

/// Reads all files of a scan, and completes the scan with the files that they refer to.
pub(super) fn files(reader: &Reader, paths: &Paths, mut scan: Scan) -> (Vec<File>, Scan) {
    let mut files = Vec::new();
    let mut referenced = BTreeSet::new();
    for (path, _) in &scan.manifests {
        let name = path.display().to_string();
        let mut surroundings = Environment {
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            expands: !paths.is_made(path),
            referenced: &mut referenced,
        };
        let manifests = match read(path, MAX_MANIFEST).map(String::from_utf8) {
            Ok(Ok(text)) => Ok(reader.read(&name, &text, &mut surroundings)),
            Ok(Err(_)) => Err("it is not UTF-8 text".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        files.push(File {
            path: path.clone(),
            name,
            is_named: paths.is_named(path),
            manifests,
        });
    }
    // A file keeps the fingerprint from before it was read: a change meanwhile shows at the next look.
    scan.referenced = referenced
        .into_iter()
        .map(|path| {
            let known = scan.referenced.get(&path).copied();
            let fingerprint = known.unwrap_or_else(|| fingerprint(&path));
            (path, fingerprint)
        })
        .collect();
    (files, scan)
}

/// The environment of the process, and files beside the manifest.
struct Environment<'a> {
    folder: PathBuf,
    expands: bool,
    referenced: &'a mut BTreeSet<PathBuf>,
}

impl Surroundings for Environment<'_> {
    fn variable(&mut self, name: &str) -> Option<String> {
        if !self.expands {
            return None;
        }
        #[expect(clippy::disallowed_methods, reason = "resource files may name variables")]
        std::env::var_os(name)?.into_string().ok()
    }

    fn file(&mut self, path: &str) -> Result<Vec<u8>, String> {
        if !self.expands {
            return Err("objects made through the API are not expanded".to_owned());
        }
        let path = self.folder.join(path);
        let content = read(&path, MAX_VALUE).map_err(|error| error.to_string());
        self.referenced.insert(path);
        content
    }
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(content)
}
