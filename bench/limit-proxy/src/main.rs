//! Anchors for the cost of proxying an LLM call over plain HTTP/1.1 (loopback only).
//!
//! --mode pass   hyper server + hyper-util pooled client, bodies streamed through untouched: the
//!               cheapest thing our own stack can do, the "physical limit" of the bench.
//! --mode floor  small bodies read whole (a chunked answer costs one write instead of two), plus the work no credential-pool gateway can skip: hash and look up the
//!               caller's key, buffer the request and read `model` and `stream` from it, pick an
//!               upstream credential round robin and swap the header, read `usage` from the answer
//!               (JSON or last SSE events), add to per-key counters. No policy, retries, Redis, logs
//!               or TLS. What is left between this and a real gateway is the gateway's own choice.
//! --mode floor --redis redis://127.0.0.1:PORT   the same, and a command to a Redis that each call waits for, and
//!               another that it does not: what shared state costs at least.

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use memchr::memmem;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

#[derive(Default)]
struct Meter {
    requests: AtomicU64,
    prompt: AtomicU64,
    completion: AtomicU64,
}

struct State {
    upstream: String,
    host: HeaderValue,
    pass: Client<HttpConnector, Incoming>,
    floor: Client<HttpConnector, Full<Bytes>>,
    keys: HashMap<[u8; 32], Arc<Meter>>,
    pool: Vec<HeaderValue>,
    next: AtomicUsize,
    redis: Option<redis::aio::MultiplexedConnection>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    model: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Answer {
    usage: Option<Usage>,
}

#[derive(Deserialize, Clone, Copy)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

fn add(meter: &Meter, u: Usage) {
    meter.prompt.fetch_add(u.prompt_tokens, Relaxed);
    meter.completion.fetch_add(u.completion_tokens, Relaxed);
}

/// Forwards SSE frames as they come and looks for a usage object in them.
struct Metered {
    inner: Incoming,
    meter: Arc<Meter>,
}

impl Body for Metered {
    type Data = Bytes;
    type Error = hyper::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            if let Some(data) = frame.data_ref() {
                if let Some(i) = memmem::find(data, b"\"usage\":{") {
                    let mut de = serde_json::Deserializer::from_slice(&data[i + 8..]);
                    if let Ok(u) = Usage::deserialize(&mut de) {
                        add(&self.meter, u);
                    }
                }
            }
        }
        polled
    }
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

type Reply = Response<Either<Either<Incoming, Metered>, Full<Bytes>>>;

fn fail(code: StatusCode, msg: &'static str) -> Reply {
    let mut r = Response::new(Either::Right(Full::new(Bytes::from_static(msg.as_bytes()))));
    *r.status_mut() = code;
    r
}

fn target(st: &State, uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    format!("http://{}{}", st.upstream, path).parse().ok()
}

async fn pass(st: Arc<State>, mut req: Request<Incoming>) -> Result<Reply, hyper::Error> {
    let Some(uri) = target(&st, req.uri()) else {
        return Ok(fail(StatusCode::BAD_REQUEST, "bad uri"));
    };
    *req.uri_mut() = uri;
    req.headers_mut().insert(HOST, st.host.clone());
    match st.pass.request(req).await {
        Ok(r) => Ok(r.map(|b| Either::Left(Either::Left(b)))),
        Err(_) => Ok(fail(StatusCode::BAD_GATEWAY, "upstream")),
    }
}

