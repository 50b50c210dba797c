//! No header and no body makes a refusal unreadable, and no stated wait is out of bounds. The input is lines of
//! headers, an empty line, and a body.
#![no_main]

use std::time::Duration;

use dialect::{Dialect, Retry, read_refusal, retry_after};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NOW: Duration = Duration::from_secs(1_795_234_567);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

fn parse(input: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let (line, others) = (&rest[..end], &rest[end + 1..]);
        rest = others;
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}

fuzz_target!(|input: &[u8]| {
    let (headers, body) = parse(input);
    let stated = retry_after::parse(&headers, NOW);
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        for status in [0, 400, 401, 403, 429, 503] {
            let refusal = read_refusal(dialect, status, &headers, body, NOW);
            for retry in [refusal.retry, stated].into_iter().flatten() {
                let (Retry::After(wait) | Retry::Reset(wait)) = retry;
                assert!(wait <= LONGEST, "{wait:?} for {status}");
            }
        }
    }
});
