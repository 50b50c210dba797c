//! What scripts answer.

use redis::Value;

use super::link::Away;

/// An answer: a list that begins with a word or a number.
#[derive(Debug)]
pub(super) struct Reply(Vec<Value>);

impl Reply {
    /// Scripts answer with lists. Another answer is not theirs.
    pub(super) fn new(value: Value) -> Result<Self, Away> {
        match value {
            Value::Array(values) => Ok(Self(values)),
            _ => Err(Away::Refused {
                code: "ANSWER".to_owned(),
                detail: "a script answered with something else than a list".to_owned(),
            }),
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The text at a position; empty where there is none.
    pub(super) fn text(&self, at: usize) -> &str {
        self.0.get(at).map_or("", text)
    }

    /// The number at a position; zero where there is none.
    pub(super) fn number(&self, at: usize) -> u64 {
        self.0.get(at).map_or(0, number)
    }

    /// The lists from a position on.
    pub(super) fn lists(&self, from: usize) -> impl Iterator<Item = &[Value]> {
        self.0.iter().skip(from).map(|value| match value {
            Value::Array(values) => values.as_slice(),
            _ => &[],
        })
    }

    /// The numbers from a position on.
    pub(super) fn numbers(&self, from: usize) -> impl Iterator<Item = u64> {
        self.0.iter().skip(from).map(number)
    }
}

/// A value as text.
pub(super) fn text(value: &Value) -> &str {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        Value::SimpleString(text) => text,
        _ => "",
    }
}

fn number(value: &Value) -> u64 {
    match value {
        Value::Int(number) => u64::try_from(*number).unwrap_or_default(),
        value => text(value).parse().unwrap_or_default(),
    }
}
