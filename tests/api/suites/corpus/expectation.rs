//! The files of the corpus: objects with comments that say what is expected.

/// One object.
#[derive(Debug)]
pub(super) struct Case {
    /// The file and the line that it begins at.
    pub(super) place: String,
    /// Its kind.
    pub(super) kind: String,
    /// Its name.
    pub(super) name: String,
    /// The object, as YAML.
    pub(super) text: String,
    /// What is expected.
    pub(super) expected: Expected,
}

/// What is expected of an object.
#[derive(Debug)]
pub(super) enum Expected {
    /// It is accepted; by `validate` with the reason of this condition.
    Accepted { condition: Option<String> },
    /// It is refused because of this field (empty: of none), with a message that has this text.
    Refused { field: String, text: String },
    /// Nothing is said: it is there to be changed by the next.
    First,
}

/// The objects of one file.
pub(super) fn cases(file: &str, text: &str) -> Vec<Case> {
    let mut line = 1;
    let mut cases = Vec::new();
    for document in text.split("---\n") {
        cases.push(Case {
            place: format!("{file}:{line}"),
            kind: value(document, "kind: "),
            name: value(document, "metadata: {name: "),
            text: document.to_owned(),
            expected: expected(document),
        });
        line += document.lines().count() + 1;
    }
    cases
}

/// What follows `key` up to the end of the word.
fn value(document: &str, key: &str) -> String {
    let line = document.lines().find_map(|line| line.strip_prefix(key));
    let line = line.unwrap_or_default();
    let end = line.find([',', '}', ' ']).unwrap_or(line.len());
    line[..end].to_owned()
}

fn expected(document: &str) -> Expected {
    let comments = document.lines().filter_map(|line| line.strip_prefix("# "));
    for comment in comments {
        if let Some(refused) = comment.strip_prefix("refused") {
            let (field, text) = refused.split_once(" (").unwrap_or((refused, ""));
            return Expected::Refused {
                field: field.trim_start_matches(": ").to_owned(),
                text: text.trim_end_matches(')').to_owned(),
            };
        }
        if let Some(accepted) = comment.strip_prefix("accepted") {
            let condition = accepted.strip_prefix("; ").map(str::to_owned);
            return Expected::Accepted { condition };
        }
    }
    Expected::First
}
