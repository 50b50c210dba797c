//! Which path and method ask for what.

use dialect::{Api, Dialect, Operation, Passthrough};
use http::Method;

/// What a path and method ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A call to an upstream.
    Call(Path),
    /// The models that the caller may use.
    Models {
        /// Only those of this Provider.
        provider: Option<String>,
    },
    /// One model.
    Model {
        /// Only of this Provider.
        provider: Option<String>,
        /// The model's name, percent-decoded.
        id: String,
    },
    /// What administrators ask.
    Manage(Managed),
    /// What runs here, for people and probes.
    About,
    /// An answer without content, for connectivity checks.
    Hello,
    /// Whether the process is alive.
    Health,
}

/// What administrators ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Managed {
    /// The credentials of a Provider, named without namespace.
    Credentials(String),
    /// Another credential for it.
    AddCredential(String),
    /// A credential of it goes.
    DeleteCredential(String),
    /// What is used of quotas and budgets.
    Quota,
    /// Quotas and budgets begin anew.
    ResetQuota,
    /// What was used.
    Stats,
    /// The client keys.
    Keys,
    /// Another client key.
    MintKey,
}

impl Managed {
    /// Whether it changes something.
    pub(crate) const fn changes(&self) -> bool {
        match self {
            Self::Credentials(_) | Self::Quota | Self::Stats | Self::Keys => false,
            Self::AddCredential(_) | Self::DeleteCredential(_) | Self::ResetQuota | Self::MintKey => true,
        }
    }
}

/// A path that leads to an upstream, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// What is asked for.
    pub(crate) operation: Operation,
    /// The Provider that the path pins, by name without namespace.
    pub(crate) provider: Option<String>,
    /// The model that the path names (Azure's deployments).
    pub(crate) model: Option<String>,
    /// The path below the upstream's base URL, with its leading slash.
    pub(crate) suffix: String,
    /// The id of the stored object that the path names.
    pub(crate) object: Option<String>,
}

/// A path or method that leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Astray {
    /// No such path.
    NotFound,
    /// The path exists with these methods.
    Method(&'static str),
    /// The path exists but not over a WebSocket.
    WebSocket,
}

/// Finds out what is asked for. The dialect says how to phrase an error.
pub(crate) fn resolve(method: &Method, path: &str, upgrade: bool) -> (Dialect, Result<Asked, Astray>) {
    match (method, path) {
        (&Method::GET | &Method::HEAD, "/") => return (Dialect::OpenAi, Ok(Asked::About)),
        (&Method::GET | &Method::HEAD, "/health") => return (Dialect::OpenAi, Ok(Asked::Health)),
        (&Method::GET | &Method::HEAD, "/api/hello") => return (Dialect::Anthropic, Ok(Asked::Hello)),
        _ => {}
    }
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if let Some(asked) = managed(method, &segments) {
        return (Dialect::OpenAi, asked.map(Asked::Manage));
    }
    let (provider, model, rest) = match segments.as_slice() {
        ["openai", "deployments", deployment, rest @ ..] => (None, Some(decode(deployment)), rest),
        ["v1", rest @ ..] => (None, None, rest),
        // Azure's dated API has what belongs to no deployment (responses, files, models) right below.
        ["openai", rest @ ..] if rest.first().is_some_and(|first| is_bare(first)) => (None, None, rest),
        [first, ..] if is_bare(first) => (None, None, segments.as_slice()),
        [provider, "v1", rest @ ..] => (Some(decode(provider)), None, rest),
        _ => return (Dialect::OpenAi, Err(Astray::NotFound)),
    };
    let dialect = if rest.first() == Some(&"messages") {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    };
    (dialect, below(method, provider, model, rest, upgrade))
}

/// Whether a path is one of administrators' routes, whatever the method.
pub(crate) fn is_managed(path: &str) -> bool {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    managed(&Method::GET, &segments).is_some()
}

/// Resolves the routes of administrators; `None` when the path is none of them.
fn managed(method: &Method, segments: &[&str]) -> Option<Result<Managed, Astray>> {
    let (get, post): (Option<Managed>, Option<Managed>) = match segments {
        ["v1", "quota"] => (Some(Managed::Quota), None),
        ["v1", "quota", "reset"] => (None, Some(Managed::ResetQuota)),
        ["api", "stats"] => (Some(Managed::Stats), None),
        ["auth", "keys"] => (Some(Managed::Keys), Some(Managed::MintKey)),
        [name, "v1", "credentials"] => (
            Some(Managed::Credentials(decode(name))),
            Some(Managed::AddCredential(decode(name))),
        ),
        [name, "v1", "credentials", "delete"] => (None, Some(Managed::DeleteCredential(decode(name)))),
        _ => return None,
    };
    let methods = match (&get, &post) {
        (Some(_), Some(_)) => "GET, POST",
        (Some(_), None) => "GET",
        (None, _) => "POST",
    };
    let asked = match *method {
        Method::GET | Method::HEAD => get,
        Method::POST => post,
        _ => None,
    };
    Some(asked.ok_or(Astray::Method(methods)))
}

