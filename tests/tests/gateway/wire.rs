//! Bytes that no well-behaved client sends, and clients that say nothing.

use std::{fmt::Write as _, time::Duration};

use harness::{CLIENT_KEY, Fixture, Gateway, Upstream, raw};
use tokio::io::AsyncWriteExt as _;

const BODY: &str = r#"{"model":"m","messages":[]}"#;

/// A request with these header lines in the middle.
fn request(lines: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT_KEY}\r\n{lines}\r\n{body}"
    )
}

#[tokio::test]
async fn shapes_that_two_servers_read_differently_are_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let length = BODY.len();
    let smuggled =
        format!("0\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT_KEY}\r\n\r\n");
    for (what, bytes) in [
        (
            "content-length and transfer-encoding",
            request(
                &format!(
                    "content-length: {}\r\ntransfer-encoding: chunked\r\n",
                    smuggled.len()
                ),
                &smuggled,
            ),
        ),
        (
            "transfer-encoding and content-length",
            request(
                &format!(
                    "transfer-encoding: chunked\r\ncontent-length: {}\r\n",
                    smuggled.len()
                ),
                &smuggled,
            ),
        ),
        (
            "two lengths",
            request(
                &format!("content-length: {length}\r\ncontent-length: {}\r\n", length - 5),
                BODY,
            ),
        ),
        (
            "a list of lengths",
            request(&format!("content-length: {length}, {}\r\n", length - 5), BODY),
        ),
        (
            "a length with a sign",
            request(&format!("content-length: +{length}\r\n"), BODY),
        ),
        (
            "a length that is no number",
            request("content-length: abc\r\n", BODY),
        ),
        (
            "a folded header",
            request(
                &format!("x-folded: one\r\n two\r\ncontent-length: {length}\r\n"),
                BODY,
            ),
        ),
        (
            "a space before the colon",
            request(&format!("content-length : {length}\r\n"), BODY),
        ),
        (
            "an unknown transfer coding",
            request("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ),
        (
            "a chunk size that is none",
            request("transfer-encoding: chunked\r\n", "xyz\r\n{}\r\n0\r\n\r\n"),
        ),
        (
            "a null in a header",
            request(&format!("x-null: a\0b\r\ncontent-length: {length}\r\n"), BODY),
        ),
        (
            "no version",
            format!("GET /v1/models\r\nauthorization: Bearer {CLIENT_KEY}\r\n\r\n"),
        ),
        ("not HTTP", "\u{16}\u{3}\u{1}\u{0}hello\r\n\r\n".to_owned()),
    ] {
        let heard = raw::exchange(gateway.address(), bytes.as_bytes(), Duration::from_secs(3)).await;
        assert!(
            matches!(heard.status(), 0 | 400 | 411 | 501 | 505),
            "{what}: {}",
            heard.text
        );
        assert!(
            heard.answers() <= 1,
            "{what}: one request, one answer: {}",
            heard.text
        );
        assert!(
            heard.closed,
            "{what}: what follows cannot be trusted, so the connection ends: {}",
            heard.text
        );
    }
    assert_eq!(upstream.count(), 0, "{:?}", upstream.last());
    gateway.client().chat("m").await.expect(200);
}

#[tokio::test]
async fn bare_line_feeds_do_not_split_a_request() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let bytes = format!("GET /v1/models HTTP/1.1\nhost: x\nauthorization: Bearer {CLIENT_KEY}\n\n");
    let heard = raw::exchange(gateway.address(), bytes.as_bytes(), Duration::from_secs(2)).await;
    assert!(matches!(heard.status(), 200 | 400), "{}", heard.text);
    assert!(heard.answers() <= 1, "{}", heard.text);

    // A line feed inside of a value must not become a header of its own upstream.
    let bytes = request(
        &format!(
            "openai-beta: x\nx-evil: yes\r\ncontent-length: {}\r\n",
            BODY.len()
        ),
        BODY,
    );
    let heard = raw::exchange(gateway.address(), bytes.as_bytes(), Duration::from_secs(2)).await;
    assert!(matches!(heard.status(), 200 | 400), "{}", heard.text);
    for seen in upstream.seen() {
        assert_eq!(seen.header("x-evil"), "", "{:?}", seen.headers);
    }
}

