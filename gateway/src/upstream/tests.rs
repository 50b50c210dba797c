//! The client against small scripted servers.
#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

mod connecting;
mod http1;
mod http2;
mod keeping;
mod permits;

use std::{future::Future, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;

/// A server whose connections each run `script`, numbered from 0.
async fn server<F>(script: impl Fn(usize, TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(script(number, stream));
        }
    });
    address
}

fn key(scheme: Scheme, host: &str, port: u16) -> Key {
    Key {
        scheme,
        host: host.into(),
        port,
        service: false,
        ca: None,
        server_name: None,
        connect: Duration::from_secs(5),
    }
}

fn upstream_with(key: &Key, addresses: AddressPolicy, names: Names) -> Upstream {
    let authority = format!("{}:{}", key.host, key.port);
    Upstream::new(key, &authority, addresses, names).unwrap()
}

/// A client in the clear, as a standalone gateway has it.
fn upstream(address: SocketAddr) -> Upstream {
    let key = key(Scheme::Http, &address.ip().to_string(), address.port());
    upstream_with(&key, AddressPolicy::Standalone, Names::System)
}

impl Upstream {
    /// Sends a request that nobody takes back.
    async fn ask(&self, request: Request<RequestBody>) -> Result<Response<UpstreamBody>, SendError> {
        self.send(request, &Permit::default()).await
    }
}

fn post(body: &str) -> Request<RequestBody> {
    let body = Segments::from(Bytes::copy_from_slice(body.as_bytes()));
    let body = RequestBody::Whole(body.into());
    Request::post("/v1/x?y=1").body(body).unwrap()
}

/// Reads one request with `Content-Length` and gives it back; `None` when the client closed before one.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8(bytes).unwrap());
            }
        }
        match stream.read_buf(&mut bytes).await {
            Ok(read) if read > 0 => {}
            _ => return None,
        }
    }
}

async fn text(response: Response<UpstreamBody>) -> String {
    let body = response.into_body().collect(usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn say(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).await.unwrap();
}

/// Answers every request on every connection with `answer`; reports each connection's number per request.
async fn echo(answer: Vec<u8>) -> (SocketAddr, mpsc::UnboundedReceiver<(usize, String)>) {
    let (log, seen) = mpsc::unbounded_channel();
    let address = server(move |number, mut stream| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            while let Some(request) = request(&mut stream).await {
                log.send((number, request)).unwrap();
                say(&mut stream, &answer).await;
            }
        }
    })
    .await;
    (address, seen)
}

/// `{"model":"m"}` in the three pieces that renaming a model leaves.
fn spliced() -> Segments {
    let body = Bytes::from_static(br#"{"model":"other"}"#);
    let operation = dialect::Operation::Generate(dialect::Api::ChatCompletions);
    let edits = dialect::Edits {
        model: Some("m"),
        ask_usage: false,
    };
    dialect::peek(operation, &body).unwrap().splice(&body, &edits)
}
