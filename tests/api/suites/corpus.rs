//! Objects and what becomes of them: an API server and `roundhouse-gateway validate` say the same.
//!
//! `corpus/` holds YAML files. Above each object a comment says what it is about, and then what is expected:
//! `# accepted`, `# refused: FIELD`, or `# refused: FIELD (TEXT)` when both messages have that text; without the field where
//! the text is no object. After `# accepted; REASON` the object is fit for an API server and gets a condition, which only `validate` tells.

mod expectation;
mod verdict;

use std::fs;

use cluster::ApiServer;

use self::{
    expectation::{Case, Expected, cases},
    verdict::{Verdict, by_server, by_validate, change},
};

fn corpus(name: &str) -> Vec<Case> {
    let path = harness::repository().join("tests/api/corpus").join(name);
    let text = fs::read_to_string(&path).expect("the file can be read");
    cases(name, &text)
}

/// What does not fit the expectation; nothing when all does.
fn complaint(case: &Case, who: &str, verdict: &Verdict) -> Option<String> {
    let fits = match (&case.expected, verdict) {
        (Expected::Refused { field, text }, Verdict::Refused { fields, message }) => {
            (field.is_empty() || fields.contains(field)) && message.contains(text)
        }
        (Expected::Accepted { .. } | Expected::First, Verdict::Accepted) => true,
        _ => false,
    };
    let place = &case.place;
    let expected = &case.expected;
    (!fits).then(|| format!("{place}: expected {expected:?}; {who} said {verdict:?}"))
}

#[tokio::test]
async fn file_and_cluster_get_the_same_verdict() {
    let server = ApiServer::shared();
    server.namespace("corpus");
    let client = server.client().await;
    let mut complaints = Vec::new();
    let (mut refused, mut accepted) = (0, 0);
    for file in [
        "accepted.yaml",
        "client-key.yaml",
        "credential.yaml",
        "policies.yaml",
        "provider.yaml",
        "route.yaml",
    ] {
        let cases = corpus(file);
        for (case, validated) in cases.iter().zip(by_validate(&cases)) {
            match &case.expected {
                Expected::Refused { .. } => refused += 1,
                Expected::Accepted { condition } => {
                    accepted += 1;
                    if validated.condition != *condition {
                        let (place, found) = (&case.place, &validated.condition);
                        complaints.push(format!(
                            "{place}: expected the condition {condition:?}, found {found:?}"
                        ));
                    }
                }
                Expected::First => complaints.push(format!("{}: nothing is expected of it", case.place)),
            }
            // A second mistake could hide that the first is not seen.
            if let (Expected::Refused { .. }, Verdict::Refused { fields, .. }) =
                (&case.expected, &validated.verdict)
                && fields.len() > 1
            {
                complaints.push(format!("{}: more than one mistake: {fields:?}", case.place));
            }
            let answer = by_server(&client, "corpus", case).await;
            complaints.extend(complaint(case, "the API server", &answer));
            complaints.extend(complaint(case, "validate", &validated.verdict));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(
        refused >= 60 && accepted >= 20,
        "{refused} refused, {accepted} accepted"
    );
}

#[tokio::test]
async fn what_cannot_be_changed_stays() {
    let server = ApiServer::shared();
    server.namespace("changes");
    let client = server.client().await;
    let mut complaints = Vec::new();
    let cases = corpus("changes.yaml");
    for pair in cases.chunks(2) {
        let [first, second] = pair else {
            complaints.push("an object has no second".to_owned());
            continue;
        };
        complaints.extend(complaint(
            first,
            "the API server",
            &change(&client, "changes", first).await,
        ));
        complaints.extend(complaint(
            second,
            "the API server",
            &change(&client, "changes", second).await,
        ));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
