//! Requests, read into values that cannot be wrong.

use proto::admin::v1;
use snapshot::ObjectName;
use tonic::Status;

use super::refusal::invalid;

/// Longest namespace, in bytes: that of a DNS label.
const NAMESPACE_MAX: usize = 63;

/// Longest name of an object, in bytes.
const NAME_MAX: usize = 253;

/// Longest name of an object that is made here: that of its Secret is made of it.
const MADE_NAME_MAX: usize = 128;

/// The object that a request names.
pub(super) fn object(named: Option<&v1::ObjectName>, field: &str) -> Result<ObjectName, Status> {
    let named = named.ok_or_else(|| invalid(field, "is required"))?;
    let namespace = namespace(&named.namespace, &format!("{field}.namespace"))?;
    join(namespace, name(&named.name, &format!("{field}.name"), NAME_MAX)?)
}

/// The object to be made in a namespace: with the wanted name, or one that is drawn.
pub(super) fn made(namespace: &str, wanted: &str, field: &str) -> Result<ObjectName, Status> {
    if wanted.is_empty() {
        return join(namespace, &format!("api-{:08x}", rand::random::<u32>()));
    }
    join(namespace, name(wanted, field, MADE_NAME_MAX)?)
}

fn join(namespace: &str, name: &str) -> Result<ObjectName, Status> {
    ObjectName::new(namespace, name).map_err(|_| invalid("name", "is required"))
}

/// A namespace that has to be given.
pub(super) fn namespace<'a>(text: &'a str, field: &str) -> Result<&'a str, Status> {
    let fits = text.len() <= NAMESPACE_MAX && is_label(text);
    fits.then_some(text)
        .ok_or_else(|| invalid(field, "expected the name of a namespace"))
}

/// A namespace, or all of them.
pub(super) fn namespace_or_all<'a>(text: &'a str, field: &str) -> Result<Option<&'a str>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    namespace(text, field).map(Some)
}

/// Names become part of paths that the API server is asked for, so nothing else may get in.
fn name<'a>(text: &'a str, field: &str, longest: usize) -> Result<&'a str, Status> {
    let fits = text.len() <= longest && text.split('.').all(is_label);
    fits.then_some(text).ok_or_else(|| {
        let expected = format!(
            "expected lower case letters, digits, `-` and `.`, with a letter or digit at both ends, at most {longest}"
        );
        invalid(field, &expected)
    })
}

fn is_label(text: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_letter)
        && bytes.last().is_some_and(is_letter)
        && bytes.iter().all(|byte| *byte == b'-' || is_letter(byte))
}

/// The name of an object as answers have it.
pub(super) fn named(name: &ObjectName) -> v1::ObjectName {
    v1::ObjectName {
        namespace: name.namespace().to_owned(),
        name: name.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_elsewhere() {
        let cases = [
            ("team", "main", true),
            ("team", "a.b-c.0", true),
            ("", "main", false),
            ("team", "", false),
            ("team", "../secrets", false),
            ("team", "a/b", false),
            ("team", "a?dryRun=All", false),
            ("team", "a%2fb", false),
            ("team", "..", false),
            ("team", "-a", false),
            ("team", "A", false),
            ("team", "ä", false),
            ("a.b", "main", false),
            ("a/b", "main", false),
        ];
        for (namespace, name, expected) in cases {
            let named = v1::ObjectName {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            let read = object(Some(&named), "credential");
            assert_eq!(read.is_ok(), expected, "{namespace} {name}");
            if let Err(refused) = read {
                assert!(
                    refused.message().starts_with("credential."),
                    "{}",
                    refused.message()
                );
            }
        }
        let missing = object(None, "credential").expect_err("nobody is named");
        assert_eq!(missing.message(), "credential: is required");
    }

    #[test]
    fn a_name_that_nobody_wants_is_drawn() {
        let drawn = made("team", "", "name").expect("a name");
        assert!(drawn.as_str().starts_with("team/api-"), "{drawn}");
        assert_ne!(drawn, made("team", "", "name").expect("a name"));
        assert!(made("team", &"a".repeat(129), "name").is_err());
    }
}
