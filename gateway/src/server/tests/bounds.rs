//! More than we take.

use super::*;

#[tokio::test]
async fn header_bombs_are_answered_with_431() {
    let server = start(ServerSettings::default());
    let get = "GET /echo HTTP/1.1\r\nHost: x\r\n";
    let cases = [
        ("many fields", format!("{get}{}\r\n", "A: b\r\n".repeat(200))),
        ("a long field", format!("{get}A: {}\r\n\r\n", "b".repeat(100_000))),
        ("an endless field", format!("{get}A: {}", "b".repeat(10_000_000))),
        ("endless fields", format!("{get}{}", "A: b\r\n".repeat(1_000_000))),
    ];
    for (name, request) in cases {
        let mut stream = connect(&server).await;
        // The server may close while we send; the answer must arrive all the same.
        let _ = soon("sending", stream.write_all(request.as_bytes())).await;
        let answer = rest(&mut stream).await;
        assert_eq!(statuses(&answer), ["431"], "{name}: {answer}");
    }
}

#[tokio::test]
async fn a_long_target_is_answered_with_414() {
    let server = start(ServerSettings {
        max_head: 128 * 1024,
        max_buffer: 128 * 1024,
        ..ServerSettings::default()
    });
    let answer = exchange(
        &server,
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000)),
    )
    .await;
    assert_eq!(statuses(&answer), ["414"], "{answer}");
}

#[tokio::test]
async fn an_early_answer_is_not_lost_in_a_large_request() {
    let server = start(ServerSettings::default());
    let piece = vec![b'x'; 1024 * 1024];
    for head in [
        "Content-Length: 100000000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5000000\r\n",
    ] {
        let mut stream = connect(&server).await;
        send(&mut stream, format!("POST /early HTTP/1.1\r\nHost: x\r\n{head}")).await;
        for _ in 0..64 {
            send(&mut stream, &piece).await;
        }
        stream.shutdown().await.unwrap();
        let answer = rest(&mut stream).await;
        assert_eq!(statuses(&answer), ["413"], "{answer}");
        assert!(answer.ends_with("enough"), "{answer}");
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let server = start(ServerSettings {
        max_connections: 1,
        ..ServerSettings::default()
    });
    let request = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = connect(&server).await;
    send(&mut first, request).await;
    until(&mut first, "tls=false").await;

    let mut second = connect(&server).await;
    send(&mut second, request).await;
    let mut byte = [0];
    let early = timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(
        early.is_err(),
        "the second connection was served beside the first"
    );
    drop(first);
    until(&mut second, "tls=false").await;
}
