//! Files: text to objects, with the line of everything that is wrong.

mod document;
mod expand;
mod names;
pub(crate) mod yaml;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use expand::Surroundings;
pub(crate) use expand::first_reference;

use crate::{Condition, ConditionType, Identity, Object, Objects, Reason, schema::Checker};

/// Longer files are not read.
const MAX_FILE: usize = 8 << 20;

/// Reads manifests. Made once, because making the checks ready costs some milliseconds.
pub struct Reader {
    checker: Checker,
}

/// Where an object was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line that the object starts on, from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One object of a file, or what is wrong with it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Where it was written.
    pub origin: Origin,
    /// Which object it is, as far as that can be told.
    pub identity: Option<Identity>,
    /// The object, or at least one problem.
    pub content: Result<Object, Vec<Problem>>,
}

/// Something wrong in a file. Never holds the value of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem.
    pub reason: Reason,
    /// The line, from 1.
    pub line: u32,
    /// The field, such as `spec.headers[0].name`; empty for the whole object.
    pub path: String,
    /// What is wrong: what was expected and what was found.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "line {}: {}", self.line, self.message)
        } else {
            write!(f, "line {}: {}: {}", self.line, self.path, self.message)
        }
    }
}

/// An object that is not accepted, or a piece of text that is none.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Where it was written.
    pub origin: Origin,
    /// Which object it is, as far as that can be told.
    pub identity: Option<Identity>,
    /// What is wrong with it; at least one.
    pub problems: Vec<Problem>,
}

impl Refused {
    /// The condition that says so.
    pub fn condition(&self) -> Condition {
        let messages: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        Condition {
            kind: ConditionType::Accepted,
            status: false,
            reason: self
                .problems
                .first()
                .map_or(Reason::InvalidSpec, |problem| problem.reason),
            message: messages.join("; "),
        }
    }
}

/// The manifests of all files put together.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The objects that are valid by themselves.
    pub objects: Objects,
    /// Where each was written.
    pub origins: BTreeMap<Identity, Origin>,
    /// What is not.
    pub refused: Vec<Refused>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// Makes the checks of all kinds ready.
    pub fn new() -> Self {
        Self {
            checker: Checker::new(),
        }
    }

    /// Reads the text of one file: YAML of any number of documents, or JSON.
    ///
    /// Every mistake is that of one object; the others of the file are read.
    pub fn read(&self, file: &str, text: &str, surroundings: &mut dyn Surroundings) -> Vec<Manifest> {
        let file: Arc<str> = file.into();
        if text.len() > MAX_FILE {
            let message = format!("the file is longer than {MAX_FILE} bytes");
            return vec![unreadable(&file, 1, message)];
        }
        let mut manifests = Vec::new();
        for document in yaml::documents(text) {
            match document {
                Ok(document) => document::read(document, &file, &self.checker, surroundings, &mut manifests),
                Err(malformed) => manifests.push(unreadable(&file, malformed.line, malformed.message)),
            }
        }
        manifests
    }
}

fn unreadable(file: &Arc<str>, line: u32, message: String) -> Manifest {
    Manifest {
        origin: Origin {
            file: Arc::clone(file),
            line,
        },
        identity: None,
        content: Err(vec![Problem {
            reason: Reason::InvalidYaml,
            line,
            path: String::new(),
            message,
        }]),
    }
}

/// Puts the manifests of all files together. Of two objects with one name the first is kept.
pub fn gather(manifests: impl IntoIterator<Item = Manifest>) -> Gathered {
    let mut gathered = Gathered::default();
    let mut written: BTreeMap<Identity, Origin> = BTreeMap::new();
    for manifest in manifests {
        let Manifest {
            origin,
            identity,
            content,
        } = manifest;
        if let Some(first) = identity.as_ref().and_then(|identity| written.get(identity)) {
            let problem = Problem {
                reason: Reason::DuplicateName,
                line: origin.line,
                path: String::new(),
                message: format!("{origin} has the same kind and name as {first}; only the first counts"),
            };
            gathered.refused.push(Refused {
                origin,
                identity,
                problems: vec![problem],
            });
            continue;
        }
        if let Some(identity) = &identity {
            written.insert(identity.clone(), origin.clone());
        }
        match (content, identity) {
            (Ok(object), Some(identity)) => {
                gathered.objects.insert(identity.name.clone(), object);
                gathered.origins.insert(identity, origin);
            }
            (Err(problems), identity) => gathered.refused.push(Refused {
                origin,
                identity,
                problems,
            }),
            (Ok(_), None) => {}
        }
    }
    gathered
}

#[cfg(test)]
mod tests;
