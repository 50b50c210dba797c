//! Keys that change while they are used.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{
    CLIENT_KEY, contents, eventually,
    gateway::Gateway,
    named,
    operator::{Authority, Operator},
};
use crate::{lifecycle::Drain, server};

/// How many call at a time.
const CALLERS: usize = 8;

/// An upstream that notes the key of each request when it comes. Heads are not read before `open`.
async fn upstream(open: watch::Receiver<bool>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen = keys.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, open.clone(), seen.clone()));
        }
    });
    (address, keys)
}

async fn answer(mut stream: TcpStream, mut open: watch::Receiver<bool>, keys: Arc<Mutex<Vec<String>>>) {
    open.wait_for(|open| *open).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&bytes, b"\"m\"") {
                break end;
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let key = text.split("Bearer ").nth(1).unwrap().split('\r').next().unwrap();
        keys.lock().unwrap().push(key.to_owned());
        while !bytes.ends_with(b"}") {
            stream.read_buf(&mut bytes).await.unwrap();
        }
        bytes.clear();
        let body = r#"{"id":"x","choices":[]}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Serves clients of the gateway.
fn door(gateway: &Gateway) -> SocketAddr {
    let listener = server::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let app = gateway.app.clone();
    let (control, drain) = Drain::new();
    tokio::spawn(async move {
        let _control = control;
        let handler = move |request, _| app.clone().handle(request);
        server::serve(listener, None, handler, server::ServerSettings::default(), drain).await;
    });
    address
}

async fn call(door: SocketAddr) -> (StatusCode, String) {
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let _: &hyper_util::client::legacy::Client<_, Full<bytes::Bytes>> = &client;
    let request = Request::post(format!("http://{door}/v1/chat/completions"))
        .header("authorization", format!("Bearer {CLIENT_KEY}"))
        .header("content-type", "application/json")
        .body(Full::from(r#"{"model":"m"}"#))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn expect_served(door: SocketAddr) {
    let (status, body) = call(door).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_changes_under_load_without_a_failure_and_the_old_one_is_not_sent_after_the_ack() {
    let (_open, opened) = watch::channel(true);
    let (address, keys) = upstream(opened).await;
    let url = format!("http://{address}/v1");
    let authority = Authority::new();
    let version = |round: usize| contents(&url, &[("one", &format!("key-{round}"))]);
    let operator = Operator::start(&authority, Some(version(0))).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    operator.acked(&version(0)).await;
    let door = door(&gateway);
    let ends = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let ends = ends.clone();
        callers.spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                expect_served(door).await;
            }
        });
    }
    for round in 1..=10 {
        let seen = keys.lock().unwrap().len();
        let busy = || keys.lock().unwrap().len() > seen + 10;
        eventually("calls", busy).await;
        operator.publish(&version(round));
        operator.acked(&version(round)).await;
        let acked = keys.lock().unwrap().len();
        eventually("more calls", || keys.lock().unwrap().len() > acked + 40).await;
        // What was sent before the ack may still have been on its way: one request of each caller at most.
        let expected = format!("key-{round}");
        let after = keys.lock().unwrap()[acked..].to_vec();
        let old = after.iter().filter(|key| **key != expected).count();
        assert!(old <= CALLERS, "{expected}: {after:?}");
        assert_eq!(after.last(), Some(&expected));
    }
    ends.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_waits_for_its_upstream_does_not_send_a_key_that_was_replaced() {
    // TLS handshakes stall until they may go on.
    let (open, mut opened) = watch::channel(false);
    let authority = Authority::new();
    let acceptor = authority.acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let keys = Arc::new(Mutex::new(Vec::new()));
    let (came, mut arrivals) = watch::channel(0);
    let seen = keys.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            came.send_modify(|count| *count += 1);
            opened.wait_for(|open| *open).await.unwrap();
            let tls = acceptor.accept(tcp).await.unwrap();
            let seen = seen.clone();
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let key = request.headers()["authorization"].to_str().unwrap().to_owned();
                seen.lock().unwrap().push(key);
                async {
                    let body = Full::new(bytes::Bytes::from_static(br#"{"id":"x","choices":[]}"#));
                    Ok::<_, std::convert::Infallible>(http::Response::new(body))
                }
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(tls), service),
            );
        }
    });
    let with = |key: &str| {
        trusting(
            &contents(&format!("https://{address}/v1"), &[("one", key)]),
            &authority,
        )
    };
    let (old, new) = (with("old-key"), with("new-key"));
    let operator = Operator::start(&authority, Some(old.clone())).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    operator.acked(&old).await;
    let door = door(&gateway);
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(call(door))).collect();
    arrivals.wait_for(|count| *count > 0).await.unwrap();
    operator.publish(&new);
    operator.acked(&new).await;
    open.send_replace(true);
    for call in calls {
        let (status, body) = call.await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    assert_eq!(*keys.lock().unwrap(), ["Bearer new-key"; 4]);
}

/// The same with the authority as the Provider's, and the name that its certificates are for.
fn trusting(contents: &proto::Contents, authority: &Authority) -> proto::Contents {
    let mut snapshot = (**contents.snapshot()).clone();
    for provider in snapshot.providers.values_mut() {
        let provider = Arc::make_mut(provider);
        provider.tls.ca = Some(authority.pem.as_str().into());
        provider.tls.server_name = Some(super::operator::HOST.into());
    }
    named(snapshot, (**contents.keyring()).clone())
}

#[tokio::test]
async fn a_credential_that_goes_is_not_used_any_more() {
    let (open, opened) = watch::channel(true);
    let (address, keys) = upstream(opened).await;
    let url = format!("http://{address}/v1");
    let authority = Authority::new();
    let both = contents(&url, &[("one", "key-of-one"), ("two", "key-of-two")]);
    let operator = Operator::start(&authority, Some(both.clone())).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    operator.acked(&both).await;
    let door = door(&gateway);
    for _ in 0..4 {
        expect_served(door).await;
    }
    let seen = keys.lock().unwrap().clone();
    assert!(seen.contains(&"key-of-two".to_owned()), "{seen:?}");
    let one = contents(&url, &[("one", "key-of-one")]);
    operator.publish(&one);
    operator.acked(&one).await;
    for _ in 0..4 {
        expect_served(door).await;
    }
    assert_eq!(keys.lock().unwrap()[4..], ["key-of-one"; 4]);
    let none = contents(&url, &[]);
    operator.publish(&none);
    operator.acked(&none).await;
    let (status, body) = call(door).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    drop(open);
}

#[tokio::test]
async fn before_the_first_snapshot_nobody_is_told_that_a_key_is_wrong() {
    let authority = Authority::new();
    let operator = Operator::start(&authority, None).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    let door = door(&gateway);
    let (status, body) = call(door).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(body.contains("not_configured_yet"), "{body}");
}
