//! Manifests as data: what is read, and what is said of what cannot be.

use std::{collections::BTreeMap, sync::LazyLock};

use snapshot::{DigestKey, Secret};

use super::{Reader, Surroundings, gather};
use crate::{Compiled, Place, compile};

static READER: LazyLock<Reader> = LazyLock::new(Reader::new);

/// An environment made of lists.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Surroundings for Fake {
    fn variable(&mut self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&mut self, path: &str) -> Result<Vec<u8>, String> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| "no such file".to_owned())
    }
}

/// What is said of each object of a text: `Kind namespace/name Condition/Reason line message`.
fn verdicts(text: &str) -> Vec<String> {
    let (gathered, compiled) = read(text);
    let mut lines = Vec::new();
    for refused in &gathered.refused {
        let name = match &refused.identity {
            Some(identity) => identity.to_string(),
            None => "?".to_owned(),
        };
        for problem in &refused.problems {
            lines.push(format!("{name} Accepted/{} {problem}", problem.reason));
        }
    }
    for object in &compiled.conditions {
        for condition in object.conditions.iter().filter(|condition| !condition.status) {
            lines.push(format!(
                "{} {}/{} {}",
                object.identity, condition.kind, condition.reason, condition.message
            ));
        }
    }
    lines
}

pub(crate) fn read(text: &str) -> (super::Gathered, Compiled) {
    let mut fake = Fake::default();
    fake.variables
        .insert("SET".to_owned(), "from-the-environment".to_owned());
    fake.files.insert("key.txt".to_owned(), b"from-a-file\n".to_vec());
    let gathered = gather(READER.read("test.yaml", text, &mut fake));
    let key = DigestKey::new(&Secret::new("installation"));
    let compiled = compile(&gathered.objects, &key, Place::Standalone);
    (gathered, compiled)
}

#[test]
fn each_bad_object_is_told_what_is_wrong_and_where() {
    let cases = include_str!("tests/bad.txt");
    let mut failures = Vec::new();
    let mut count = 0;
    for case in cases.split("\n=== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap_or((case, ""));
        let (text, expected) = rest.split_once("\n>>>\n").unwrap_or((rest, ""));
        let expected: Vec<&str> = expected.lines().filter(|line| !line.is_empty()).collect();
        let actual = verdicts(&text.replace("<tab>", "\t"));
        count += 1;
        if actual != expected {
            failures.push(format!("=== {title}\n{}", actual.join("\n")));
        }
    }
    assert!(count >= 40, "the table has {count} cases");
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