/// Resolves what follows `/v1`.
fn below(
    method: &Method,
    provider: Option<String>,
    model: Option<String>,
    rest: &[&str],
    upgrade: bool,
) -> Result<Asked, Astray> {
    if let ["models", id @ ..] = rest {
        return match (*method == Method::GET || *method == Method::HEAD, id) {
            (false, _) => Err(Astray::Method("GET")),
            (true, [] | [""]) => Ok(Asked::Models { provider }),
            (true, id) => Ok(Asked::Model {
                provider,
                id: decode(&id.join("/")),
            }),
        };
    }
    if let ["responses"] = rest {
        if upgrade {
            return Err(Astray::WebSocket);
        }
        if *method == Method::HEAD {
            return Ok(Asked::Hello);
        }
    }
    if climbs(rest) || model.as_deref().is_some_and(|model| climbs(&[model])) {
        return Err(Astray::NotFound);
    }
    let (operation, methods, object) = operation(rest).ok_or(Astray::NotFound)?;
    if !methods.split(", ").any(|allowed| allowed == method.as_str()) {
        return Err(Astray::Method(methods));
    }
    Ok(Asked::Call(Path {
        operation,
        provider,
        model,
        suffix: format!("/{}", rest.join("/")),
        object,
    }))
}

/// Whether a path could lead somewhere else at an upstream that tidies paths up: the key that is sent along opens
/// more there than what is served here.
fn climbs(segments: &[&str]) -> bool {
    let last = segments.len().saturating_sub(1);
    segments.iter().enumerate().any(|(index, segment)| {
        let dots = |part: &str| part == "." || part == "..";
        (segment.is_empty() && index < last) || decode(segment).split(['/', '\\']).any(dots)
    })
}

/// The operation of a path below `/v1`, the methods that it takes, and the stored object that it names.
fn operation(rest: &[&str]) -> Option<(Operation, &'static str, Option<String>)> {
    let generate = |api| Some((Operation::Generate(api), "POST", None));
    let pass = |kind, methods, object: Option<&&str>| {
        let object = object.filter(|id| !id.is_empty()).map(|id| decode(id));
        Some((Operation::Passthrough(kind), methods, object))
    };
    match rest {
        ["chat", "completions"] => generate(Api::ChatCompletions),
        ["completions"] => generate(Api::Completions),
        ["embeddings"] => generate(Api::Embeddings),
        ["responses"] => generate(Api::Responses),
        ["messages"] => generate(Api::Messages),
        ["messages", "count_tokens"] => Some((Operation::CountTokens, "POST", None)),
        ["responses", "input_tokens"] => Some((Operation::ResponseInputTokens, "POST", None)),
        ["responses", "compact"] => Some((Operation::ResponseCompact, "POST", None)),
        ["responses", id] => Some((Operation::StoredResponse, "GET, DELETE", Some(decode(id)))),
        ["responses", id, "cancel"] => Some((Operation::StoredResponse, "POST", Some(decode(id)))),
        ["responses", id, "input_items"] => Some((Operation::StoredResponse, "GET", Some(decode(id)))),
        ["moderations"] => pass(Passthrough::Moderations, "POST", None),
        ["images", "generations" | "edits" | "variations"] => pass(Passthrough::Images, "POST", None),
        ["audio", "speech" | "transcriptions" | "translations"] => pass(Passthrough::Audio, "POST", None),
        ["rerank"] => pass(Passthrough::Rerank, "POST", None),
        ["files", id @ ..] => pass(Passthrough::Files, "GET, POST, DELETE", id.first()),
        ["uploads", id @ ..] => pass(Passthrough::Uploads, "GET, POST, DELETE", id.first()),
        ["batches", id @ ..] => pass(Passthrough::Batches, "GET, POST", id.first()),
        ["vector_stores", id @ ..] => pass(Passthrough::VectorStores, "GET, POST, DELETE", id.first()),
        _ => None,
    }
}

/// Whether a first segment is one of the routes that are served without `/v1` too.
fn is_bare(first: &str) -> bool {
    matches!(
        first,
        "chat"
            | "completions"
            | "embeddings"
            | "responses"
            | "messages"
            | "models"
            | "moderations"
            | "images"
            | "audio"
            | "rerank"
            | "files"
            | "uploads"
            | "batches"
            | "vector_stores"
    )
}

