//! Bytes over TCP, for requests that no HTTP library would send.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// What came back on a raw connection.
#[derive(Debug)]
pub struct Heard {
    /// All bytes, lossily as text.
    pub text: String,
    /// Whether the other side ended the connection.
    pub closed: bool,
}

impl Heard {
    /// The status of the first answer; 0 when there is none.
    pub fn status(&self) -> u16 {
        self.text
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| self.text.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3))
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }

    /// How many answers there are.
    pub fn answers(&self) -> usize {
        self.text.matches("HTTP/1.1 ").count()
    }
}

/// Opens a connection.
pub async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the listener accepts")
}

/// Writes `bytes` and listens until the other side ends the connection or says nothing new for `quiet`.
pub async fn exchange(address: SocketAddr, bytes: &[u8], quiet: Duration) -> Heard {
    let mut stream = connect(address).await;
    // The other side may close before it has read everything; what it said before still counts.
    let _ = stream.write_all(bytes).await;
    listen(&mut stream, quiet).await
}

/// Listens until the other side ends the connection or says nothing new for `quiet`.
pub async fn listen(stream: &mut TcpStream, quiet: Duration) -> Heard {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let closed = loop {
        match timeout(quiet, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(read)) => bytes.extend_from_slice(&buffer[..read]),
            Err(_) => break false,
        }
    };
    Heard {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        closed,
    }
}
