//! Listens, and speaks HTTP/1 and HTTP/2 with whoever connects.
//!
//! The stock accept loops install no timers and frame leniently. This one bounds every wait
//! ([`Deadlines`]), refuses requests on whose length two parties could disagree, keeps buffers small, and
//! drains. It knows nothing of what is served: a handler is a function from a request to a response.
//!
//! Start reading at [`serve`]; one connection is `connection.rs`, its deadlines are kept in `socket.rs`.

mod activity;
mod body;
mod connection;
mod framing;
mod socket;
mod tls;

use std::{
    error::Error,
    future::{pending, poll_fn},
    io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::task::TaskTracker;

pub use body::{BodyError, RequestBody};
pub use tls::{Tls, TlsError};

use self::{
    activity::{Watchdog, Watched},
    connection::Protocols,
};
use crate::lifecycle::{Drain, Phase};

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// How much a listener grants its clients.
#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    /// How long each wait may take.
    pub deadlines: Deadlines,
    /// Open connections. Beyond it new ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Bytes of a request's line and header fields. Beyond it the answer is 431, as beyond 100 fields.
    pub max_head: usize,
    /// Bytes that one connection may hold between the network and the handler, in each direction.
    pub max_buffer: usize,
    /// Calls at a time on one HTTP/2 connection.
    pub max_streams: u32,
    /// Bytes of one HTTP/2 request's body that may be under way unread.
    pub stream_window: u32,
    /// The same for all requests of one HTTP/2 connection.
    pub connection_window: u32,
}

/// How long a connection may keep us waiting. Exact to a quarter of a second, or better when they are short.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the connection to its first byte, and to the end of its TLS handshake.
    pub first_byte: Duration,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// Between two pieces of a body.
    pub body_idle: Duration,
    /// From the end of an answer to the next request.
    pub keep_alive: Duration,
    /// Until the client takes more of the answer.
    pub write_stall: Duration,
    /// Until a client notices that its unfinished request was already answered.
    pub linger: Duration,
    /// Between two pings on HTTP/2.
    pub ping_every: Duration,
    /// From an HTTP/2 ping to its answer.
    pub ping_answer: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            max_connections: 16 * 1024,
            max_head: 32 * 1024,
            max_buffer: 64 * 1024,
            max_streams: 250,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            keep_alive: Duration::from_secs(120),
            write_stall: Duration::from_secs(120),
            linger: Duration::from_secs(5),
            ping_every: Duration::from_secs(30),
            ping_answer: Duration::from_secs(20),
        }
    }
}

impl Deadlines {
    /// How often waits are looked at.
    fn beat(&self) -> Duration {
        let waits = [
            self.first_byte,
            self.head,
            self.body_idle,
            self.keep_alive,
            self.write_stall,
            self.linger,
        ];
        let shortest = waits.into_iter().min().unwrap_or_default();
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}

/// Opens a listener whose address can be taken again at once after a restart.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Connections inherit this: a client that vanished during a long answer is noticed within two minutes.
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&probes)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Serves every connection of a listener with `handler`.
///
/// Returns once the drain has reached [`Phase::Closing`] and the last connection has ended. Dropping it cuts
/// what is left.
pub async fn serve<H, F, B>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    handler: H,
    settings: ServerSettings,
    drain: Drain,
) where
    H: Fn(Request<RequestBody>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let listening = Listening {
        slots: Arc::new(Semaphore::new(settings.max_connections)),
        tracker: TaskTracker::new(),
        dog: Cut(Watchdog::new()),
        tls,
        settings,
    };
    let work = async {
        tokio::select! {
            () = accept(&listening, &listener, handler) => (),
            () = drain.reached(Phase::Closing) => (),
        }
        drop(listener);
        listening.dog.0.close();
        listening.tracker.close();
        listening.tracker.wait().await;
    };
    tokio::select! {
        () = work => (),
        () = sweep(&listening.dog.0, settings.deadlines.beat()) => (),
    }
}

/// What all connections of one listener share.
struct Listening {
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
    dog: Cut,
    tls: Option<Arc<Tls>>,
    settings: ServerSettings,
}

/// Cuts the connections that are left when the server is dropped.
struct Cut(Arc<Watchdog>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.cut();
    }
}

async fn sweep(dog: &Watchdog, beat: Duration) {
    let mut beats = interval(beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        dog.sweep();
    }
}

async fn accept<H, F, B>(listening: &Listening, listener: &TcpListener, handler: H)
where
    H: Fn(Request<RequestBody>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let Listening {
        slots,
        tracker,
        dog,
        tls,
        settings,
    } = listening;
    let protocols = Arc::new(Protocols::new(settings, tracker));
    loop {
        let slot = slot(slots).await;
        let (stream, address) = next(listener).await;
        let watched = dog.0.watch(&settings.deadlines);
        let (handler, protocols, settings) = (handler.clone(), Arc::clone(&protocols), *settings);
        match tls.clone() {
            None => tracker.spawn(async move {
                let peer = Peer { address, tls: false };
                connection::converse(stream, peer, &protocols, handler, &settings, watched).await;
                drop(slot);
            }),
            Some(tls) => tracker.spawn(async move {
                let peer = Peer { address, tls: true };
                if let Some(stream) = handshake(&tls, stream, &settings, &watched).await {
                    connection::converse(stream, peer, &protocols, handler, &settings, watched).await;
                }
                drop(slot);
            }),
        };
    }
}

async fn slot(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return slot;
    }
    tracing::warn!("as many connections are open as may be; new ones wait");
    match Arc::clone(slots).acquire_owned().await {
        Ok(slot) => slot,
        Err(_) => pending().await,
    }
}

/// The next connection. Waits a little longer after each error in a row that says we are short of something.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = Duration::from_millis(50);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let _ = SockRef::from(&stream).set_tcp_nodelay(true);
                return (stream, address);
            }
            Err(error) if is_of_the_connection(&error) => (),
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; trying again");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// Whether the connection that was to be accepted failed, and not the listener.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn handshake(
    tls: &Tls,
    stream: TcpStream,
    settings: &ServerSettings,
    watched: &Watched,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let handshake = timeout(settings.deadlines.first_byte, tls.accept(stream));
    let cut = poll_fn(|cx| {
        watched.activity().register(cx.waker());
        if watched.activity().is_cut() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    tokio::select! {
        result = handshake => match result {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => None,
        },
        () = cut => None,
    }
}

#[cfg(test)]
mod tests;
