//! Named routes: which upstreams serve a model name.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::{Consumers, ProviderName, RouteName};

/// Which upstreams serve a model name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which `ModelRoute` this is.
    pub name: RouteName,
    /// The model names that it serves.
    pub models: Vec<ModelPattern>,
    /// Who may use it.
    pub consumers: Consumers,
    /// The upstreams, in the order written.
    pub targets: Vec<Target>,
    /// How often to try.
    pub retry: Retry,
    /// What moves a call on to the targets of the next priority.
    pub fallback_on: Vec<FallbackOn>,
    /// How streams start.
    pub stream: StreamPolicy,
}

/// One upstream of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The Provider that serves it.
    pub provider: ProviderName,
    /// The model name to use there; `None` keeps the caller's.
    pub model: Option<Arc<str>>,
    /// Its share among targets of equal priority, at least 1.
    pub weight: u32,
    /// 0 is used first; the next when all of the one before are exhausted or failing.
    pub priority: u32,
    /// Labels that its credentials must carry.
    pub credential_selector: BTreeMap<String, String>,
}

/// How often a call may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all per call, the first included.
    pub attempts: u32,
    /// Retries in any 10 seconds, as a percentage of calls in that time.
    pub budget_percent: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            budget_percent: 20,
        }
    }
}

/// A reason to move on to the targets of the next priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FallbackOn {
    /// No credential of the targets is usable.
    CredentialsExhausted,
    /// The upstream answered with an error of its own or broke off.
    UpstreamFailed,
    /// The upstream took too long.
    Timeout,
    /// The request is too long for the model.
    ContextTooLong,
    /// The upstream does not know the model.
    ModelNotFound,
}

/// How streams start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPolicy {
    /// How long frames without content are held back at most.
    pub hold_max: Duration,
    /// After how much silence the client gets status 200 and comment lines.
    pub keep_alive_after: Duration,
}

impl Default for StreamPolicy {
    fn default() -> Self {
        Self {
            hold_max: Duration::from_millis(500),
            keep_alive_after: Duration::from_secs(15),
        }
    }
}

/// A model name or a glob: `*` stands for any run of characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelPattern(Arc<str>);

impl ModelPattern {
    /// Takes a name or glob as written.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it holds no `*` and so names one model.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// The length in bytes of the part before the first `*`.
    pub fn literal_prefix(&self) -> usize {
        self.0.find('*').unwrap_or(self.0.len())
    }

    /// Whether `model` fits.
    pub fn matches(&self, model: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| model.strip_prefix(first)) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

impl fmt::Debug for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ModelPattern;

    #[test]
    fn globs_match_whole_names() {
        let cases = [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "xgpt-4o", false),
            ("*", "", true),
            ("claude-*-sonnet-*", "claude-3-sonnet-1", true),
            ("claude-*-sonnet-*", "claude-sonnet-1", false),
            ("*-mini", "gpt-mini", true),
            ("*-mini", "gpt-mini-2", false),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
        ];
        for (pattern, model, expected) in cases {
            assert_eq!(
                ModelPattern::new(pattern).matches(model),
                expected,
                "{pattern} against {model}"
            );
        }
    }
}