async fn floor(st: Arc<State>, req: Request<Incoming>) -> Result<Reply, hyper::Error> {
    let (mut parts, body) = req.into_parts();
    let key = parts
        .headers
        .get(AUTHORIZATION)
        .map_or(&b""[..], |v| v.as_bytes());
    let key = key.strip_prefix(b"Bearer ").unwrap_or(key);
    let digest: [u8; 32] = Sha256::digest(key).into();
    let Some(meter) = st.keys.get(&digest).cloned() else {
        return Ok(fail(StatusCode::UNAUTHORIZED, "key"));
    };
    let body = body.collect().await?.to_bytes();
    let Ok(head) = serde_json::from_slice::<Head>(&body) else {
        return Ok(fail(StatusCode::BAD_REQUEST, "json"));
    };
    if head.model.is_none() {
        return Ok(fail(StatusCode::BAD_REQUEST, "model"));
    }
    let stream = head.stream;
    let Some(uri) = target(&st, &parts.uri) else {
        return Ok(fail(StatusCode::BAD_REQUEST, "bad uri"));
    };
    parts.uri = uri;
    parts.headers.insert(HOST, st.host.clone());
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    let i = st.next.fetch_add(1, Relaxed) % st.pool.len();
    parts.headers.insert(AUTHORIZATION, st.pool[i].clone());
    meter.requests.fetch_add(1, Relaxed);
    if let Some(mut redis) = st.redis.clone() {
        let counted: redis::RedisResult<i64> = redis::cmd("INCRBY")
            .arg("bench:requests")
            .arg(1)
            .query_async(&mut redis)
            .await;
        if counted.is_err() {
            return Ok(fail(StatusCode::SERVICE_UNAVAILABLE, "redis"));
        }
    }
    let reply = match st
        .floor
        .request(Request::from_parts(parts, Full::new(body)))
        .await
    {
        Ok(r) => r,
        Err(_) => return Ok(fail(StatusCode::BAD_GATEWAY, "upstream")),
    };
    let sse = stream
        && reply
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
    if sse {
        return Ok(reply.map(|inner| Either::Left(Either::Right(Metered { inner, meter }))));
    }
    let (parts, body) = reply.into_parts();
    let body = body.collect().await?.to_bytes();
    if let Ok(Answer { usage: Some(u) }) = serde_json::from_slice(&body) {
        add(&meter, u);
        if let Some(mut redis) = st.redis.clone() {
            tokio::spawn(async move {
                let _: redis::RedisResult<i64> = redis::cmd("INCRBY")
                    .arg("bench:tokens")
                    .arg(u.prompt_tokens + u.completion_tokens)
                    .query_async(&mut redis)
                    .await;
            });
        }
    }
    Ok(Response::from_parts(parts, Either::Right(Full::new(body))))
}

async fn serve(st: Arc<State>, listen: std::net::SocketAddr, mode: String) -> std::io::Result<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    let listener = socket.listen(16384)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (st, mode) = (st.clone(), mode.clone());
        tokio::spawn(async move {
            let builder = hyper::server::conn::http1::Builder::new();
            let io = TokioIo::new(stream);
            let _ = match mode.as_str() {
                "floor" => {
                    builder
                        .serve_connection(io, service_fn(move |r| floor(st.clone(), r)))
                        .await
                }
                _ => {
                    builder
                        .serve_connection(io, service_fn(move |r| pass(st.clone(), r)))
                        .await
                }
            };
        });
    }
}

fn main() -> std::io::Result<()> {
    let (mut listen, mut upstream, mut mode) = (
        "127.0.0.1:18090".to_string(),
        "127.0.0.1:18080".to_string(),
        "pass".to_string(),
    );
    let (mut threads, mut keys, mut creds) = (1usize, "sk-bench".to_string(), 8usize);
    let mut redis = None;
    let mut args = std::env::args().skip(1);
    while let Some(a) = args.next() {
        let v = args.next().unwrap_or_default();
        match a.as_str() {
            "--listen" => listen = v,
            "--upstream" => upstream = v,
            "--mode" => mode = v,
            "--threads" => threads = v.parse().unwrap_or(1),
            "--keys" => keys = v,
            "--redis" => redis = Some(v),
            "--creds" => creds = v.parse().unwrap_or(8),
            _ => {
                eprintln!(
                    "usage: limit-proxy [--listen A] [--upstream A] [--mode pass|floor] [--redis URL] [--threads N] [--keys a,b] [--creds N]"
                );
                std::process::exit(2);
            }
        }
    }
    let listen: std::net::SocketAddr = listen.parse().expect("--listen host:port");
    assert!(listen.ip().is_loopback(), "loopback only");
    let rt = if threads <= 1 {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
    } else {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()?
    };
    rt.block_on(async move {
        let redis = match redis {
            Some(url) => {
                let client = redis::Client::open(url).expect("--redis url");
                let connection = client.get_multiplexed_async_connection().await;
                Some(connection.expect("a Redis there"))
            }
            None => None,
        };
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let st = Arc::new(State {
            host: HeaderValue::from_str(&upstream).expect("upstream"),
            upstream,
            pass: Client::builder(TokioExecutor::new()).build(connector.clone()),
            floor: Client::builder(TokioExecutor::new()).build(connector),
            keys: keys
                .split(',')
                .map(|k| (Sha256::digest(k.as_bytes()).into(), Arc::default()))
                .collect(),
            pool: (0..creds.max(1))
                .map(|i| HeaderValue::from_str(&format!("Bearer sk-up-{i}")).unwrap())
                .collect(),
            next: AtomicUsize::new(0),
            redis,
        });
        serve(st, listen, mode).await
    })
}
