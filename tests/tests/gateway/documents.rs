//! What the documents show is what the gateway takes.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use harness::{Fixture, Gateway, Reply, Upstream, When, binary, repository, validate_with};

/// README.md and everything in docs.
fn documents() -> Vec<PathBuf> {
    let mut documents = vec![repository().join("README.md")];
    let entries = fs::read_dir(repository().join("docs")).unwrap();
    documents.extend(
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    documents
}

/// The YAML in a document, with the line on which each block begins.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line == "```yaml" => open = Some((index + 2, String::new())),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block of YAML does not end");
    blocks
}

/// What stands between `${` and `}`.
fn references(block: &str) -> BTreeSet<&str> {
    block
        .split("${")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('}')?.0))
        .collect()
}

#[test]
fn every_resource_in_the_documents_is_valid() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for (line, block) in blocks(&text) {
            let (files, variables): (Vec<&str>, Vec<&str>) = references(&block)
                .into_iter()
                .partition(|name| name.starts_with("file:"));
            // No two values are the same, as no two keys may be.
            let value = |name: &str| format!("a-long-enough-value-of-{name}");
            let contents: Vec<String> = files.iter().map(|name| value(name)).collect();
            let mut folder = vec![("block.yaml", block.as_str())];
            for (name, content) in files.iter().zip(&contents) {
                folder.push((name.trim_start_matches("file:"), content));
            }
            let variables: Vec<(String, String)> = variables
                .iter()
                .filter(|name| !name.contains(":-"))
                .map(|name| ((*name).to_owned(), value(name)))
                .collect();
            let said = validate_with(&folder, &variables);
            assert_eq!(said.code, 0, "{}:{line}:\n{}", document.display(), said.text());
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} blocks were found");
}

/// The fields and enumerated values of `spec` in a generated definition, which is YAML in block style.
fn words(definition: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut above: Vec<(usize, &str)> = Vec::new();
    let spec = definition
        .lines()
        .skip_while(|line| *line != "          spec:")
        .take_while(|line| *line != "          status:");
    for line in spec {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(value) = text.strip_prefix("- ") {
            if above
                .last()
                .is_some_and(|(at, key)| *at == indent && *key == "enum")
            {
                words.insert(value.to_owned());
            }
            continue;
        }
        above.retain(|(at, _)| *at < indent);
        let Some((key, _)) = text.split_once(':') else {
            continue;
        };
        if above.last().is_some_and(|(_, parent)| *parent == "properties") {
            words.insert(key.to_owned());
        }
        above.push((indent, key));
    }
    words
}

#[test]
fn every_field_and_value_is_documented() {
    let guide = fs::read_to_string(repository().join("docs/resources.md")).unwrap();
    let told: BTreeSet<&str> = guide
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .collect();
    for kind in ["providers", "credentials", "modelroutes", "clientkeys"] {
        let definition = repository().join(format!("deploy/crds/{kind}.yaml"));
        let words = words(&fs::read_to_string(definition).unwrap());
        assert!(words.len() >= 8, "{kind}: only {words:?} were found");
        let missing: Vec<_> = words
            .iter()
            .filter(|word| !told.contains(word.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "docs/resources.md does not tell of {missing:?} of {kind}"
        );
    }
}

#[test]
fn every_link_leads_to_something() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(')')?.0));
        for link in links.filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                document.clone()
            } else {
                document.parent().unwrap().join(path)
            };
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            if !anchor.is_empty() {
                let target = fs::read_to_string(target).unwrap();
                let found = target
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| anchor_of(line) == anchor);
                assert!(found, "{}: {link} has no such heading", document.display());
            }
        }
    }
}

/// How the anchor of a heading is made.
fn anchor_of(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => Some(letter),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn every_flag_and_metric_is_documented() {
    let guide = fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let help = Command::new(binary()).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let flags: BTreeSet<&str> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && *word != "--help")
        .collect();
    assert!(flags.len() >= 10, "only {flags:?} were found");
    for flag in flags {
        assert!(
            guide.contains(&format!("`{flag}")),
            "docs/operations.md does not tell of {flag}"
        );
    }
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b"])).await;
    upstream.once(When::credential("a"), Reply::rate_limited("60"));
    for _ in 0..2 {
        gateway.client().chat("m").await.expect(200);
    }
    let metrics = gateway
        .metrics_when("the calls are counted", |metrics| {
            metrics.sum("roundhouse_requests_total", &[]) > 1.0
        })
        .await;
    let names = metrics
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE roundhouse_")?.split_once(' '))
        .map(|(name, _)| name);
    for name in names {
        assert!(
            guide.contains(&format!("`{name}`")),
            "docs/operations.md does not tell of {name}"
        );
    }
}
