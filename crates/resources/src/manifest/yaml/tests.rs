//! YAML as `kubectl` reads it, with lines.

use std::fmt::Write;

use super::{Content, Node, documents};

/// The nodes of a text, one line each: `documents` in a form that can be compared.
fn shown(text: &str) -> String {
    let mut out = String::new();
    for document in documents(text) {
        match document {
            Ok(node) => show(&node, &mut out),
            Err(malformed) => {
                let _ = write!(out, "error {}: {}", malformed.line, malformed.message);
            }
        }
        out.push('\n');
    }
    out.trim_end().to_owned()
}

fn show(node: &Node, out: &mut String) {
    match &node.content {
        Content::Null => out.push_str("null"),
        Content::Boolean(value) => {
            let _ = write!(out, "{value}");
        }
        Content::Integer(value) => {
            let _ = write!(out, "{value}");
        }
        Content::Float(value) => {
            let _ = write!(out, "{value:?}");
        }
        Content::Text(value) => {
            let _ = write!(out, "{value:?}");
        }
        Content::List(items) => {
            out.push('[');
            for item in items {
                show(item, out);
                out.push(' ');
            }
            out.push(']');
        }
        Content::Map(entries) => {
            out.push('{');
            for entry in entries {
                let _ = write!(out, "{}@{}=", entry.key, entry.line);
                show(&entry.value, out);
                out.push(' ');
            }
            out.push('}');
        }
    }
}

#[test]
fn scalars_have_the_types_that_kubectl_gives_them() {
    let cases = [
        ("a", r#""a""#),
        ("'1'", r#""1""#),
        ("1", "1"),
        ("-1", "-1"),
        ("+1", "1"),
        ("1_000", "1000"),
        ("0x1F", "31"),
        ("0o17", "15"),
        ("017", "15"),
        ("0b101", "5"),
        ("1.5", "1.5"),
        ("1e3", "1000.0"),
        ("99999999999999999999", "1e20"),
        ("1.2.3", r#""1.2.3""#),
        ("inf", r#""inf""#),
        ("nan", r#""nan""#),
        ("-", r"[null ]"),
        ("~", "null"),
        ("null", "null"),
        ("''", r#""""#),
        ("true", "true"),
        ("yes", "true"),
        ("Off", "false"),
        ("y", "true"),
        ("N", "false"),
        ("\"yes\"", r#""yes""#),
        ("2027-01-31T00:00:00Z", r#""2027-01-31T00:00:00Z""#),
        ("2024-10-21", r#""2024-10-21""#),
        ("30s", r#""30s""#),
        ("!!str 12", r#""12""#),
        ("!!int '12'", "12"),
        ("|\n  a\n  b\n", r#""a\nb\n""#),
        (">-\n  a\n  b\n", r#""a b""#),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn keys_are_texts_and_know_their_lines() {
    let text = "# first\na: 1\n\nb:\n  - {c: yes}\n1: on\nyes: no\n";
    assert_eq!(shown(text), r"{a@2=1 b@4=[{c@5=true } ] 1@6=true yes@7=false }");
}

#[test]
fn documents_are_apart_and_lines_count_from_the_top_of_the_file() {
    let cases = [
        ("", ""),
        ("---\n---\n# nothing\n---\n", ""),
        ("a: 1\n---\nb: 2\n", "{a@1=1 }\n{b@3=2 }"),
        ("--- {a: 1}\n--- # hello\nb: 2\n...\n", "{a@1=1 }\n{b@3=2 }"),
        ("\u{feff}a: 1\r\n---\r\nb: 2\r\n", "{a@1=1 }\n{b@3=2 }"),
        ("%YAML 1.2\n---\na: 1\n", "{a@3=1 }"),
        ("a: |\n  ---\n  b\n---\nc: 1\n", "{a@1=\"---\\nb\\n\" }\n{c@5=1 }"),
        ("a: '---'\n", r#"{a@1="---" }"#),
        ("---a\n", r#""---a""#),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn json_is_read_too() {
    let text = "{\n\t\"a\": [1, 2.0, \"x\\u00e9\", true, null],\n\t\"b\": {}\n}\n";
    assert_eq!(shown(text), "{a@2=[1 2.0 \"x\u{e9}\" true null ] b@3={} }");
}

#[test]
fn mistakes_name_their_line() {
    let cases = [
        ("a: 1\na: 2\n", "error 2: duplicate key `a`, first at line 1"),
        (
            "a:\n\tb: 1\n",
            "error 2: a tab is used for indentation at line 2; YAML takes spaces only",
        ),
        (
            "x: 1\n---\na:\n\tb: 1\n",
            "{x@1=1 }\nerror 4: a tab is used for indentation at line 4; YAML takes spaces only",
        ),
        ("? [a]\n: b\n", "error 1: a key must be a string"),
        ("a: *gone\n", "error 1: while parsing node, found unknown anchor"),
        (
            "a: &x [*x]\n",
            "error 1: an alias refers to the value that it is part of",
        ),
        (
            "a: !!binary abc\n",
            "error 1: the tag `!!binary` is not supported",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn a_mistake_at_the_end_is_on_the_last_line() {
    for text in ["a: 1\nb c", "a: 1\nb c\n\n", "a: 1\r\nb c\r\n", "a: 1\rb c"] {
        assert!(shown(text).starts_with("error 2: "), "{text:?}: {}", shown(text));
    }
}

#[test]
fn what_is_missing_at_the_end_is_on_the_last_line() {
    for text in ["a: 1\n? ", "a: 1\n?\n", "a: 1\r\n? \r\n\r\n"] {
        assert_eq!(shown(text), "{a@1=1 @2=null }", "{text:?}");
    }
}

#[test]
fn aliases_are_the_values_that_they_name() {
    assert_eq!(shown("a: &x {b: 1}\nc: *x\n"), "{a@1={b@1=1 } c@2={b@1=1 } }");
}

#[test]
fn what_would_take_too_much_memory_is_refused() {
    assert!(shown(&"- ".repeat(10_000)).contains("nested more than 48 levels deep"));
    assert!(
        shown(&"[".repeat(100_000)).starts_with("error 1: "),
        "however deep"
    );
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        let _ = writeln!(laughs, "a{level}: &a{level} [{before}]");
    }
    assert!(
        shown(&laughs).contains("more than 100000 values"),
        "aliases multiply"
    );
    let nested = (0..40).fold("x, ".repeat(20_000), |inside, level| {
        format!("&n{level} [{inside}]")
    });
    assert!(
        shown(&nested).contains("more than 100000 values"),
        "anchors inside anchors multiply"
    );
}
