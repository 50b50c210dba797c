//! TLS, and HTTP/2 over it.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use http_body_util::{BodyExt as _, StreamBody};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;

/// A certificate authority and a server certificate for `name`.
pub(super) fn certificates(name: &str) -> (String, rustls::ServerConfig) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let leaf = CertificateParams::new([name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (pem, config)
}

/// A TLS server that speaks `protocol`; connections whose handshake fails are let go.
async fn tls_server<F>(
    mut config: rustls::ServerConfig,
    protocol: &str,
    script: impl Fn(usize, TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    server(move |number, stream| {
        let (acceptor, script) = (acceptor.clone(), script.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                script(number, stream).await;
            }
        }
    })
    .await
}

pub(super) fn tls_upstream(
    address: SocketAddr,
    host: &str,
    ca: Option<&str>,
    server_name: Option<&str>,
) -> Upstream {
    let mut key = key(Scheme::Https, host, address.port());
    key.ca = ca.map(Into::into);
    key.server_name = server_name.map(Into::into);
    upstream_with(&key, AddressPolicy::Standalone, Names::Fixed(vec![address.ip()]))
}

async fn over_http1(_: usize, mut stream: TlsStream<TcpStream>) {
    while request(&mut stream).await.is_some() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn certificates_are_checked_against_the_authority_and_the_name() {
    let (ca, config) = certificates("api.test");
    let address = tls_server(config, "http/1.1", over_http1).await;
    let (other_ca, _) = certificates("api.test");
    let table = [
        ("api.test", Some(&ca), None, true),
        ("127.0.0.1", Some(&ca), Some("api.test"), true),
        ("other.test", Some(&ca), None, false),
        ("api.test", Some(&ca), Some("other.test"), false),
        ("127.0.0.1", Some(&ca), None, false),
        ("api.test", Some(&other_ca), None, false),
        ("api.test", None, None, false),
    ];
    for (host, ca, server_name, good) in table {
        let upstream = tls_upstream(address, host, ca.map(String::as_str), server_name);
        let case = format!("{host} {server_name:?} with authority {}", ca.is_some());
        for _ in 0..2 {
            match upstream.ask(post("x")).await {
                Ok(response) => {
                    assert!(good, "{case}");
                    assert_eq!(text(response).await, "ok");
                }
                Err(error) => {
                    assert!(!good && matches!(error, SendError::Tls(_)), "{case}: {error:?}");
                    assert!(!error.sent());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_tls_connection_is_kept_and_large_bodies_pass_both_ways() {
    let (ca, config) = certificates("api.test");
    let address = tls_server(config, "http/1.1", |number, mut stream| async move {
        assert_eq!(number, 0, "no second connection");
        while let Some(request) = request(&mut stream).await {
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{request}",
                request.len()
            );
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes())
                .await
                .unwrap();
        }
    })
    .await;
    let upstream = tls_upstream(address, "api.test", Some(&ca), None);
    for size in [10, 1_000_000, 20] {
        let body = "x".repeat(size);
        let answer = text(upstream.ask(post(&body)).await.unwrap()).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{size}");
    }
}

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// An HTTP/2 server.
async fn over_http2<F>(
    stream: TlsStream<TcpStream>,
    most: u32,
    answer: impl Fn(Request<hyper::body::Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Reply> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(most)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn channel_body(pieces: mpsc::Receiver<&'static str>) -> Reply {
    let stream = futures_util::stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((
            Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(piece.as_bytes()))),
            pieces,
        ))
    });
    Response::new(StreamBody::new(stream).boxed())
}

async fn describe(request: Request<hyper::body::Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = format!(
        "{} {} host={:?} length={:?} connection={:?} body={}",
        parts.method,
        parts.uri,
        parts.headers.get("host"),
        parts.headers.get("content-length"),
        parts.headers.get("connection"),
        String::from_utf8_lossy(&body),
    );
    Response::new(http_body_util::Full::new(text.into()).boxed())
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_offered_and_shared() {
    let (ca, config) = certificates("api.test");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = tls_server(config, "h2", move |_, stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        over_http2(stream, 100, describe)
    })
    .await;
    let upstream = Arc::new(tls_upstream(address, "api.test", Some(&ca), None));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let upstream = Arc::clone(&upstream);
            tokio::spawn(async move {
                let request = Request::post("/v1/x?y=1")
                    .header("connection", "close")
                    .body(RequestBody::Whole(spliced().into()))
                    .unwrap();
                text(upstream.ask(request).await.unwrap()).await
            })
        })
        .collect();
    for call in calls {
        assert_eq!(
            call.await.unwrap(),
            format!(
                "POST https://api.test:{}/v1/x?y=1 host=None length=Some(\"13\") connection=None body={{\"model\":\"m\"}}",
                address.port()
            )
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1, "one connection for all");
}

#[tokio::test]
async fn a_full_http2_connection_gets_company() {
    let (ca, config) = certificates("api.test");
    let address = tls_server(config, "h2", move |_, stream| {
        over_http2(stream, 2, |_| async {
            let (sender, pieces) = mpsc::channel(1);
            tokio::spawn(async move {
                sender.send("a").await.unwrap();
                sender.closed().await;
            });
            channel_body(pieces)
        })
    })
    .await;
    let upstream = tls_upstream(address, "api.test", Some(&ca), None);
    let mut open = Vec::new();
    for _ in 0..5 {
        let call = async {
            let mut body = upstream.ask(post("")).await.unwrap().into_body();
            body.piece().await.unwrap().unwrap();
            body
        };
        open.push(
            tokio::time::timeout(Duration::from_secs(5), call)
                .await
                .expect("no stream waits for another"),
        );
    }
}

#[tokio::test]
async fn http2_pieces_that_arrive_together_come_as_one_and_a_drop_resets_the_stream() {
    let (ca, config) = certificates("api.test");
    let (log, mut seen) = mpsc::channel(1);
    let address = tls_server(config, "h2", move |_, stream| {
        let log = log.clone();
        over_http2(stream, 100, move |_| {
            let log = log.clone();
            async move {
                let (sender, pieces) = mpsc::channel(8);
                tokio::spawn(async move {
                    for _ in 0..5 {
                        sender.send("data").await.unwrap();
                    }
                    sender.closed().await;
                    log.send("reset").await.unwrap();
                });
                channel_body(pieces)
            }
        })
    })
    .await;
    let upstream = tls_upstream(address, "api.test", Some(&ca), None);
    let mut body = upstream.ask(post("")).await.unwrap().into_body();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(body.piece().await.unwrap().unwrap(), "datadatadatadatadata");
    drop(body);
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(2), seen.recv())
            .await
            .unwrap(),
        Some("reset")
    );
}

#[tokio::test]
async fn a_request_on_an_http2_connection_that_goes_away_is_sent_again() {
    let (ca, config) = certificates("api.test");
    let address = tls_server(config, "h2", move |number, stream| async move {
        let (log, mut second) = mpsc::channel::<()>(2);
        let served = over_http2(stream, 100, move |request| {
            let log = log.clone();
            async move {
                log.send(()).await.unwrap();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                if number == 0 && body == "2" {
                    std::future::pending::<()>().await;
                }
                Response::new(http_body_util::Full::new(body).boxed())
            }
        });
        // The first connection breaks over its second request.
        let broken = async {
            second.recv().await;
            if number == 0 {
                second.recv().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! { () = served => {}, () = broken => {} }
    })
    .await;
    let upstream = tls_upstream(address, "api.test", Some(&ca), None);
    assert_eq!(text(upstream.ask(post("1")).await.unwrap()).await, "1");
    assert_eq!(text(upstream.ask(post("2")).await.unwrap()).await, "2");
}
