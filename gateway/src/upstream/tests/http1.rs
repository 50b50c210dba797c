use http::StatusCode;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn what_arrives_together_comes_as_one_piece() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        say(
            &mut stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        )
        .await;
        let chunks = (0..100)
            .map(|n| format!("8\r\ndata {n:>3}\r\n"))
            .collect::<Vec<_>>()
            .concat();
        tokio::time::sleep(Duration::from_millis(20)).await;
        say(&mut stream, chunks).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        say(&mut stream, "4\r\nlast\r\n0\r\n\r\n").await;
        request(&mut stream).await;
        say(&mut stream, OK).await;
    })
    .await;
    let upstream = upstream(address);
    let mut body = upstream.ask(post("")).await.unwrap().into_body();
    let expected = (0..100)
        .map(|n| format!("data {n:>3}"))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(body.piece().await.unwrap().unwrap(), expected);
    assert!(!body.is_over());
    assert_eq!(body.piece().await.unwrap().unwrap(), "last");
    assert!(body.is_over(), "the end came with the last piece");
    assert!(body.piece().await.is_none());
    assert_eq!(
        text(upstream.ask(post("")).await.unwrap()).await,
        "ok",
        "the connection is free again"
    );
}

#[tokio::test]
async fn the_first_piece_does_not_wait_for_the_second() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        say(
            &mut stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n6\r\nse",
        )
        .await;
        request(&mut stream).await;
    })
    .await;
    let mut body = upstream(address).ask(post("")).await.unwrap().into_body();
    assert_eq!(body.piece().await.unwrap().unwrap(), "firstse");
}

#[tokio::test]
async fn a_dropped_body_closes_the_connection_at_once() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let address = server(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            say(
                &mut stream,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
            )
            .await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let upstream = upstream(address);
    let mut body = upstream.ask(post("")).await.unwrap().into_body();
    body.piece().await.unwrap().unwrap();
    drop(body);
    tokio::time::timeout(Duration::from_secs(2), was_closed.recv())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_dropped_call_closes_the_connection_at_once() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let address = server(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            closed.send("asked").await.unwrap();
            request(&mut stream).await;
            closed.send("closed").await.unwrap();
        }
    })
    .await;
    let call = tokio::spawn(async move { upstream(address).ask(post("")).await.map(drop) });
    assert_eq!(was_closed.recv().await, Some("asked"));
    call.abort();
    let closed = tokio::time::timeout(Duration::from_secs(2), was_closed.recv())
        .await
        .unwrap();
    assert_eq!(closed, Some("closed"));
}

#[tokio::test]
async fn bodies_come_whole_however_they_are_framed_and_cut() {
    let long = "0123456789".repeat(30_000);
    let chunked = long
        .as_bytes()
        .chunks(7000)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
        .collect::<Vec<_>>()
        .concat();
    let table = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}", long.len()),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunked}0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n\r\n{long}"),
        format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{long}"),
    ];
    for answer in table {
        for step in [1_000_000, 16 * 1024, 4099] {
            let answer = answer.clone();
            let address = server(move |_, mut stream| {
                let answer = answer.clone();
                async move {
                    request(&mut stream).await;
                    for piece in answer.as_bytes().chunks(step) {
                        say(&mut stream, piece).await;
                        tokio::task::yield_now().await;
                    }
                }
            })
            .await;
            let upstream = upstream(address);
            assert_eq!(
                text(upstream.ask(post("")).await.unwrap()).await,
                long,
                "in steps of {step}"
            );
        }
    }
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        for byte in b"HTTP/1.1 100 Continue\r\n\r\n".iter().chain(OK) {
            say(&mut stream, [*byte]).await;
            tokio::task::yield_now().await;
        }
        request(&mut stream).await;
    })
    .await;
    let response = upstream(address).ask(post("")).await.unwrap();
    assert_eq!(response.headers()["content-length"], "2");
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn a_cut_body_is_an_error_after_what_came_of_it() {
    let table = [
        ("content-length: 9", "hello", false),
        ("transfer-encoding: chunked", "5\r\nhello\r\n", false),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n", false),
        ("transfer-encoding: chunked", "5\r\nhello\r\n!\r\n", true),
    ];
    for (header, body, broken) in table {
        let answer = format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n{body}");
        let address = server(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                request(&mut stream).await;
                say(&mut stream, answer).await;
            }
        })
        .await;
        let mut body = upstream(address).ask(post("")).await.unwrap().into_body();
        assert_eq!(body.piece().await.unwrap().unwrap(), "hello");
        let error = body.piece().await.unwrap().unwrap_err();
        assert_eq!(
            matches!(error, BodyError::Framing(_)),
            broken,
            "{header} {error:?}"
        );
        assert!(broken || matches!(error, BodyError::Cut), "{error:?}");
        assert!(body.piece().await.is_none());
    }
}

