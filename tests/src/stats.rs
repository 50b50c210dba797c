//! Reads `GET /api/stats`. The one place that knows its shape.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::tools::panic_with;

/// What everybody used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    text: String,
    credentials: BTreeMap<String, Totals>,
}

/// What was used of one credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls, those whose end nobody saw included.
    pub requests: u64,
    /// Calls whose end nobody saw.
    pub estimated_requests: u64,
    /// Tokens of prompts.
    pub input: u64,
    /// Tokens of answers.
    pub output: u64,
    /// Tokens that nobody reported.
    pub estimated_tokens: u64,
}

impl Stats {
    /// Parses the answer. Fails when it has no credentials.
    pub fn parse(body: &Value) -> Self {
        let list = body["credentials"].as_array();
        let list =
            list.unwrap_or_else(|| panic_with(&format!("the stats have a list of credentials: {body}")));
        let mut credentials: BTreeMap<String, Totals> = BTreeMap::new();
        for entry in list {
            let name = entry["name"].as_str().unwrap_or_default();
            let name = name.rsplit('/').next().unwrap_or_default();
            let totals = credentials.entry(name.to_owned()).or_default();
            let tokens = &entry["tokens"];
            totals.requests += number(&entry["requests"]);
            totals.estimated_requests += number(&entry["estimated_requests"]);
            totals.input += number(&tokens["input"]);
            totals.output += number(&tokens["output"]);
            totals.estimated_tokens += number(&entry["estimated_tokens"]);
        }
        Self {
            text: body.to_string(),
            credentials,
        }
    }

    /// What was used of a credential, by its name without the namespace.
    pub fn credential(&self, name: &str) -> Totals {
        self.credentials.get(name).copied().unwrap_or_default()
    }

    /// What was used of each credential that was used at all.
    pub fn credentials(&self) -> BTreeMap<String, Totals> {
        let mut used = self.credentials.clone();
        used.retain(|_, totals| *totals != Totals::default());
        used
    }

    /// Calls of all credentials.
    pub fn requests(&self) -> u64 {
        self.credentials.values().map(|totals| totals.requests).sum()
    }

    /// The answer as it came.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A number, or the sum of an object's numbers.
fn number(value: &Value) -> u64 {
    match value {
        Value::Object(parts) => parts.values().map(number).sum(),
        value => value.as_u64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn totals_are_read_by_credential() {
        let stats = Stats::parse(&json!({ "credentials": [
            { "name": "default/a", "requests": 3, "estimated_requests": 1, "estimated_tokens": 9,
              "tokens": { "input": 33, "cached": 9, "output": 15 } },
            { "name": "default/b", "requests": 0 },
        ] }));
        let expected = Totals {
            requests: 3,
            estimated_requests: 1,
            input: 33,
            output: 15,
            estimated_tokens: 9,
        };
        assert_eq!(stats.credential("a"), expected);
        assert_eq!(stats.credential("nobody"), Totals::default());
        assert_eq!(stats.credentials().len(), 1);
        assert_eq!(stats.requests(), 3);
    }
}
