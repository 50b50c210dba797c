//! The way out.

use super::*;

const HELD: &str = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n";
const ECHO: &str = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn draining_still_serves_and_closing_finishes_what_runs() {
    let mut server = start(ServerSettings::default());
    let mut idle = connect(&server).await;
    send(&mut idle, ECHO).await;
    until(&mut idle, "tls=false").await;
    let mut busy = connect(&server).await;
    send(&mut busy, HELD).await;

    server.control.enter(Phase::Draining);
    let mut late = connect(&server).await;
    send(&mut late, ECHO).await;
    let answer = until(&mut late, "tls=false").await;
    assert!(
        !answer.contains("connection: close"),
        "connections are kept while new ones are welcome: {answer}"
    );

    server.control.enter(Phase::Closing);
    assert_eq!(rest(&mut idle).await, "", "idle connections close at once");
    assert!(!server.served.is_finished(), "a call is open");
    server.bench.gate.notify_one();
    let answer = rest(&mut busy).await;
    assert!(
        answer.contains("connection: close") && answer.ends_with("held"),
        "{answer}"
    );
    soon("the end", &mut server.served).await.unwrap();
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn streams_are_asked_to_end_in_their_own_words() {
    let server = start(ServerSettings::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "GET /goodbye HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until(&mut stream, "hello").await;
    server.control.enter(Phase::Closing);
    let mut byte = [0];
    let early = timeout(Duration::from_millis(100), stream.read(&mut byte)).await;
    assert!(early.is_err(), "a stream goes on until it is asked to end");
    server.control.enter(Phase::Ending);
    let answer = rest(&mut stream).await;
    assert!(
        answer.contains("goodbye\r\n0\r\n\r\n"),
        "the stream ends whole: {answer:?}"
    );
    soon("the end", server.served).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_its_connections() {
    let server = start(ServerSettings::default());
    let mut stream = connect(&server).await;
    send(&mut stream, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until(&mut stream, "xxx").await;
    server.served.abort();
    soon("the end of the stream", server.bench.dropped.notified()).await;
    rest(&mut stream).await;
}
