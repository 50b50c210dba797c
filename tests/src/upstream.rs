//! An upstream that does as it is told and remembers what it saw.
//!
//! Without a rule it answers sensibly (see `answers`). A rule is a [`When`] and a [`Reply`]; the first that fits and is
//! not used up decides.

mod answers;
mod connection;
mod overlap;
mod reply;
mod tls;

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

pub use self::{
    reply::{Gate, Reply},
    tls::Certificates,
};
use crate::{credential_key, eventually};

/// Any port of the loopback.
const LOOPBACK: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// A scriptable upstream. Dropping it closes everything.
#[derive(Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    address: SocketAddr,
    secure: bool,
    task: JoinHandle<()>,
}

/// A request that the upstream saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers in the order they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, taken out of its transfer coding.
    pub body: Bytes,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Whether another request came on this connection before.
    pub reused: bool,
    /// Whether the other side went away before the reply was through.
    pub gone: bool,
    /// Whether the reply was written to its end.
    pub answered: bool,
    /// When its head had come.
    pub at: Instant,
    /// When all but the last bytes of the reply were written.
    pub finished: Option<Instant>,
}

/// Which requests a rule is for.
#[derive(Clone, Debug, Default)]
pub struct When {
    key: Option<String>,
    path: Option<String>,
    body: Option<String>,
    reused: Option<bool>,
}

type Answering = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct Rule {
    when: When,
    reply: Answering,
    left: usize,
}

struct Shared {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl When {
    /// All requests.
    pub fn any() -> Self {
        Self::default()
    }

    /// Those made with the [`credential_key`] of `name`.
    pub fn credential(name: &str) -> Self {
        Self {
            key: Some(credential_key(name)),
            ..Self::default()
        }
    }

    /// Those whose path or query holds `text`.
    #[must_use]
    pub fn path(mut self, text: &str) -> Self {
        self.path = Some(text.to_owned());
        self
    }

    /// Those whose body holds `text`.
    #[must_use]
    pub fn body(mut self, text: &str) -> Self {
        self.body = Some(text.to_owned());
        self
    }

    /// Those that came on a connection that was used before, or those that did not.
    #[must_use]
    pub fn reused(mut self, reused: bool) -> Self {
        self.reused = Some(reused);
        self
    }

    fn fits(&self, seen: &Seen) -> bool {
        let has =
            |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|part| text.contains(part));
        self.key
            .as_ref()
            .is_none_or(|key| seen.headers.iter().any(|(_, value)| value.contains(key)))
            && has(&self.path, &seen.path)
            && (self.body.is_none() || has(&self.body, &String::from_utf8_lossy(&seen.body)))
            && self.reused.is_none_or(|reused| reused == seen.reused)
    }
}

impl Seen {
    /// A header; the empty string when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map_or("", |(_, value)| value)
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The name of the credential whose [`credential_key`] a header holds; the empty string when there is none.
    pub fn credential(&self) -> &str {
        self.headers
            .iter()
            .find_map(|(_, value)| {
                let from = value.find("sk-")? + 3;
                let to = value.find("-0123456789abcdef")?;
                value.get(from..to)
            })
            .unwrap_or_default()
    }
}

impl Upstream {
    /// Starts one that speaks plain HTTP.
    pub async fn start() -> Self {
        Self::listen(LOOPBACK, None).await
    }

    /// Starts one that speaks plain HTTP at this address.
    pub async fn start_at(address: SocketAddr) -> Self {
        Self::listen(address, None).await
    }

    /// Starts one that speaks TLS with these certificates.
    pub async fn start_tls(certificates: &Certificates) -> Self {
        Self::listen(LOOPBACK, Some(certificates.acceptor())).await
    }

    async fn listen(address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            rules: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        Self {
            address,
            secure: tls.is_some(),
            task: tokio::spawn(accept(listener, tls, Arc::clone(&shared))),
            shared,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL with `path` behind it.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// From now on answers what fits with `reply`.
    pub fn on(&self, when: When, reply: Reply) {
        self.times(usize::MAX, when, reply);
    }

    /// Answers the next request that fits with `reply`.
    pub fn once(&self, when: When, reply: Reply) {
        self.times(1, when, reply);
    }

    /// Answers the next `count` requests that fit with `reply`.
    pub fn times(&self, count: usize, when: When, reply: Reply) {
        self.add(count, when, Arc::new(move |_| reply.clone()));
    }

    /// Answers what fits with what `reply` makes of it.
    pub fn on_each(&self, when: When, reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.add(usize::MAX, when, Arc::new(reply));
    }

    /// Forgets all rules.
    pub fn behave(&self) {
        self.shared.rules().clear();
    }

    /// All requests that it saw, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen().clone()
    }

    /// The request that it saw last. Fails when there was none.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the upstream saw a request")
    }

    /// How many requests it saw.
    pub fn count(&self) -> usize {
        self.shared.seen().len()
    }

    /// How many requests it saw by credential.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for seen in self.shared.seen().iter() {
            *counts.entry(seen.credential().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Asserts how many requests it saw by credential.
    #[track_caller]
    pub fn expect_counts(&self, expected: &[(&str, usize)]) {
        let expected: BTreeMap<String, usize> = expected
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        assert_eq!(self.counts(), expected, "requests by credential");
    }

    /// How many requests of a credential it had at the same time at most, by credential. Those whose caller left are
    /// not counted: the caller knows of that earlier than the upstream.
    pub fn most_at_once(&self) -> BTreeMap<String, usize> {
        overlap::most_at_once(&self.shared.seen())
    }

    /// How many connections it accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until it saw `count` requests.
    pub async fn until_seen(&self, count: usize) {
        eventually(
            &format!("{count} requests at the upstream"),
            Duration::from_secs(10),
            || async { (self.count() >= count).then_some(()) },
        )
        .await;
    }

    /// Waits until a request's caller went away before its reply was through.
    pub async fn until_gone(&self) -> Seen {
        eventually(
            "the upstream sees its caller leave",
            Duration::from_secs(10),
            || async { self.seen().into_iter().find(|seen| seen.gone) },
        )
        .await
    }

    fn add(&self, left: usize, when: When, reply: Answering) {
        self.shared.rules().push(Rule { when, reply, left });
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a request and decides how to answer it.
    fn take(&self, seen: Seen) -> (usize, Reply) {
        let answering = {
            let mut rules = self.rules();
            rules
                .iter_mut()
                .find(|rule| rule.left > 0 && rule.when.fits(&seen))
                .map(|rule| {
                    rule.left -= 1;
                    Arc::clone(&rule.reply)
                })
        };
        let reply = answering.map_or_else(|| answers::usual(&seen), |answering| answering(&seen));
        let mut log = self.seen();
        log.push(seen);
        (log.len() - 1, reply)
    }

    fn note(&self, id: usize, note: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.seen().get_mut(id) {
            note(seen);
        }
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Small pieces are meant to be small on the wire.
        let _ = stream.set_nodelay(true);
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            match tls {
                None => connection::serve_plain(stream, number, shared).await,
                Some(acceptor) => {
                    // A client that does not trust us ends here.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        connection::serve(stream, number, &shared).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
