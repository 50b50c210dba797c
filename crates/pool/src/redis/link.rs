//! The way to the server: connecting, staying connected, and not waiting for what does not answer.
//!
//! [`Link`] is what the store calls. A task of its own, the keeper, connects, probes and connects again; a
//! call never does. While the server is away a call costs a look at a pointer. Start reading at [`Link::run`].

mod address;
mod away;
mod breaker;
mod dial;
mod keeper;
mod script;
mod state;
#[cfg(test)]
mod tests;
mod wire;

use std::{borrow::Borrow, path::PathBuf, sync::Arc, time::Duration};

use futures_util::FutureExt;
use redis::{Cmd, Value};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

pub use address::{Address, AddressError};
pub use away::{Away, Why};
pub use script::{Invocation, Script};
pub use state::LinkState;

use away::Failure;
use dial::Dialer;
use keeper::Keeper;
use state::{Current, Shared};

/// Where the store is and how to get in.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Where the store is.
    pub address: Address,
    /// Holds the password, which replaces that of the address. It is read before every new connection, so
    /// that a rotated one is used without a restart; line ends at its end are not part of the password.
    pub password_file: Option<PathBuf>,
    /// Begins every key of the link's own.
    pub prefix: String,
    /// How long a call may wait that somebody waits for.
    pub deadline: Duration,
    /// How long a call may wait that nobody waits for.
    pub background_deadline: Duration,
    /// Spreads the retries of replicas in time: differs from process to process.
    pub seed: u64,
    /// Loaded on every new connection before it is used, so that calls find them there.
    pub scripts: Vec<&'static Script>,
    /// What this process does while the store is away, for people who read its log.
    pub meanwhile: &'static str,
}

/// The way to the store. Clones share one connection; when the last is dropped, it is closed.
#[derive(Clone, Debug)]
pub struct Link {
    shared: Arc<Shared>,
    settings: Arc<LinkSettings>,
    _keeper: Arc<Task>,
}

/// Who waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A request does: [`LinkSettings::deadline`].
    Awaited,
    /// Nobody does: [`LinkSettings::background_deadline`].
    Background,
}

/// Learns what the link goes through, for metrics. Implementations are quick, do not block, and do not ask the
/// link for its state, which is changing.
pub trait Observe: Send + Sync + 'static {
    /// A command or script was sent; `ok` when it was answered without an error. Calls that were not sent
    /// are not reported.
    fn command(&self, name: &'static str, took: Duration, ok: bool);
    /// The store is in reach.
    fn up(&self);
    /// The store is out of reach, or away for another reason than before. A link starts down, unreported.
    fn down(&self, why: Why);
}

/// No link can be opened with these settings.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The file of the address's `ca-file` cannot be read.
    #[error("the certificates of {} cannot be read", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of the address's `ca-file` holds no usable certificate.
    #[error("expected certificates in PEM in {}, found none that is usable", .0.display())]
    CaCertificates(PathBuf),
    /// The call came from outside a runtime.
    #[error("a link is opened inside a tokio runtime")]
    NoRuntime,
}

/// Ends with the last link.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl LinkSettings {
    /// The usual settings for an address.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            password_file: None,
            prefix: "roundhouse".to_owned(),
            deadline: Duration::from_millis(40),
            background_deadline: Duration::from_millis(500),
            seed: 0,
            scripts: Vec::new(),
            meanwhile: "this gateway goes on alone",
        }
    }

    fn allowance(&self, urgency: Urgency) -> Duration {
        match urgency {
            Urgency::Awaited => self.deadline,
            Urgency::Background => self.background_deadline,
        }
    }
}

impl Link {
    /// Opens a link. It succeeds while the store is away: the link is down until it was reached.
    pub fn open(settings: LinkSettings, observer: Arc<dyn Observe>) -> Result<Self, LinkError> {
        let runtime = Handle::try_current().map_err(|_| LinkError::NoRuntime)?;
        let settings = Arc::new(settings);
        let dialer = Dialer::new(Arc::clone(&settings))?;
        let shared = Arc::new(Shared::new(observer, settings.meanwhile));
        let keeper = Keeper::new(Arc::clone(&shared), &settings, dialer);
        Ok(Self {
            shared,
            settings,
            _keeper: Arc::new(Task(runtime.spawn(keeper.run()))),
        })
    }

    /// Whether keys are spread over servers: the keys of one call must then share a hash tag.
    pub fn is_cluster(&self) -> bool {
        self.settings.address.is_cluster()
    }

    /// How long a call may wait that somebody waits for.
    pub fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// What keys begin with.
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// Whether calls are sent. Where they are not, asking costs nothing.
    pub fn is_up(&self) -> bool {
        self.shared.is_up()
    }

    /// The state and its changes.
    pub fn changes(&self) -> watch::Receiver<LinkState> {
        self.shared.changes()
    }

    /// Runs a script. Dropping the future gives up on the answer; the script may still run.
    pub async fn run(&self, call: &Invocation, urgency: Urgency) -> Result<Value, Away> {
        let current = self.shared.current()?;
        let began = Instant::now();
        let reply = self.within(urgency, current.wire.run(call)).await;
        let result = self.shared.conclude(&current, reply);
        self.observe(call.script().name(), began, &result);
        result
    }

    /// Runs scripts, one result for each, in their order. They travel in one write and run in this order,
    /// not as one transaction; in a cluster each goes to its own server and they run side by side. A script
    /// that the server has forgotten runs after the others.
    pub async fn run_all<C: Borrow<Invocation>>(
        &self,
        calls: &[C],
        urgency: Urgency,
    ) -> Vec<Result<Value, Away>> {
        let current = match self.shared.current() {
            Ok(current) => current,
            Err(away) => return vec![Err(away); calls.len()],
        };
        let began = Instant::now();
        let replies = self.within(urgency, current.wire.run_all(calls)).await;
        let results = self.conclude_all(&current, calls.len(), replies);
        for (call, result) in calls.iter().zip(&results) {
            self.observe(call.borrow().script().name(), began, result);
        }
        results
    }

    /// Sends a plain command, which is observed under `name`. In a cluster its first key says where it goes.
    pub async fn command(&self, name: &'static str, command: &Cmd, urgency: Urgency) -> Result<Value, Away> {
        let current = self.shared.current()?;
        let began = Instant::now();
        let reply = self.within(urgency, current.wire.send(command)).await;
        let result = self.shared.conclude(&current, reply);
        self.observe(name, began, &result);
        result
    }

    fn within<T>(
        &self,
        urgency: Urgency,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> impl Future<Output = Result<T, Failure>> {
        timeout(self.settings.allowance(urgency), call)
            .map(|answer| answer.unwrap_or_else(|elapsed| Err(elapsed.into())))
    }

    /// One failure of all counts once: it is one answer that did not come.
    fn conclude_all(
        &self,
        current: &Current,
        calls: usize,
        replies: wire::Replies,
    ) -> Vec<Result<Value, Away>> {
        match replies {
            Ok(replies) => replies
                .into_iter()
                .map(|reply| self.shared.conclude(current, reply))
                .collect(),
            Err(failure) => {
                let result = self.shared.conclude(current, Err(failure));
                vec![result; calls]
            }
        }
    }

    fn observe(&self, name: &'static str, began: Instant, result: &Result<Value, Away>) {
        self.shared
            .observer()
            .command(name, began.elapsed(), result.is_ok());
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
