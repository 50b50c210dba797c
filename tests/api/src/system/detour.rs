//! A way between two processes, which a test can cut.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A way to a server through an address of its own. Dropping it ends all connections.
#[derive(Debug)]
pub struct Detour {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Connections stand and are made, and nothing comes through.
    Hole,
    /// Nobody listens.
    Closed,
}

impl Detour {
    /// Makes one from `address`, which may leave the port open, to `server`.
    pub async fn new(address: SocketAddr, server: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = watch::Sender::new(State::Open);
        Self {
            address,
            task: tokio::spawn(run(listener, address, server, state.subscribe())),
            state,
        }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing comes through: connections stand, and what is sent is kept back.
    pub fn swallow(&self) {
        self.state.send_replace(State::Hole);
    }

    /// Ends all connections; from now on nobody listens.
    pub fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Everything comes through again, and what was kept back first.
    pub fn open(&self) {
        self.state.send_replace(State::Open);
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    mut listener: TcpListener,
    address: SocketAddr,
    server: SocketAddr,
    mut state: watch::Receiver<State>,
) {
    loop {
        accept(&listener, server, &mut state).await;
        drop(listener);
        if state.wait_for(|state| *state != State::Closed).await.is_err() {
            return;
        }
        listener = TcpListener::bind(address).await.expect("the address is its own");
    }
}

/// Forwards connections until it is closed.
async fn accept(listener: &TcpListener, server: SocketAddr, state: &mut watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    let connection_state = state.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(forward(client, server, connection_state.clone()));
            },
            _ = state.wait_for(|state| *state == State::Closed) => return,
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn forward(client: TcpStream, server: SocketAddr, mut state: watch::Receiver<State>) {
    if !until_open(&mut state).await {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    // Small messages are meant to arrive at once.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, state.clone()) => {}
        () = copy(from_server, to_client, state.clone()) => {}
    }
}

/// Copies until either side ends.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        // An end does not come through either.
        if !until_open(&mut state).await {
            return;
        }
        match read {
            Ok(read @ 1..) if to.write_all(&buffer[..read]).await.is_ok() => {}
            _ => return,
        }
    }
}

async fn until_open(state: &mut watch::Receiver<State>) -> bool {
    state.wait_for(|state| *state == State::Open).await.is_ok()
}
