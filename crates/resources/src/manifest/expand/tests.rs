//! Variables and files in values.

use proptest::prelude::*;

use super::{expand, first_reference};
use crate::manifest::tests::Fake;

fn fake() -> Fake {
    let variables = [
        ("SET", "value"),
        ("EMPTY", ""),
        ("NESTED", "${SET}"),
        ("_1", "one"),
    ];
    let files: [(&str, &[u8]); 3] = [
        ("key", b"abc\r\n\n"),
        ("dir/key with space", b"x"),
        ("bytes", b"\xff"),
    ];
    Fake {
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        files: files
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .into(),
    }
}

#[test]
fn references_are_replaced_by_what_they_name() {
    let cases = [
        ("", Ok("")),
        ("plain $ text $SET {SET}", Ok("plain $ text $SET {SET}")),
        ("${SET}", Ok("value")),
        ("a${SET}b${_1}c", Ok("avaluebonec")),
        ("${SET:-other}", Ok("value")),
        ("${EMPTY}", Ok("")),
        ("${EMPTY:-other}", Ok("other")),
        ("${GONE:-other}", Ok("other")),
        ("${GONE:-}", Ok("")),
        ("${GONE:-https://a.b/c?d=e:-f}", Ok("https://a.b/c?d=e:-f")),
        ("${NESTED}", Ok("${SET}")),
        ("$${SET}", Ok("${SET}")),
        ("$$${SET}", Ok("$${SET}")),
        ("${file:key}", Ok("abc")),
        ("${file:dir/key with space}", Ok("x")),
        ("${GONE}", Err("the variable GONE is not set")),
        (
            "${GONE} ${ALSO}",
            Err("the variable GONE is not set, the variable ALSO is not set"),
        ),
        ("${file:gone}", Err("the file gone cannot be read: no such file")),
        ("${file:bytes}", Err("the file bytes is not UTF-8 text")),
        ("${", Err("must begin")),
        ("${}", Err("must begin")),
        ("${1A}", Err("must begin")),
        ("${file:}", Err("must begin")),
        ("${canary secret}", Err("must begin")),
    ];
    for (text, expected) in cases {
        match (expand(text, &mut fake()), expected) {
            (Ok(actual), Ok(expected)) => assert_eq!(actual, expected, "{text}"),
            (Err(missing), Err(expected)) => {
                assert!(missing.0.contains(expected), "{text}: {}", missing.0);
                assert!(
                    !missing.0.contains("canary"),
                    "a text that is no name may be a secret"
                );
            }
            (actual, _) => panic!("{text}: {actual:?}"),
        }
    }
}

#[test]
fn the_first_reference_is_told_by_name_alone() {
    let cases = [
        ("https://a", None),
        ("$${A}", None),
        ("${A}", Some("${A}")),
        ("x${A:-secret}${B}", Some("${A}")),
        ("${file:a/b}", Some("${file:a/b}")),
        ("${not a name}", None),
    ];
    for (text, expected) in cases {
        assert_eq!(first_reference(text).as_deref(), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn text_without_references_stays_as_it_is(text in "[^$]*") {
        prop_assert_eq!(expand(&text, &mut fake()), Ok(text));
    }

    #[test]
    fn no_text_breaks_expansion(text in "(\\$|\\{|\\}|:-|file:|SET|[a-z]|\\PC){0,40}") {
        let _ = expand(&text, &mut fake());
    }
}
