//! Which files there are, and whether they have changed.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where to look.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    /// Files and folders that were named.
    pub(super) named: Vec<PathBuf>,
    /// The folder of objects made through the API.
    pub(super) made: Option<PathBuf>,
}

/// What identifies one state of a file: a write, a rename over it or another target of its link changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

/// The files at one moment. `None` stands for a file that is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scan {
    /// Manifests in the order in which they count.
    pub(super) manifests: Vec<(PathBuf, Option<Fingerprint>)>,
    /// Files that manifests refer to with `${file:PATH}`.
    pub(super) referenced: BTreeMap<PathBuf, Option<Fingerprint>>,
}

impl Paths {
    /// Lists the manifests: files as they are named, folders with their `.yaml`, `.yml` and `.json` files in
    /// order of name. Hidden files and folders inside folders are left out, as `kubectl` leaves them out.
    pub(super) fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        let mut seen = Vec::new();
        for path in self.named.iter().chain(&self.made) {
            let is_made = self.made.as_ref() == Some(path);
            let files = if path.is_dir() {
                in_folder(path)
            } else if is_made {
                Vec::new()
            } else {
                vec![path.clone()]
            };
            for file in files {
                // One file named twice, such as by its folder too, counts once.
                let real = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
                if !seen.contains(&real) {
                    seen.push(real);
                    let fingerprint = fingerprint(&file);
                    scan.manifests.push((file, fingerprint));
                }
            }
        }
        scan
    }

    /// A scan that also looks at the files that the manifests referred to when they were last read.
    pub(super) fn scan_with(&self, read: &Scan) -> Scan {
        let mut scan = self.scan();
        let paths = read.referenced.keys().cloned();
        scan.referenced = paths
            .map(|path| {
                let fingerprint = fingerprint(&path);
                (path, fingerprint)
            })
            .collect();
        scan
    }

    pub(super) fn is_made(&self, file: &Path) -> bool {
        self.made.as_deref().is_some_and(|made| file.starts_with(made))
    }

    /// Whether the file itself was named, not found in a folder.
    pub(super) fn is_named(&self, file: &Path) -> bool {
        self.named.iter().any(|path| path == file)
    }
}

pub(super) fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = fs::metadata(path).ok()?;
    Some(Fingerprint {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        // Reading the folder as a file then says why it cannot be read.
        return vec![folder.to_owned()];
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let is_hidden = path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            let is_manifest = path
                .extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
            is_manifest && !is_hidden && !path.is_dir()
        })
        .collect();
    files.sort();
    files
}
