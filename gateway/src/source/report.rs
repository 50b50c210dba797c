//! What `roundhouse-gateway validate` finds.

use std::path::PathBuf;

use resources::{
    Condition, ConditionType, Identity, Kind, Place, Reason, compile,
    manifest::{Origin, Reader, gather},
};
use snapshot::{DigestKey, Secret};

use super::{
    SourceError, read,
    scan::{Paths, Scan},
};

/// All objects of some files and what is true of them.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In order of file and line.
    pub entries: Vec<Entry>,
}

/// One object, or a piece of text that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is written.
    pub origin: Origin,
    /// Which object it is, as far as that can be told.
    pub identity: Option<Identity>,
    /// What is true of it; at least one.
    pub conditions: Vec<Condition>,
}

impl Report {
    /// Whether there are objects, and every condition of each is true.
    pub fn is_good(&self) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(Entry::is_good)
    }
}

impl Entry {
    /// Whether every condition is true.
    pub fn is_good(&self) -> bool {
        self.conditions.iter().all(|condition| condition.status)
    }
}

/// Reads and compiles files without serving them. Fails when a path does not exist or cannot be read.
pub fn validate(paths: &[PathBuf]) -> Result<Report, SourceError> {
    for path in paths {
        let check = if path.is_dir() {
            std::fs::read_dir(path).map(drop)
        } else {
            std::fs::File::open(path).map(drop)
        };
        check.map_err(|source| SourceError::Path {
            path: path.clone(),
            source,
        })?;
    }
    let paths = Paths {
        named: paths.to_owned(),
        made: None,
    };
    let scan: Scan = paths.scan();
    let (files, _) = read::files(&Reader::new(), &paths, scan);
    let mut entries = Vec::new();
    let mut manifests = Vec::new();
    for file in files {
        match file.manifests {
            Ok(found) => manifests.extend(found),
            Err(why) => entries.push(unreadable(&file.name, why)),
        }
    }
    let gathered = gather(manifests);
    // Digests stay in this process, so any key will do.
    let key = DigestKey::new(&Secret::new("validate"));
    let compiled = compile(&gathered.objects, &key, Place::Standalone);
    entries.extend(gathered.refused.iter().map(|refused| Entry {
        origin: refused.origin.clone(),
        identity: refused.identity.clone(),
        conditions: vec![refused.condition()],
    }));
    for (identity, origin) in &gathered.origins {
        let told = compiled
            .conditions
            .iter()
            .find(|object| object.identity == *identity);
        let conditions = match (told, identity.kind) {
            (Some(object), _) => object.conditions.clone(),
            (None, Kind::Secret | Kind::ConfigMap) => vec![Condition {
                kind: ConditionType::Accepted,
                status: true,
                reason: Reason::Valid,
                message: String::new(),
            }],
            (None, _) => continue,
        };
        entries.push(Entry {
            origin: origin.clone(),
            identity: Some(identity.clone()),
            conditions,
        });
    }
    entries.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(Report { entries })
}

fn unreadable(file: &str, why: String) -> Entry {
    Entry {
        origin: Origin {
            file: file.into(),
            line: 1,
        },
        identity: None,
        conditions: vec![Condition {
            kind: ConditionType::Accepted,
            status: false,
            reason: Reason::InvalidYaml,
            message: why,
        }],
    }
}
