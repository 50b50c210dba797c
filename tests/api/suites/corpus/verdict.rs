//! What an API server and `validate` say about an object.

use harness::validate;
use http::{Request, header::CONTENT_TYPE};
use kube::{Client, Error};
use serde_json::Value;

use super::expectation::Case;

/// Whether an object is fit to be stored.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is.
    Accepted,
    /// It is not, because of these fields.
    Refused { fields: Vec<String>, message: String },
}

/// What `validate` said.
#[derive(Debug)]
pub(super) struct Validated {
    /// About the object as such.
    pub(super) verdict: Verdict,
    /// Why it is not accepted though its schema allows it.
    pub(super) condition: Option<String>,
}

/// Asks an API server to make the object without keeping it, as strictly as `kubectl apply` does.
pub(super) async fn by_server(client: &Client, namespace: &str, case: &Case) -> Verdict {
    let path = format!(
        "{}?dryRun=All&fieldValidation=Strict",
        collection(namespace, case)
    );
    send(
        client,
        Request::post(path).header(CONTENT_TYPE, "application/yaml"),
        case,
    )
    .await
}

/// Makes the object, or changes it where it is there.
pub(super) async fn change(client: &Client, namespace: &str, case: &Case) -> Verdict {
    let path = format!(
        "{}/{}?fieldManager=tests&force=true&fieldValidation=Strict",
        collection(namespace, case),
        case.name
    );
    let request = Request::patch(path).header(CONTENT_TYPE, "application/apply-patch+yaml");
    send(client, request, case).await
}

fn collection(namespace: &str, case: &Case) -> String {
    let plural = case.kind.to_lowercase() + "s";
    format!("/apis/roundhouse.dev/v1alpha1/namespaces/{namespace}/{plural}")
}

async fn send(client: &Client, request: http::request::Builder, case: &Case) -> Verdict {
    let request = request
        .body(case.text.clone().into_bytes())
        .expect("the request is complete");
    let status = match client.request::<Value>(request).await {
        Ok(_) => return Verdict::Accepted,
        Err(Error::Api(status)) => status,
        Err(error) => {
            let message = format!("no verdict: {error}");
            return Verdict::Refused {
                fields: Vec::new(),
                message,
            };
        }
    };
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    let mut fields: Vec<String> = causes.into_iter().map(|cause| cause.field).collect();
    // What strict decoding finds has no causes: unknown field "spec.colour".
    fields.extend(status.message.split('"').skip(1).step_by(2).map(str::to_owned));
    Verdict::Refused {
        fields,
        message: status.message,
    }
}

/// Gives every object a file of its own and runs `validate` on them.
pub(super) fn by_validate(cases: &[Case]) -> Vec<Validated> {
    let names: Vec<String> = (0..cases.len()).map(|index| format!("{index:03}.yaml")).collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .zip(cases)
        .map(|(name, case)| (name.as_str(), case.text.as_str()))
        .collect();
    let said = validate(&files);
    let rows: Vec<Vec<&str>> = said.output.lines().map(cells).collect();
    names
        .iter()
        .map(|name| validated(name, &rows, &said.text()))
        .collect()
}

/// The cells of a row: KIND, NAME, CONDITION, STATUS, REASON, WHERE, MESSAGE, with two spaces or more between them.
fn cells(row: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut rest = row;
    while cells.len() < 6
        && let Some((cell, more)) = rest.split_once("  ")
    {
        cells.push(cell);
        rest = more.trim_start();
    }
    cells.push(rest);
    cells
}

fn validated(file: &str, rows: &[Vec<&str>], all: &str) -> Validated {
    let row = rows.iter().find_map(|row| match row[..] {
        [_, _, "Accepted", status, reason, place] if place.contains(file) => Some((status, reason, "")),
        [_, _, "Accepted", status, reason, place, message] if place.contains(file) => {
            Some((status, reason, message))
        }
        _ => None,
    });
    let Some((status, reason, message)) = row else {
        let message = format!("no verdict: {all}");
        let fields = Vec::new();
        return Validated {
            verdict: Verdict::Refused { fields, message },
            condition: None,
        };
    };
    // What is wrong with an object as such has a line; conditions have none.
    let fields: Vec<String> = message.split("; ").filter_map(field).collect();
    match (status, fields.is_empty()) {
        ("True", _) => Validated {
            verdict: Verdict::Accepted,
            condition: None,
        },
        (_, true) => Validated {
            verdict: Verdict::Accepted,
            condition: Some(reason.to_owned()),
        },
        (_, false) => Validated {
            verdict: Verdict::Refused {
                fields,
                message: message.to_owned(),
            },
            condition: None,
        },
    }
}

/// The field of `line 7: spec.url: is required`.
fn field(problem: &str) -> Option<String> {
    let (_, problem) = problem.strip_prefix("line ")?.split_once(": ")?;
    let (field, _) = problem.split_once(": ").unwrap_or(("", problem));
    Some(field.to_owned())
}
