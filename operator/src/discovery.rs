//! Tells gateways what to serve, and hears what they serve and learn.
//!
//! A gateway's token says who it is; then one session goes on until either side ends it, the gateway connects
//! anew, or the token ends. What is said, and when, is decided by [`proto::Announcer`]; here are waits and bounds.

mod access;
mod session;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream::poll_fn};
use pool::Clock;
use proto::discovery::v1::{
    StreamRequest, StreamResponse,
    discovery_server::{self, DiscoveryServer},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming, async_trait};

use self::{access::admit, session::Session};
use crate::{
    gateways::Gateways, identity::Reviewer, published::Publications, refusals::Refusals, serve::Connection,
};

/// The audience that the tokens of gateways are for.
pub const AUDIENCE: &str = "roundhouse-discovery";

/// How long a stream lasts at most, whatever the token says: who may connect is asked again once a day.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Messages that wait for the network. One, as each is as large as half a MiB and made when there is room.
const WAITING: usize = 1;

/// Who may connect, and how long it is waited for whom.
#[derive(Clone, Debug)]
pub struct DiscoverySettings {
    /// The namespace of the gateways.
    pub namespace: String,
    /// The name of their account.
    pub account: String,
    /// How long a gateway may take to say what it has.
    pub first_message: Duration,
    /// How long a gateway may take to read a message.
    pub stall: Duration,
    /// How long a gateway may take to answer a version.
    pub answer: Duration,
    /// How often the operator says that it is there.
    pub mark_every: Duration,
}

impl DiscoverySettings {
    /// Those of a release in a namespace.
    pub fn new(release: &str, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            account: format!("{release}-gateway"),
            first_message: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            mark_every: Duration::from_secs(10),
        }
    }
}

/// What the service is made of.
pub struct Discovery {
    /// What gateways are to serve.
    pub publications: Publications,
    /// Where it is noted who is there.
    pub gateways: Gateways,
    /// Reviews tokens for [`AUDIENCE`].
    pub reviewer: Reviewer,
    /// Where refusals are told.
    pub refusals: Refusals,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ends all streams when it is cancelled.
    pub shutdown: CancellationToken,
    /// Bounds and names.
    pub settings: DiscoverySettings,
}

/// The service, for a router.
pub fn service(discovery: Discovery) -> DiscoveryServer<impl discovery_server::Discovery> {
    DiscoveryServer::new(Service(Arc::new(Shared {
        discovery,
        sessions: TaskTracker::new(),
    })))
}

struct Service(Arc<Shared>);

struct Shared {
    discovery: Discovery,
    sessions: TaskTracker,
}

type Responses = Pin<Box<dyn Stream<Item = Result<StreamResponse, Status>> + Send>>;

#[async_trait]
impl discovery_server::Discovery for Service {
    type StreamStream = Responses;

    async fn stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let discovery = &self.0.discovery;
        let connection = connection(&request);
        let admitted = admit(discovery, &connection, request.metadata()).await?;
        let left = admitted
            .expires
            .map_or(LIFE_MAX, |expires| expires.since(discovery.clock.now()));
        let (out, mut waiting) = mpsc::channel(WAITING);
        let session = Session {
            shared: Arc::clone(&self.0),
            connection,
            pod: admitted.pod,
            expires: Instant::now() + left.min(LIFE_MAX),
            out,
        };
        self.0.sessions.spawn(session.run(request.into_inner()));
        Ok(Response::new(Box::pin(poll_fn(move |context| {
            waiting.poll_recv(context)
        }))))
    }
}

/// The connection that a request came on; one of its own for a request that came on none.
fn connection(request: &Request<Streaming<StreamRequest>>) -> Connection {
    let nowhere = || Connection {
        peer: SocketAddr::from(([0, 0, 0, 0], 0)),
        cut: CancellationToken::new(),
    };
    request
        .extensions()
        .get::<Connection>()
        .cloned()
        .unwrap_or_else(nowhere)
}