#[tokio::test]
async fn what_is_no_response_is_refused() {
    let flood = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(70_000));
    let table = [
        "<html>hello</html>\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        flood.as_str(),
    ];
    for answer in table {
        let (address, _seen) = echo(answer.into()).await;
        let error = upstream(address).ask(post("")).await.unwrap_err();
        assert!(matches!(error, SendError::Head(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_a_response() {
    let (address, mut seen) = echo(
        b"HTTP/1.1 307 Moved\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_vec(),
    )
    .await;
    let response = upstream(address).ask(post("")).await.unwrap();
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert!(response.into_body().is_over());
    seen.recv().await.unwrap();
    assert!(seen.try_recv().is_err(), "one request only");
}

#[tokio::test]
async fn a_refusal_before_the_whole_request_was_sent_is_delivered() {
    let address = server(|_, mut stream| async move {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        say(
            &mut stream,
            "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig",
        )
        .await;
        let _ = stream.shutdown().await;
        // Keep it open, without reading, so that the rest of the request finds no taker.
        tokio::time::sleep(Duration::from_secs(5)).await;
    })
    .await;
    let response = upstream(address).ask(post(&"x".repeat(32 << 20))).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(response).await, "big");
}

#[tokio::test]
async fn a_large_request_is_sent_while_its_answer_comes() {
    let address = server(|_, mut stream| async move {
        let mut some = vec![0; 1024];
        stream.read_exact(&mut some).await.unwrap();
        say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nearl").await;
        let mut seen = 1024;
        while seen < (8 << 20) {
            seen += stream.read(&mut some).await.unwrap();
        }
        say(&mut stream, "y ok").await;
    })
    .await;
    let response = upstream(address).ask(post(&"x".repeat(8 << 20))).await.unwrap();
    assert_eq!(text(response).await, "early ok");
}

#[tokio::test]
async fn a_sent_body_is_not_kept() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello").await;
        request(&mut stream).await;
    })
    .await;
    let bytes = Bytes::from("x".repeat(1 << 20));
    let request = Request::post("/")
        .body(RequestBody::Whole(Segments::from(bytes.clone()).into()))
        .unwrap();
    let response = upstream(address).ask(request).await.unwrap();
    assert!(bytes.is_unique(), "only the caller's clone is left");
    drop(response);
}

#[tokio::test]
async fn a_ten_megabyte_line_passes() {
    let line = format!("data: {}\n\n", "x".repeat(10 << 20));
    let answer = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{line}\r\n0\r\n\r\n",
        line.len()
    );
    let (address, _seen) = echo(answer.into()).await;
    let upstream = upstream(address);
    let mut body = upstream.ask(post("")).await.unwrap().into_body();
    let mut length = 0;
    while let Some(piece) = body.piece().await {
        let piece = piece.unwrap();
        assert!(
            !piece.is_empty() && piece.len() <= 80 * 1024,
            "bounded pieces, not {}",
            piece.len()
        );
        length += piece.len();
    }
    assert_eq!(length, line.len());
    let whole = upstream
        .ask(post(""))
        .await
        .unwrap()
        .into_body()
        .collect(11 << 20)
        .await
        .unwrap();
    assert_eq!(whole.len(), line.len());
}

#[tokio::test]
async fn a_body_longer_than_wanted_is_not_collected() {
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let body = if framing.starts_with('c') {
            "x".repeat(100)
        } else {
            format!("64\r\n{}\r\n0\r\n\r\n", "x".repeat(100))
        };
        let (address, _seen) = echo(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}").into()).await;
        let upstream = upstream(address);
        let refused = upstream
            .ask(post(""))
            .await
            .unwrap()
            .into_body()
            .collect(99)
            .await;
        assert!(
            matches!(refused, Err(CollectError::TooLarge { limit: 99 })),
            "{framing}"
        );
        let taken = upstream
            .ask(post(""))
            .await
            .unwrap()
            .into_body()
            .collect(100)
            .await
            .unwrap();
        assert_eq!(taken.len(), 100);
    }
}

fn tokio_stream(
    pieces: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + Sync + 'static>,
) -> impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, std::io::Error>> + Send + Sync {
    futures_util::stream::iter(
        pieces
            .into_iter()
            .map(|piece| Ok(http_body::Frame::data(piece.into()))),
    )
}

#[tokio::test]
async fn a_streamed_body_is_sent_in_chunks_or_with_its_length() {
    use http_body_util::Full;

    let (address, mut seen) = echo(OK.to_vec()).await;
    let upstream = upstream(address);
    let body = Full::new(Bytes::from_static(b"whole"))
        .map_err(|never| match never {})
        .boxed();
    let request = Request::post("/").body(RequestBody::Streamed(body)).unwrap();
    text(upstream.ask(request).await.unwrap()).await;
    assert!(
        seen.recv()
            .await
            .unwrap()
            .1
            .ends_with("content-length: 5\r\n\r\nwhole")
    );

    let body = StreamBody::new(tokio_stream([b"one".to_vec(), vec![], b"three".to_vec()]));
    let body = body.map_err(Into::into).boxed();
    let request = Request::post("/").body(RequestBody::Streamed(body)).unwrap();
    text(upstream.ask(request).await.unwrap()).await;
    let (number, head) = seen.recv().await.unwrap();
    assert!(head.contains("transfer-encoding: chunked\r\n\r\n"), "{head}");
    assert_eq!(number, 1, "on a fresh connection");
}

#[tokio::test]
async fn a_streamed_body_that_fails_ends_the_call() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let address = server(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            closed.send(rest).await.unwrap();
        }
    })
    .await;
    let pieces = [
        Ok(http_body::Frame::data(Bytes::from_static(b"one"))),
        Err(std::io::Error::other("left")),
    ];
    let body = StreamBody::new(futures_util::stream::iter(pieces))
        .map_err(Into::into)
        .boxed();
    let request = Request::post("/").body(RequestBody::Streamed(body)).unwrap();
    let error = upstream(address).ask(request).await.unwrap_err();
    assert!(matches!(error, SendError::Body(_)), "{error:?}");
    let seen = was_closed.recv().await.unwrap();
    assert!(
        !seen.ends_with(b"0\r\n\r\n"),
        "the upstream must not take it for whole"
    );
}
