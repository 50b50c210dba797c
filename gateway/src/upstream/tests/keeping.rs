//! Connections that are kept, and those that must not be.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn a_request_goes_out_whole_and_its_connection_is_used_again() {
    let (address, mut seen) = echo(OK.to_vec()).await;
    let upstream = upstream(address);
    for _ in 0..3 {
        let request = Request::post("/v1/x?y=1")
            .header("authorization", "Bearer k")
            .body(RequestBody::Whole(spliced().into()))
            .unwrap();
        let response = upstream.ask(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(text(response).await, "ok");
        let expected = format!(
            "POST /v1/x?y=1 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer k\r\n\
             content-length: 13\r\n\r\n{{\"model\":\"m\"}}"
        );
        assert_eq!(seen.recv().await.unwrap(), (0, expected));
    }
}

#[tokio::test]
async fn requests_at_the_same_time_have_connections_of_their_own() {
    let (address, mut seen) = echo(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart".to_vec()).await;
    let upstream = upstream(address);
    let first = upstream.ask(post("")).await.unwrap();
    let second = upstream.ask(post("")).await.unwrap();
    assert_eq!(
        (seen.recv().await.unwrap().0, seen.recv().await.unwrap().0),
        (0, 1)
    );
    drop((first, second));
}

#[tokio::test]
async fn a_dead_kept_connection_is_replaced_once() {
    // The first two connections answer one request each and die over the second.
    for reset in [false, true] {
        let address = server(move |number, mut stream| async move {
            request(&mut stream).await;
            say(&mut stream, OK).await;
            if number > 1 {
                request(&mut stream).await;
                say(&mut stream, OK).await;
            } else if reset {
                request(&mut stream).await;
                stream.set_zero_linger().unwrap();
            } else {
                request(&mut stream).await;
            }
        })
        .await;
        let upstream = upstream(address);
        let (first, second) = tokio::join!(upstream.ask(post("1")), upstream.ask(post("2")));
        assert_eq!(
            (text(first.unwrap()).await, text(second.unwrap()).await),
            ("ok".into(), "ok".into())
        );
        let third = upstream.ask(post("3")).await.unwrap();
        assert_eq!(text(third).await, "ok", "reset: {reset}");
    }
}

#[tokio::test]
async fn connections_that_the_upstream_closed_while_idle_are_not_used() {
    let (closed, mut all_closed) = mpsc::unbounded_channel();
    let address = server(move |number, mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            say(&mut stream, OK).await;
            if number > 1 {
                request(&mut stream).await;
                say(&mut stream, OK).await;
            }
            drop(stream);
            closed.send(number).unwrap();
        }
    })
    .await;
    let upstream = upstream(address);
    let (first, second) = tokio::join!(upstream.ask(post("1")), upstream.ask(post("2")));
    text(first.unwrap()).await;
    text(second.unwrap()).await;
    all_closed.recv().await.unwrap();
    all_closed.recv().await.unwrap();
    tokio::task::yield_now().await;
    assert!(upstream.connections.take_h1().is_none());
    assert_eq!(text(upstream.ask(post("3")).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_not_replaced() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = server(move |_, mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            request(&mut stream).await;
        }
    })
    .await;
    let error = upstream(address).ask(post("x")).await.unwrap_err();
    assert!(matches!(error, SendError::Closed(_)), "{error:?}");
    assert!(error.sent());
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_kept_connection_that_dies_within_its_answer_is_not_replaced() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        say(&mut stream, OK).await;
        request(&mut stream).await;
        say(&mut stream, "HTTP/1.1 2").await;
    })
    .await;
    let upstream = upstream(address);
    text(upstream.ask(post("1")).await.unwrap()).await;
    assert!(matches!(upstream.ask(post("2")).await, Err(SendError::Closed(_))));
}

#[tokio::test]
async fn a_released_body_gives_its_connection_back() {
    let address = server(|number, mut stream| async move {
        assert_eq!(number, 0, "no second connection");
        request(&mut stream).await;
        say(
            &mut stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        say(&mut stream, "0\r\n\r\n").await;
        request(&mut stream).await;
        say(&mut stream, OK).await;
    })
    .await;
    let upstream = upstream(address);
    let mut body = upstream.ask(post("")).await.unwrap().into_body();
    assert_eq!(body.piece().await.unwrap().unwrap(), "done");
    body.release();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(text(upstream.ask(post("")).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn a_connection_that_cannot_be_kept_is_not() {
    let table = [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    ];
    for answer in table {
        let (address, mut seen) = echo(answer.into()).await;
        let upstream = upstream(address);
        for number in 0..2 {
            assert_eq!(text(upstream.ask(post("")).await.unwrap()).await, "ok");
            assert_eq!(seen.recv().await.unwrap().0, number, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn free_connections_are_closed_in_time() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let address = server(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            while request(&mut stream).await.is_some() {
                say(&mut stream, OK).await;
            }
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let mut upstream = upstream(address);
    upstream.connections = Connections::new(Duration::from_millis(50));
    text(upstream.ask(post("")).await.unwrap()).await;
    tokio::time::timeout(Duration::from_secs(2), was_closed.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        text(upstream.ask(post("")).await.unwrap()).await,
        "ok",
        "and a new one is opened"
    );
}

#[tokio::test]
async fn sockets_do_not_wait_for_more() {
    let (address, _seen) = echo(OK.to_vec()).await;
    let upstream = upstream(address);
    let Connected::Http1(io::Io::Plain(tcp)) = upstream.connector.connect().await.unwrap() else {
        panic!("in the clear");
    };
    assert!(tcp.nodelay().unwrap());
}
