//! Both protocols on one listener.

use http::Version;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};

use super::*;

fn request(server: &Server, path: &str, version: Version, body: Bytes) -> Request<Full<Bytes>> {
    Request::builder()
        .method("POST")
        .version(version)
        .uri(format!("http://{}{path}", server.address))
        .body(Full::new(body))
        .unwrap()
}

#[tokio::test]
async fn clear_text_http2_is_spoken_with_prior_knowledge() {
    let server = start(ServerSettings::default());
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    for length in [0, 3, 1_000_000] {
        let request = request(&server, "/echo", Version::HTTP_2, Bytes::from(vec![b'x'; length]));
        let response = soon("the answer", client.request(request)).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("/echo {length} HTTP/2.0 tls=false"));
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_and_a_busy_one_is_not() {
    let server = start(hasty());
    let stream = connect(&server).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let slow = sender.send_request(request(&server, "/slow", Version::HTTP_2, Bytes::new()));
    assert_eq!(soon("the answer", slow).await.unwrap().status(), StatusCode::OK);
    soon("the close", connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn half_a_body_of_an_http2_stream_reaches_the_handler_as_too_slow() {
    let server = start(hasty());
    let stream = connect(&server).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let (half, pieces) = mpsc::channel(1);
    half.send(Bytes::from_static(b"half")).await.unwrap();
    let body = Pieces {
        pieces,
        dropped: Arc::default(),
    };
    let request = Request::post(format!("http://{}/echo", server.address))
        .body(body)
        .unwrap();
    let response = soon("the answer", sender.send_request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn an_unfinished_preface_does_not_stay() {
    let server = start(hasty());
    let mut stream = connect(&server).await;
    send(&mut stream, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    rest(&mut stream).await;
}

#[tokio::test]
async fn small_writes_are_not_held_back() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = crate::server::next(&listener).await;
    assert!(accepted.nodelay().unwrap());
}
