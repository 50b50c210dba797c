//! What `validate` prints.

use std::{fs, path::PathBuf};

use super::{Outcome, run};

/// The outcome and the lines for files in a folder, with ` | ` between columns, whose width depends on the
/// name of the folder.
fn validate(files: &[(&str, &str)]) -> (Outcome, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let mut out = Vec::new();
    let outcome = run(&[folder.path().to_owned()], &mut out).expect("the folder exists");
    let text = String::from_utf8(out).expect("text");
    let text = text.replace(&format!("{}/", folder.path().display()), "");
    let narrow = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.collect::<Vec<_>>().join(" | ")
    };
    let lines: Vec<String> = text.lines().map(narrow).collect();
    (outcome, lines.join("\n"))
}

const GOOD: &str = "apiVersion: roundhouse.dev/v1alpha1
kind: Provider
metadata: {name: up, namespace: team}
spec: {dialect: OpenAI, url: 'https://api.example.com/v1'}
";

#[test]
fn every_condition_of_every_object_is_a_line() {
    let (outcome, text) = validate(&[("a.yaml", GOOD)]);
    assert_eq!(outcome, Outcome::Good);
    let expected = "\
KIND | NAME | CONDITION | STATUS | REASON | WHERE | MESSAGE
Provider | team/up | Accepted | True | Valid | a.yaml:1
Provider | team/up | ResolvedRefs | True | Resolved | a.yaml:1

1 object, all good";
    assert_eq!(text, expected);
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let bad = GOOD.replace("url", "uri");
    let text = format!("{bad}---\nspec: [\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n");
    let (outcome, text) = validate(&[("a.yaml", &text)]);
    assert_eq!(outcome, Outcome::Bad);
    for expected in [
        "Provider | team/up | Accepted | False | InvalidSpec | a.yaml:1 | line 4: spec.uri: unknown field",
        "- | - | Accepted | False | InvalidYaml | a.yaml:6 | line 6: ",
        "Secret | default/s | Accepted | True | Valid | a.yaml:8",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(text.ends_with("\n3 objects, 2 not usable"), "{text}");
}

#[test]
fn nothing_to_check_is_not_good() {
    let (outcome, text) = validate(&[]);
    assert_eq!(outcome, Outcome::Bad);
    assert!(text.ends_with("no objects found"), "{text}");
}

#[test]
fn a_path_that_does_not_exist_is_bad_usage() {
    let error = run(&[PathBuf::from("/nowhere/at/all")], &mut Vec::new()).expect_err("nothing is there");
    assert_eq!(error.to_string(), "cannot read /nowhere/at/all");
}
