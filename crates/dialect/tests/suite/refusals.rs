use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use dialect::{Dialect, Headroom, Refusal, Retry, headroom, read_refusal, retry_after};
use http::{HeaderMap, HeaderName, HeaderValue};

/// 2026-11-21, 04:16:07 UTC.
const NOW: Duration = Duration::from_secs(1_795_234_567);

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/refusals");

const TABLE: &str = include_str!("../../fixtures/refusals.txt");

/// The columns of the table: fixture, dialect, status, kind, retry, code, headers.
fn rows() -> impl Iterator<Item = [&'static str; 7]> {
    TABLE.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut columns = line.split('|').map(str::trim);
        std::array::from_fn(|_| columns.next().expect(line))
    })
}

fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    pairs
        .into_iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().unwrap())
}

fn describe(refusal: &Refusal) -> String {
    let retry = match refusal.retry {
        None => "-".to_owned(),
        Some(Retry::After(wait)) => format!("after {}", wait.as_secs_f64()),
        Some(Retry::Reset(wait)) => format!("reset {}", wait.as_secs_f64()),
    };
    format!(
        "{} | {:?} | {retry} | {}",
        refusal.status,
        refusal.kind,
        refusal.code.as_deref().unwrap_or("-")
    )
}

#[test]
fn every_vendors_refusal_is_read_as_what_it_means() {
    let wrong: Vec<String> = rows()
        .filter_map(|[name, dialect, status, kind, retry, code, head]| {
            let body = fs::read(format!("{FOLDER}/{name}")).expect(name);
            let dialect = if dialect == "Anthropic" {
                Dialect::Anthropic
            } else {
                Dialect::OpenAi
            };
            let headers = headers(head.split_whitespace().filter_map(|pair| pair.split_once('=')));
            let refusal = read_refusal(dialect, status.parse().expect(name), &headers, &body, NOW);
            let expected = format!("{status} | {kind} | {retry} | {code}");
            let found = describe(&refusal);
            (found != expected).then(|| format!("{name}\n  expected {expected}\n  found    {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_capture_has_a_row_in_the_table() {
    let files: BTreeSet<String> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named: BTreeSet<String> = rows().map(|[name, ..]| name.to_owned()).collect();
    assert_eq!(files, named);
}

#[test]
fn messages_are_found_in_every_shape_and_markup_never_is() {
    for (body, expected) in [
        (
            r#"{"error":{"message":"a","type":"t","param":"p","code":5}}"#,
            Some("a"),
        ),
        (r#"{"error":"a"}"#, Some("a")),
        (r#"[{"error":{"message":"a"}}]"#, Some("a")),
        (r#"{"detail":"a"}"#, Some("a")),
        (r#"{"detail":{"message":"a"}}"#, Some("a")),
        (r#"{"detail":[{"msg":"a"}]}"#, Some("a")),
        (r#"{"message":"a","error":{}}"#, Some("a")),
        (r#"{"errors":[{"message":"a"}]}"#, Some("a")),
        (r#"{"errors":["a"]}"#, Some("a")),
        (r#"{"error_msg":"a","error_code":17}"#, Some("a")),
        ("a", Some("a")),
        ("\"a\"", Some("a")),
        (" <html>a</html>", None),
        ("{\"error\":", None),
        ("", None),
    ] {
        let refusal = read_refusal(Dialect::OpenAi, 500, &HeaderMap::new(), body.as_bytes(), NOW);
        assert_eq!(refusal.message.as_deref(), expected, "{body}");
    }
    let long = format!(r#"{{"error":"{}"}}"#, "é".repeat(5000));
    let refusal = read_refusal(Dialect::OpenAi, 500, &HeaderMap::new(), long.as_bytes(), NOW);
    assert_eq!(refusal.message.map(|message| message.len()), Some(4096));
}

#[test]
fn every_form_of_retry_after_is_understood() {
    // Headers, and what they mean: `after` or `reset` in seconds, or nothing.
    let cases = [
        ("", "-"),
        ("retry-after=20", "after 20"),
        ("retry-after=0", "after 0"),
        ("retry-after= 1.5 ", "after 1.5"),
        ("retry-after=Sat, 21 Nov 2026 04:17:07 GMT", "after 60"),
        ("retry-after=Sat, 21 Nov 2020 04:17:07 GMT", "after 0"),
        ("retry-after=-3", "-"),
        ("retry-after=soon", "-"),
        ("retry-after=NaN", "-"),
        ("retry-after=1e300", "after 31622400"),
        ("retry-after-ms=250|retry-after=1", "after 0.25"),
        ("retry-after-ms=x|retry-after=1", "after 1"),
        (
            "x-ratelimit-remaining-requests=0|x-ratelimit-reset-requests=6m0s",
            "reset 360",
        ),
        (
            "x-ratelimit-remaining-requests=0|x-ratelimit-reset-requests=120ms",
            "reset 0.12",
        ),
        (
            "x-ratelimit-remaining-requests=1|x-ratelimit-reset-requests=6m0s",
            "-",
        ),
        ("x-ratelimit-reset-requests=6m0s", "-"),
        (
            "x-ratelimit-remaining-requests=0|x-ratelimit-reset-requests=1s|retry-after=3",
            "after 3",
        ),
        (
            "x-ratelimit-remaining-requests=0|x-ratelimit-reset-requests=1s|\
             x-ratelimit-remaining-tokens=0|x-ratelimit-reset-tokens=1h2m3s",
            "reset 3723",
        ),
        (
            "x-ratelimit-remaining-requests-day=0|x-ratelimit-reset-requests-day=33011.5",
            "reset 33011.5",
        ),
        ("x-ratelimit-remaining=0|x-ratelimit-reset=1795234600", "reset 33"),
        (
            "x-ratelimit-remaining=0|x-ratelimit-reset=1795234600000",
            "reset 33",
        ),
        (
            "anthropic-ratelimit-input-tokens-remaining=0|\
             anthropic-ratelimit-input-tokens-reset=2026-11-21T04:16:37Z",
            "reset 30",
        ),
        (
            "anthropic-ratelimit-unified-status=allowed|anthropic-ratelimit-unified-reset=1795234600",
            "-",
        ),
        (
            "anthropic-ratelimit-unified-status=rejected|anthropic-ratelimit-unified-reset=1795234600|retry-after=3",
            "reset 33",
        ),
    ];
    for (head, expected) in cases {
        let head = headers(head.split('|').filter_map(|pair| pair.split_once('=')));
        let expected = expected.split_once(' ').map(|(kind, wait)| match kind {
            "after" => Retry::After(seconds(wait)),
            _ => Retry::Reset(seconds(wait)),
        });
        assert_eq!(retry_after::parse(&head, NOW), expected, "{head:?}");
    }
}

#[test]
fn the_most_used_limit_is_told() {
    // Headers, and what they mean: used parts per million and seconds until the reset, or nothing.
    let cases = [
        ("", None),
        (
            "x-ratelimit-limit-requests=60|x-ratelimit-remaining-requests=45|x-ratelimit-reset-requests=1m",
            Some((250_000, "60")),
        ),
        (
            "x-ratelimit-limit-requests=3|x-ratelimit-remaining-requests=1|x-ratelimit-reset-requests=1s|\
             x-ratelimit-limit-tokens=1000|x-ratelimit-remaining-tokens=100|x-ratelimit-reset-tokens=6m0s",
            Some((900_000, "360")),
        ),
        (
            "anthropic-ratelimit-input-tokens-limit=40000|anthropic-ratelimit-input-tokens-remaining=0|\
             anthropic-ratelimit-input-tokens-reset=2026-11-21T04:16:37Z",
            Some((1_000_000, "30")),
        ),
        (
            "x-ratelimit-limit=10|x-ratelimit-remaining=9|x-ratelimit-reset=1795234600",
            Some((100_000, "33")),
        ),
        // Of equally used ones the last to reset.
        (
            "x-ratelimit-limit-a=2|x-ratelimit-remaining-a=1|x-ratelimit-reset-a=20|\
             x-ratelimit-limit-b=4|x-ratelimit-remaining-b=2|x-ratelimit-reset-b=10",
            Some((500_000, "20")),
        ),
        // Subscriptions tell fractions; one of them is about a single model.
        (
            "anthropic-ratelimit-unified-5h-utilization=0.25|anthropic-ratelimit-unified-5h-reset=1795234600|\
             anthropic-ratelimit-unified-7d-utilization=0.5|anthropic-ratelimit-unified-7d-reset=1795234667|\
             anthropic-ratelimit-unified-7d-sonnet-utilization=0.9|anthropic-ratelimit-unified-7d-sonnet-reset=1795234667",
            Some((500_000, "100")),
        ),
        (
            "anthropic-ratelimit-unified-5h-utilization=1.04|anthropic-ratelimit-unified-5h-reset=1795234600",
            Some((1_000_000, "33")),
        ),
        // A limit that is whole again, or of which not all is told, says nothing.
        (
            "x-ratelimit-limit=10|x-ratelimit-remaining=9|x-ratelimit-reset=0",
            None,
        ),
        ("x-ratelimit-limit=10|x-ratelimit-remaining=9", None),
        ("x-ratelimit-remaining=9|x-ratelimit-reset=9", None),
        (
            "x-ratelimit-limit=0|x-ratelimit-remaining=0|x-ratelimit-reset=9",
            None,
        ),
        (
            "x-ratelimit-limit=nan|x-ratelimit-remaining=many|x-ratelimit-reset=9",
            None,
        ),
        (
            "x-ratelimit-limit=10|x-ratelimit-remaining=20|x-ratelimit-reset=9",
            Some((0, "9")),
        ),
    ];
    for (head, expected) in cases {
        let head = headers(head.split('|').filter_map(|pair| pair.split_once('=')));
        let expected = expected.map(|(used, wait)| Headroom {
            used,
            resets_in: seconds(wait),
        });
        assert_eq!(headroom(&head, NOW), expected, "{head:?}");
    }
}
