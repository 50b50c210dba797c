//! Clients that keep us waiting.

use super::*;

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = start(hasty());
    assert_eq!(exchange(&server, "").await, "");
}

#[tokio::test]
async fn empty_lines_are_no_request() {
    let server = start(hasty());
    let mut stream = connect(&server).await;
    let dripping = async {
        while stream.write_all(b"\r\n").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the close", dripping).await;
}

#[tokio::test]
async fn half_a_head_is_answered_with_408() {
    let server = start(hasty());
    for head in [
        "G",
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "PRI * HTTP/2.0\r\n",
    ] {
        let answer = exchange(&server, head).await;
        assert_eq!(statuses(&answer), ["408"], "{head:?}: {answer}");
    }
    let pipelined = exchange(&server, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nGET").await;
    assert_eq!(statuses(&pipelined), ["200", "408"], "{pipelined}");
}

#[tokio::test]
async fn a_head_that_drips_has_one_deadline_for_all_of_it() {
    let server = start(hasty());
    let mut stream = connect(&server).await;
    send(&mut stream, "GET / HTTP/1.1\r\nX: ").await;
    let dripping = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the close", dripping).await;
}

#[tokio::test]
async fn half_a_body_reaches_the_handler_as_too_slow() {
    let server = start(hasty());
    for body in [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhal",
        "Content-Length: 1\r\n\r\n",
    ] {
        let answer = exchange(&server, format!("POST /echo HTTP/1.1\r\nHost: x\r\n{body}")).await;
        assert_eq!(statuses(&answer), ["408"], "{answer}");
        assert!(answer.ends_with("too slow"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_may_be_slow_as_long_as_it_comes() {
    let server = start(hasty());
    let mut stream = connect(&server).await;
    send(
        &mut stream,
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n",
    )
    .await;
    for _ in 0..10 {
        sleep(Duration::from_millis(60)).await;
        send(&mut stream, "x").await;
    }
    let answer = rest(&mut stream).await;
    assert_eq!(statuses(&answer), ["200"], "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_for_a_while_and_then_closed() {
    let server = start(hasty());
    let request = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut stream = connect(&server).await;
    for _ in 0..8 {
        send(&mut stream, request).await;
        until(&mut stream, "tls=false").await;
        sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(
        rest(&mut stream).await,
        "",
        "an idle connection closes without a word"
    );
}

#[tokio::test]
async fn waiting_for_an_answer_is_not_idle() {
    let server = start(hasty());
    let answer = exchange(
        &server,
        "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.ends_with("slow"), "{answer}");
    // Even with the beginning of the next request already here.
    let answers = exchange(&server, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /echo").await;
    assert_eq!(statuses(&answers), ["200", "408"], "{answers}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let server = start(hasty());
    let mut stream = connect(&server).await;
    send(&mut stream, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    soon("the end of the stream", server.bench.dropped.notified()).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_stream() {
    let server = start(ServerSettings::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "GET /goodbye HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until(&mut stream, "hello").await;
    drop(stream);
    soon("the end of the stream", server.bench.dropped.notified()).await;
}
