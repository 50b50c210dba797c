//! Messages that do not say what they must.

use std::fmt;

/// A field that cannot be taken. Says which and why, never its value: it may be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Where the field is, from the message that was converted: `selection.affinity.ttl`, `targets[2].provider`.
    pub path: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is absent, or a case of a oneof that this build does not know.
    #[error("is missing, or says something that this version does not know")]
    Missing,
    /// A value of an enum that this build does not know, or none.
    #[error("value {0} is not known to this version")]
    UnknownValue(i32),
    /// It is something else than what it must be.
    #[error("expected {0}")]
    Expected(&'static str),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for Invalid {}

impl Invalid {
    pub(crate) fn new(field: &str, problem: Problem) -> Self {
        Self {
            path: field.to_owned(),
            problem,
        }
    }

    pub(crate) fn expected(field: &str, what: &'static str) -> Self {
        Self::new(field, Problem::Expected(what))
    }

    fn within(self, field: &str) -> Self {
        Self {
            path: format!("{field}.{}", self.path),
            ..self
        }
    }
}

/// Puts the name of a field before the path of what is wrong inside it.
pub(crate) trait Within {
    /// The field that holds the message.
    fn within(self, field: &str) -> Self;
}

impl<T> Within for Result<T, Invalid> {
    fn within(self, field: &str) -> Self {
        self.map_err(|invalid| invalid.within(field))
    }
}
