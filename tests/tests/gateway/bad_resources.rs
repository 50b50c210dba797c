//! Resource files that are wrong, and what `validate` says about them.

use harness::{CLIENT_KEY, Fixture, validate};
use serde_json::json;

fn good() -> Fixture {
    Fixture::new()
        .provider("p", "http://127.0.0.1:9/v1", &["m"])
        .credential("p", "a")
        .client("app", CLIENT_KEY)
        .route(
            "r",
            &["r"],
            json!([{ "providerRef": { "name": "p" }, "model": "m" }]),
        )
}

#[test]
fn good_resources_are_accepted() {
    let validation = validate(&[("all.yaml", &good().yaml())]);
    assert_eq!(validation.code, 0, "{}", validation.text());
    for name in ["Provider", "Credential", "ClientKey", "ModelRoute", "Accepted"] {
        assert!(
            validation.output.contains(name),
            "{name} is listed: {}",
            validation.output
        );
    }
    assert!(
        !validation.text().contains(CLIENT_KEY),
        "no key is printed: {}",
        validation.text()
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of mistakes")]
fn each_mistake_is_named() {
    let url = "/spec/url";
    let cases: Vec<(&str, Fixture, Vec<&str>)> = vec![
        (
            "an unknown field",
            good().amend("Provider", "p", "/spec/colour", json!("red")),
            vec!["colour"],
        ),
        (
            "an unknown field deep inside",
            good().amend("Provider", "p", "/spec/timeouts/lunch", json!("1h")),
            vec!["lunch"],
        ),
        (
            "a wrong type",
            good().amend("Credential", "a", "/spec/weight", json!("heavy")),
            vec!["weight"],
        ),
        (
            "a value out of range",
            good().amend("Credential", "a", "/spec/weight", json!(-1)),
            vec!["weight"],
        ),
        (
            "an unknown enum value",
            good().amend("Provider", "p", "/spec/dialect", json!("Klingon")),
            vec!["dialect", "Klingon"],
        ),
        (
            "a bad duration",
            good().amend("Provider", "p", "/spec/timeouts/idle", json!("soon")),
            vec!["idle"],
        ),
        (
            "a bad URL",
            good().amend("Provider", "p", url, json!("not a url")),
            vec!["url"],
        ),
        (
            "a URL that is neither HTTP nor HTTPS",
            good().amend("Provider", "p", url, json!("ftp://127.0.0.1/")),
            vec!["url"],
        ),
        (
            "plain HTTP to the world",
            good().amend("Provider", "p", url, json!("http://8.8.8.8/v1")),
            vec!["http"],
        ),
        (
            "no URL",
            good().amend("Provider", "p", "/spec", json!({ "dialect": "OpenAI" })),
            vec!["url"],
        ),
        (
            "a Provider that is not there",
            good().amend(
                "Credential",
                "a",
                "/spec/providerRef/name",
                json!("missing-provider"),
            ),
            vec!["missing-provider"],
        ),
        (
            "a target that is not there",
            good().amend(
                "ModelRoute",
                "r",
                "/spec/targets/0/providerRef/name",
                json!("missing-provider"),
            ),
            vec!["missing-provider"],
        ),
        (
            "a Secret that is not there",
            good().without("Secret", "a-key"),
            vec!["a-key", "SecretMissing"],
        ),
        (
            "a Secret without the key",
            good().amend("Secret", "a-key", "/stringData", json!({ "other": "x" })),
            vec!["a-key", "api-key", "KeyMissing"],
        ),
        (
            "a key that is too short",
            good().amend("Secret", "app-client", "/stringData/api-key", json!("short")),
            vec!["WeakKey"],
        ),
        (
            "two of one name",
            good().provider("p", "http://127.0.0.1:9/v1", &[]),
            vec!["p"],
        ),
        (
            "a name that shadows a route",
            good().provider("chat", "http://127.0.0.1:9/v1", &[]),
            vec!["chat"],
        ),
        (
            "a variable that is not set",
            good().amend(
                "Secret",
                "a-key",
                "/stringData/api-key",
                json!("${ROUNDHOUSE_TEST_UNSET}"),
            ),
            vec!["ROUNDHOUSE_TEST_UNSET"],
        ),
        (
            "a file that is not there",
            good().amend(
                "Secret",
                "a-key",
                "/stringData/api-key",
                json!("${file:/nowhere/key}"),
            ),
            vec!["/nowhere/key"],
        ),
        (
            "an unknown kind of ours",
            good().set("/kind", json!("Engine")),
            vec!["Engine"],
        ),
        (
            "an unknown version",
            good().set("/apiVersion", json!("roundhouse.dev/v9")),
            vec!["v9"],
        ),
        ("no name", good().set("/metadata", json!({})), vec!["name"]),
        (
            "a route without targets",
            good().amend("ModelRoute", "r", "/spec/targets", json!([])),
            vec!["targets"],
        ),
        (
            "a header for the key without its name",
            good().amend("Provider", "p", "/spec/auth", json!({ "type": "Header" })),
            vec!["header"],
        ),
    ];
    let mut failures = Vec::new();
    for (what, fixture, words) in cases {
        let validation = validate(&[("all.yaml", &fixture.yaml())]);
        let text = validation.text();
        if validation.code != 1 {
            failures.push(format!(
                "{what}: exit code {}, expected 1:\n{text}",
                validation.code
            ));
        }
        for word in words {
            if !text.contains(word) {
                failures.push(format!("{what}: {word:?} is not mentioned:\n{text}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn yaml_mistakes_come_with_file_and_line() {
    // Where a parser notices an open bracket is a matter of taste, within reason.
    for (what, text, lines) in [
        (
            "a tab",
            "apiVersion: v1\nkind: Secret\nmetadata:\n\tname: x\n",
            vec!["4"],
        ),
        (
            "an open bracket",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: x\nstringData: {}\n",
            vec!["3", "4", "5"],
        ),
        (
            "two equal keys",
            "apiVersion: v1\nkind: Secret\nkind: Secret\nmetadata: {name: x}\n",
            vec!["2", "3"],
        ),
        ("not an object", "- 1\n- 2\n", vec!["1"]),
    ] {
        let validation = validate(&[("good.yaml", &good().yaml()), ("broken.yaml", text)]);
        assert_eq!(validation.code, 1, "{what}: {}", validation.text());
        let output = validation.text();
        let row = output.lines().find_map(|row| row.split_once("broken.yaml"));
        let Some((_, rest)) = row else {
            panic!("{what}: the file is named: {output}");
        };
        assert!(
            lines.iter().any(|line| rest.contains(line)),
            "{what}: line {lines:?} is named: {output}"
        );
    }
}

#[test]
fn one_bad_object_does_not_spoil_the_others() {
    let fixture = good().amend("Credential", "a", "/spec/providerRef/name", json!("missing"));
    let validation = validate(&[("all.yaml", &fixture.yaml())]);
    assert_eq!(validation.code, 1);
    assert!(
        validation
            .output
            .lines()
            .any(|line| line.contains("Provider") && line.contains("True")),
        "the Provider is all right: {}",
        validation.output
    );
}

#[test]
fn nothing_to_read_is_bad_usage_or_a_failed_check() {
    let validation = validate(&[]);
    assert!(matches!(validation.code, 0..=2), "{}", validation.text());
    let broken = validate(&[("x.yaml", "\u{0}\u{1}binary")]);
    assert_eq!(broken.code, 1, "{}", broken.text());
}
