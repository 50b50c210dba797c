//! A Redis far away.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::Redis;

/// The way to a [`Redis`], on which answers take as long as a test wants. Dropping it closes all connections.
#[derive(Debug)]
pub struct SlowPath {
    address: SocketAddr,
    delay: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl SlowPath {
    /// Makes one that does not slow anything down yet.
    pub async fn to(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let delay = Arc::<AtomicU64>::default();
        Self {
            task: tokio::spawn(accept(listener, redis.port(), Arc::clone(&delay))),
            address,
            delay,
        }
    }

    /// The flags of a gateway that takes this way.
    pub fn arguments(&self) -> Vec<String> {
        vec!["--redis-url".to_owned(), format!("redis://{}", self.address)]
    }

    /// From now on every answer takes this much longer, to whole milliseconds.
    pub fn slow_down(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay.store(milliseconds, Ordering::SeqCst);
    }
}

impl Drop for SlowPath {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, delay: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((client, _)) = listener.accept().await {
            connections.spawn(forward(client, port, Arc::clone(&delay)));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Forwards one connection until either side ends it.
async fn forward(client: TcpStream, port: u16, delay: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    // Small answers are meant to arrive at once.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut commands, mut to_client) = client.into_split();
    let (mut answers, mut to_server) = server.into_split();
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = answers.read(&mut buffer).await {
            sleep(Duration::from_millis(delay.load(Ordering::SeqCst))).await;
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut commands, &mut to_server) => {}
        () = back => {}
    }
}
