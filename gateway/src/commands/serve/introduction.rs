//! What a person reads who starts a gateway on their own machine: the key, what is missing, and what to call.

use std::{cmp::Reverse, fmt::Write, net::SocketAddr};

use dialect::Dialect;
use snapshot::{Provider, Snapshot};

use crate::state::GeneratedKey;

/// Where and how clients are served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    /// Where the client listener is.
    pub(super) address: SocketAddr,
    /// Whether it speaks TLS.
    pub(super) tls: bool,
}

/// Shows a key that was just made, which is the only time; says where it is otherwise.
pub(super) fn text<'a>(
    generated: &GeneratedKey,
    snapshot: &Snapshot,
    problems: impl IntoIterator<Item = &'a str>,
    door: Door,
) -> String {
    let mut text = String::new();
    let path = generated.path.display();
    if generated.fresh {
        let key = String::from_utf8_lossy(generated.key.expose());
        line(
            &mut text,
            format_args!("A client key was made and is kept in {path}:\n\n    {key}\n"),
        );
    } else {
        line(&mut text, format_args!("The client key is in {path}\n"));
    }
    let mut problems = problems.into_iter().peekable();
    if problems.peek().is_some() {
        line(&mut text, format_args!("Not usable yet:\n"));
        for problem in problems {
            line(&mut text, format_args!("    {problem}"));
        }
        line(&mut text, format_args!(""));
    }
    example(&mut text, generated, snapshot, door);
    text
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = writeln!(text, "{content}");
}

/// A request that works as it is, as far as the resources tell.
fn example(text: &mut String, generated: &GeneratedKey, snapshot: &Snapshot, door: Door) {
    let listing = snapshot
        .providers
        .values()
        .filter(|provider| !provider.models.is_empty())
        .min_by_key(|provider| {
            (
                Reverse(is_usable(snapshot, provider)),
                provider.dialect != Dialect::OpenAi,
            )
        });
    let model = listing
        .and_then(|provider| provider.models.first())
        .map_or("MODEL", |model| &*model.name);
    let (route, more) = match listing.map_or(Dialect::OpenAi, |provider| provider.dialect) {
        Dialect::OpenAi => ("chat/completions", ""),
        Dialect::Anthropic => ("messages", "\"max_tokens\": 100, "),
    };
    let scheme = if door.tls { "https" } else { "http" };
    let mut address = door.address;
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    let path = generated.path.display();
    let ask = match listing {
        None => "Call it like this, with the name of a model in place of MODEL:",
        Some(provider) if is_usable(snapshot, provider) => "Call it like this:",
        Some(_) => "Then call it like this:",
    };
    line(
        text,
        format_args!(
            "{ask}\n\n    \
             curl {scheme}://{address}/v1/{route} \\\n      \
             -H \"authorization: Bearer $(cat {path})\" \\\n      \
             -H 'content-type: application/json' \\\n      \
             -d '{{\"model\": \"{model}\", {more}\"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n"
        ),
    );
}

fn is_usable(snapshot: &Snapshot, provider: &Provider) -> bool {
    snapshot
        .credentials
        .values()
        .any(|credential| credential.provider == provider.name && !credential.suspended)
}

#[cfg(test)]
mod tests {
    use snapshot::{Secret, Snapshot};

    use super::{Door, text};
    use crate::state::GeneratedKey;

    #[test]
    fn a_key_is_shown_once_and_the_request_to_try_can_be_copied() {
        let generated = GeneratedKey {
            key: Secret::new("rh-canary"),
            path: ".roundhouse/client-key".into(),
            fresh: false,
        };
        let door = Door {
            address: ([0, 0, 0, 0], 8443).into(),
            tls: true,
        };
        let again = text(&generated, &Snapshot::default(), ["my.yaml:3: it is bad"], door);
        assert_eq!(
            again,
            r#"The client key is in .roundhouse/client-key

Not usable yet:

    my.yaml:3: it is bad

Call it like this, with the name of a model in place of MODEL:

    curl https://127.0.0.1:8443/v1/chat/completions \
      -H "authorization: Bearer $(cat .roundhouse/client-key)" \
      -H 'content-type: application/json' \
      -d '{"model": "MODEL", "messages": [{"role": "user", "content": "Hello"}]}'

"#
        );
        let fresh = GeneratedKey {
            fresh: true,
            ..generated
        };
        let first = text(&fresh, &Snapshot::default(), [], door);
        assert!(first.contains("\n    rh-canary\n"), "{first}");
    }
}