#[tokio::test]
async fn header_bombs_are_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let mut many = String::new();
    for number in 0..5000 {
        let _ = write!(many, "x-{number}: y\r\n");
    }
    let long = format!("x-long: {}\r\n", "y".repeat(1 << 20));
    for (what, lines) in [("many", many), ("long", long)] {
        let heard = raw::exchange(
            gateway.address(),
            request(&lines, "").as_bytes(),
            Duration::from_secs(5),
        )
        .await;
        assert!(matches!(heard.status(), 0 | 400 | 431), "{what}: {}", heard.text);
        assert!(heard.closed, "{what}");
    }
    let target = format!(
        "GET /v1/models?{} HTTP/1.1\r\nhost: x\r\n\r\n",
        "y".repeat(1 << 20)
    );
    let heard = raw::exchange(gateway.address(), target.as_bytes(), Duration::from_secs(5)).await;
    assert!(matches!(heard.status(), 0 | 400 | 414 | 431), "{}", heard.text);
    assert!(gateway.memory() < 200 << 20, "{}", gateway.memory());
    gateway.client().chat("m").await.expect(200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let one = request(
        &format!("content-length: {}\r\nx-request-id: first\r\n", BODY.len()),
        BODY,
    );
    let two = request(
        &format!(
            "content-length: {}\r\nx-request-id: second\r\nconnection: close\r\n",
            BODY.len()
        ),
        BODY,
    );
    let heard = raw::exchange(
        gateway.address(),
        format!("{one}{two}").as_bytes(),
        Duration::from_secs(10),
    )
    .await;
    assert_eq!(heard.answers(), 2, "{}", heard.text);
    assert!(
        heard.text.find("first") < heard.text.find("second"),
        "{}",
        heard.text
    );
}

/// The deadlines of the listener are fixed, so these wait together.
#[tokio::test]
async fn those_who_say_half_of_it_or_nothing_are_sent_away() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let half_a_body = request("content-length: 1000\r\n", "{\"model\":");
    let half_a_chunk = request("transfer-encoding: chunked\r\n", "ff\r\n{\"model\":");
    let waits = [
        ("silence", String::new(), 10),
        ("half a line", "POST /v1/ch".to_owned(), 10),
        (
            "half a head",
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthor".to_owned(),
            10,
        ),
        ("half a body", half_a_body, 30),
        ("half a chunk", half_a_chunk, 30),
    ]
    .map(|(what, bytes, deadline)| {
        let address = gateway.address();
        tokio::spawn(async move {
            let started = tokio::time::Instant::now();
            let heard = raw::exchange(address, bytes.as_bytes(), Duration::from_secs(60)).await;
            let waited = started.elapsed();
            assert!(heard.closed, "{what}: still open after a minute");
            assert!(matches!(heard.status(), 0 | 400 | 408), "{what}: {}", heard.text);
            assert!(
                waited >= Duration::from_secs(deadline - 5),
                "{what}: after {waited:?} already"
            );
            assert!(
                waited <= Duration::from_secs(deadline + 8),
                "{what}: only after {waited:?}"
            );
        })
    });
    // A head that trickles in is late all the same.
    let address = gateway.address();
    let trickle = tokio::spawn(async move {
        let mut stream = raw::connect(address).await;
        let started = tokio::time::Instant::now();
        let head = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-slow: {}", "y".repeat(60));
        for byte in head.bytes() {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let end = raw::listen(&mut stream, Duration::from_secs(1)).await;
        assert!(
            end.closed,
            "a trickled head is still open after {:?}",
            started.elapsed()
        );
    });
    // Others are served meanwhile.
    for _ in 0..10 {
        gateway.client().chat("m").await.expect(200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for wait in waits {
        wait.await.unwrap();
    }
    trickle.await.unwrap();
    assert_eq!(upstream.count(), 10);
}
