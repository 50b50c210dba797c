//! Manifests as data: what is read, and what is said of what cannot be.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::prelude::*;
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

#[test]
fn what_is_said_never_holds_the_value_of_a_secret() {
    // Every case of the table writes its secrets with this word.
    let cases = include_str!("tests/bad.txt");
    for case in cases.split("\n=== ").skip(1) {
        let text = case.split_once('\n').map_or("", |(_, rest)| rest);
        let text = text.split("\n>>>").next().unwrap_or_default();
        let (gathered, compiled) = read(text);
        let printed = format!("{gathered:?} {compiled:?} {:#?}", compiled.snapshot);
        assert!(!printed.contains("canary"), "{case}\n{printed}");
        assert!(!verdicts(text).join("\n").contains("canary"), "{case}");
    }
}

#[test]
fn a_bad_object_leaves_all_others_alone() {
    let good = include_str!("../../../../deploy/local/quickstart.yaml");
    let (_, alone) = read(good);
    let cases = include_str!("tests/bad.txt");
    for case in cases.split("\n=== ").skip(1) {
        let text = case.split_once('\n').map_or("", |(_, rest)| rest);
        let text = text.split("\n>>>").next().unwrap_or_default();
        let (_, together) = read(&format!("{text}\n---\n{good}"));
        for name in alone.snapshot.providers.keys() {
            assert!(
                together.snapshot.providers.contains_key(name),
                "{name} beside {case}"
            );
        }
        for name in alone.snapshot.routes.keys() {
            assert!(
                together.snapshot.routes.contains_key(name),
                "{name} beside {case}"
            );
        }
    }
}

#[test]
fn the_quickstart_starts_without_keys_and_names_what_is_missing() {
    let text = include_str!("../../../../deploy/local/quickstart.yaml");
    let told = [
        "Credential default/anthropic ResolvedRefs/UnexpandedVariable key api-key of Secret anthropic: the variable \
         ANTHROPIC_API_KEY is not set",
        "Credential default/openai ResolvedRefs/UnexpandedVariable key api-key of Secret openai: the variable \
         OPENAI_API_KEY is not set",
    ];
    assert_eq!(verdicts(text), told);
    let (_, compiled) = read(text);
    assert_eq!(compiled.snapshot.providers.len(), 3);
    assert_eq!(compiled.snapshot.routes.len(), 2);
}

#[test]
fn an_exported_object_is_read_as_it_is() {
    let text = "apiVersion: v1
kind: List
metadata: {resourceVersion: ''}
items:
- apiVersion: roundhouse.dev/v1alpha1
  kind: Provider
  metadata:
    annotations: {a: b}
    creationTimestamp: 2026-01-01T00:00:00Z
    generation: 2
    name: up
    namespace: team
    resourceVersion: '77'
    uid: 0b5b7e0e
  spec: {dialect: OpenAI, service: {name: vllm, port: 8000}}
  status: {observedGeneration: 2}
";
    assert_eq!(verdicts(text), [] as [String; 0]);
    let (gathered, _) = read(text);
    let origins: Vec<String> = gathered
        .origins
        .iter()
        .map(|(name, at)| format!("{name} {at}"))
        .collect();
    assert_eq!(origins, ["Provider team/up test.yaml:5"]);
}

#[test]
fn values_come_from_data_and_string_data() {
    let text = "apiVersion: v1
kind: Secret
metadata: {name: keys}
type: Opaque
data: {a: Y2FuYXJ5, b: Y2Fu}
stringData:
  b: wins
  c: ${SET}
  d: ${file:key.txt}
";
    let (gathered, _) = read(text);
    let Some(values) = gathered.objects.secret("default", "keys") else {
        panic!("the Secret is there");
    };
    let values: Vec<String> = values
        .values
        .iter()
        .map(|(key, value)| match value {
            crate::SecretValue::Known(secret) => {
                format!("{key}={}", String::from_utf8_lossy(secret.expose()))
            }
            crate::SecretValue::Unexpanded(why) => format!("{key}: {why}"),
        })
        .collect();
    assert_eq!(
        values,
        ["a=canary", "b=wins", "c=from-the-environment", "d=from-a-file"]
    );
}

/// Texts that look like manifests at the start and like anything at the end.
fn almost_manifests() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "apiVersion: roundhouse.dev/v1alpha1\n",
        "apiVersion: v1\n",
        "kind: Provider\n",
        "kind: Secret\n",
        "kind: List\n",
        "metadata: {name: up}\n",
        "metadata:\n  name: up\n",
        "spec:\n",
        "  dialect: OpenAI\n",
        "  url: ${A:-http://localhost/v1}\n",
        "  url: http://[::1\n",
        "  headers: [{name: x, value: y}]\n",
        "  timeouts: {connect: 99999h}\n",
        "stringData: {api-key: ${}}\n",
        "data: {a: '!'}\n",
        "items:\n",
        "- ",
        "? ",
        "&a ",
        "*a ",
        "!!str ",
        "|\n",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\t",
        "{",
        "[",
        "]",
        "}",
        "'",
        "\"",
        "\\u00",
        ": ",
        "# ",
        "\u{feff}",
    ]);
    let piece = prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => "\\PC{0,6}", 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_breaks_the_reader(text in almost_manifests()) {
        verdicts(&text);
    }

    #[test]
    fn no_characters_break_the_reader(text in any::<String>()) {
        verdicts(&text);
    }
}
