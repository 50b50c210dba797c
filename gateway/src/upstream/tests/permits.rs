//! Requests whose key is taken back before they are sent.

use std::convert::Infallible;

use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::{
    http2::{certificates, tls_upstream},
    *,
};

/// An upstream whose TLS handshakes wait until `open`; the keys that it is shown.
async fn stalled(
    protocol: &'static str,
    open: watch::Receiver<bool>,
) -> (
    Upstream,
    mpsc::UnboundedReceiver<String>,
    mpsc::UnboundedReceiver<usize>,
) {
    let (ca, mut config) = certificates("api.test");
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (shown, keys) = mpsc::unbounded_channel();
    let (came, connections) = mpsc::unbounded_channel();
    let address = server(move |number, stream| {
        let (acceptor, mut open) = (acceptor.clone(), open.clone());
        let (shown, came) = (shown.clone(), came.clone());
        async move {
            came.send(number).unwrap();
            open.wait_for(|open| *open).await.unwrap();
            let stream = acceptor.accept(stream).await.unwrap();
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let shown = shown.clone();
                async move {
                    let key = request.headers()["authorization"].to_str().unwrap().to_owned();
                    let _ = request.into_body().collect().await;
                    shown.send(key).unwrap();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                }
            });
            let io = TokioIo::new(stream);
            let _ = if protocol == "h2" {
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(io, service)
                    .await
            } else {
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(io, service)
                    .await
            };
        }
    })
    .await;
    (
        tls_upstream(address, "api.test", Some(&ca), None),
        keys,
        connections,
    )
}

fn with_key(key: &str, body: RequestBody) -> Request<RequestBody> {
    Request::post("/v1/x")
        .header("authorization", key)
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_request_that_waits_for_a_connection_is_not_sent_with_a_key_that_is_taken_back() {
    for protocol in ["http/1.1", "h2"] {
        let (open, opened) = watch::channel(false);
        let (upstream, mut keys, mut connections) = stalled(protocol, opened).await;
        let (before, after) = (Permit::default(), Permit::default());
        let old = with_key("old", post("text").into_body());
        let rotation = async {
            connections.recv().await.unwrap();
            before.revoke();
            open.send_replace(true);
        };
        let (sent, ()) = tokio::join!(upstream.send(old, &before), rotation);
        let Err(SendError::Revoked(body)) = sent else {
            panic!("{protocol}: {sent:?}");
        };
        let response = upstream.send(with_key("new", body), &after).await.unwrap();
        assert_eq!(text(response).await, "ok");
        assert_eq!(keys.recv().await.unwrap(), "new", "{protocol}");
        assert!(
            connections.try_recv().is_err(),
            "{protocol}: the connection is as good as before"
        );
        // On a connection that is open already nothing is sent either.
        let error = upstream.send(with_key("old", RequestBody::Empty), &before).await;
        assert!(
            matches!(error, Err(SendError::Revoked(_))),
            "{protocol}: {error:?}"
        );
        let response = upstream
            .send(with_key("new", RequestBody::Empty), &after)
            .await
            .unwrap();
        assert_eq!(text(response).await, "ok");
        assert_eq!(keys.recv().await.unwrap(), "new", "{protocol}");
    }
}

#[tokio::test]
async fn a_body_that_can_be_sent_once_is_given_back() {
    let (address, mut seen) = echo(OK.to_vec()).await;
    let upstream = upstream(address);
    let body = Full::new(Bytes::from_static(b"whole"))
        .map_err(|never| match never {})
        .boxed();
    let revoked = Permit::default();
    revoked.revoke();
    let request = Request::post("/old").body(RequestBody::Streamed(body)).unwrap();
    let sent = upstream.send(request, &revoked).await;
    let Err(SendError::Revoked(RequestBody::Streamed(body))) = sent else {
        panic!("{sent:?}");
    };
    let request = Request::post("/new").body(RequestBody::Streamed(body)).unwrap();
    text(upstream.ask(request).await.unwrap()).await;
    let (_, request) = seen.recv().await.unwrap();
    assert!(
        request.starts_with("POST /new") && request.ends_with("\r\n\r\nwhole"),
        "{request}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_sent_once_a_key_was_taken_back() {
    let (address, mut seen) = echo(OK.to_vec()).await;
    let upstream = Arc::new(upstream(address));
    let permit = Arc::new(Permit::default());
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (upstream, permit) = (upstream.clone(), permit.clone());
            tokio::spawn(async move {
                let mut sent = 0;
                while let Ok(response) = upstream.send(post("x"), &permit).await {
                    text(response).await;
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    for _ in 0..100 {
        seen.recv().await.unwrap();
    }
    permit.revoke();
    let mut sent = 0;
    for caller in callers {
        sent += caller.await.unwrap();
    }
    let mut came = 100;
    while seen.try_recv().is_ok() {
        came += 1;
    }
    assert_eq!(
        came, sent,
        "each caller stopped at the first request that may not be sent"
    );
}