fn decode(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Asked, Astray, Managed, Path, resolve};
    use dialect::{Api, Dialect, Operation, Passthrough};
    use http::Method;

    fn call(operation: Operation, suffix: &str) -> Path {
        Path {
            operation,
            provider: None,
            model: None,
            suffix: suffix.into(),
            object: None,
        }
    }

    #[test]
    fn paths_lead_to_operations() {
        let chat = Operation::Generate(Api::ChatCompletions);
        let cases = [
            ("/v1/chat/completions", call(chat, "/chat/completions")),
            ("/chat/completions", call(chat, "/chat/completions")),
            (
                "/groq/v1/chat/completions",
                Path {
                    provider: Some("groq".into()),
                    ..call(chat, "/chat/completions")
                },
            ),
            (
                "/openai/deployments/gpt%2D4/chat/completions",
                Path {
                    model: Some("gpt-4".into()),
                    ..call(chat, "/chat/completions")
                },
            ),
            (
                "/openai/v1/embeddings",
                Path {
                    provider: Some("openai".into()),
                    ..call(Operation::Generate(Api::Embeddings), "/embeddings")
                },
            ),
            (
                "/openai/responses",
                call(Operation::Generate(Api::Responses), "/responses"),
            ),
            (
                "/v1/messages",
                call(Operation::Generate(Api::Messages), "/messages"),
            ),
            (
                "/v1/responses/resp_1/cancel",
                Path {
                    object: Some("resp_1".into()),
                    ..call(Operation::StoredResponse, "/responses/resp_1/cancel")
                },
            ),
            (
                "/v1/vector_stores/vs_1/files",
                Path {
                    object: Some("vs_1".into()),
                    ..call(
                        Operation::Passthrough(Passthrough::VectorStores),
                        "/vector_stores/vs_1/files",
                    )
                },
            ),
        ];
        for (path, expected) in cases {
            let (_, asked) = resolve(&Method::POST, path, false);
            assert_eq!(asked, Ok(Asked::Call(expected)), "{path}");
        }
    }

    #[test]
    fn administrators_have_routes_of_their_own() {
        let p = || "p".to_owned();
        let cases = [
            (Method::GET, "/p/v1/credentials", Ok(Managed::Credentials(p()))),
            (Method::POST, "/p/v1/credentials", Ok(Managed::AddCredential(p()))),
            (
                Method::POST,
                "/%70/v1/credentials/delete",
                Ok(Managed::DeleteCredential(p())),
            ),
            (Method::HEAD, "/v1/quota", Ok(Managed::Quota)),
            (Method::POST, "/v1/quota/reset", Ok(Managed::ResetQuota)),
            (Method::GET, "/api/stats", Ok(Managed::Stats)),
            (Method::GET, "/auth/keys", Ok(Managed::Keys)),
            (Method::POST, "/auth/keys", Ok(Managed::MintKey)),
            (
                Method::DELETE,
                "/p/v1/credentials",
                Err(Astray::Method("GET, POST")),
            ),
            (
                Method::GET,
                "/p/v1/credentials/delete",
                Err(Astray::Method("POST")),
            ),
            (Method::POST, "/v1/quota", Err(Astray::Method("GET"))),
            (Method::GET, "/v1/quota/reset", Err(Astray::Method("POST"))),
            (Method::POST, "/api/stats", Err(Astray::Method("GET"))),
            (Method::PUT, "/auth/keys", Err(Astray::Method("GET, POST"))),
            (Method::GET, "/v1/credentials", Err(Astray::NotFound)),
            (Method::GET, "/auth/keys/", Err(Astray::NotFound)),
        ];
        for (method, path, expected) in cases {
            let (_, asked) = resolve(&method, path, false);
            assert_eq!(asked, expected.map(Asked::Manage), "{method} {path}");
        }
    }

    #[test]
    fn what_leads_nowhere_says_why() {
        let cases = [
            (Method::GET, "/v1/chat/completions", false, Astray::Method("POST")),
            (Method::POST, "/v1/models", false, Astray::Method("GET")),
            (Method::POST, "/v2/chat/completions", false, Astray::NotFound),
            (Method::POST, "/v1/nothing", false, Astray::NotFound),
            (
                Method::GET,
                "/v1/files//../organization/users",
                false,
                Astray::NotFound,
            ),
            (Method::GET, "/v1/files//file-1/content", false, Astray::NotFound),
            (Method::GET, "/v1/files/file-1/%2e%2E/x", false, Astray::NotFound),
            (Method::GET, "/v1/files/..%2f..%2fx", false, Astray::NotFound),
            (
                Method::POST,
                "/openai/deployments/%2e%2e/chat/completions",
                false,
                Astray::NotFound,
            ),
            (Method::GET, "/v1/responses", true, Astray::WebSocket),
        ];
        for (method, path, upgrade, expected) in cases {
            assert_eq!(
                resolve(&method, path, upgrade).1,
                Err(expected),
                "{method} {path}"
            );
        }
        assert_eq!(
            resolve(&Method::GET, "/v1/messages", false).0,
            Dialect::Anthropic,
            "errors speak the route's dialect"
        );
    }

    #[test]
    fn model_names_keep_their_slashes() {
        let (_, asked) = resolve(&Method::GET, "/v1/models/meta%2Fllama/x", false);
        assert_eq!(
            asked,
            Ok(Asked::Model {
                provider: None,
                id: "meta/llama/x".into()
            })
        );
    }
}
