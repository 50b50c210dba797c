//! One stream to one replica, opened again whenever it ends.

use std::{error::Error, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::stream;
use proto::{
    Follower, Reported, Versions,
    discovery::v1::{self, StreamResponse, stream_request::Message, stream_response::Message as Said},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tonic::{Request, Status, Streaming};

use super::{
    Shared,
    backoff::Backoff,
    channel::{self, ConnectError, Connection},
};

/// How long an operator may take to accept a stream: it asks the API server who this is.
const ACCEPTANCE: Duration = Duration::from_secs(15);
/// How long an operator may be silent. It says that it is there every 10 seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// How long an operator may take to take what is said.
const DELIVERY: Duration = Duration::from_secs(10);
/// How long a stream must have lasted for the waits between tries to begin anew.
const STABLE: Duration = Duration::from_secs(30);
/// Messages on their way to an operator.
const QUEUE: usize = 16;

/// Why a stream has ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the operator did not accept the stream within {ACCEPTANCE:?}")]
    Acceptance,
    #[error("the operator ended the stream: {} ({:?})", .0.message(), .0.code())]
    Status(Status),
    #[error("the operator ended the stream")]
    Over,
    #[error("the operator was silent for {SILENCE:?}")]
    Silence,
    #[error("the operator does not take what it is told")]
    Delivery,
    #[error("the gateway ends")]
    Leaving,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Follows a replica while its address is the operator's, or it can be reached. Gives the address back.
pub(super) async fn follow(shared: Arc<Shared>, replica: SocketAddr) -> SocketAddr {
    let mut backoff = Backoff::new();
    // What was logged last: the same again is no news.
    let mut told = None;
    let mut leaving = shared.leaving.clone();
    while !*leaving.borrow() {
        let began = Instant::now();
        let mut accepted = false;
        let end = follow_once(&shared, replica, &mut accepted).await;
        if matches!(end, End::Leaving) {
            break;
        }
        if began.elapsed() >= STABLE {
            backoff = Backoff::new();
        }
        let why = with_cause(&end);
        if accepted {
            tracing::warn!(%replica, why, "disconnected from an operator");
            told = None;
        } else if told.as_ref() == Some(&why) {
            tracing::debug!(%replica, why, "still not connected to an operator");
        } else {
            tracing::warn!(%replica, why, "not connected to an operator");
            told = Some(why);
        }
        if !shared.replicas.borrow().contains(&replica) {
            break;
        }
        let wait = backoff.next(&mut rand::rng());
        tokio::select! {
            () = sleep(wait) => (),
            () = asked_to_leave(&mut leaving) => break,
        }
    }
    replica
}

async fn asked_to_leave(leaving: &mut watch::Receiver<bool>) {
    if leaving.wait_for(|leaving| *leaving).await.is_err() {
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}

/// An error and what caused it, in a line.
fn with_cause(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Has a stream until it ends. Tells whether it was accepted.
async fn follow_once(shared: &Shared, replica: SocketAddr, accepted: &mut bool) -> End {
    let opened = match open(shared, replica).await {
        Ok(opened) => opened,
        Err(end) => return end,
    };
    *accepted = true;
    shared.observer.connected(replica);
    let end = opened.run().await;
    shared.board.leaves(replica);
    end
}

/// A stream that is open.
struct Session<'a> {
    shared: &'a Shared,
    replica: SocketAddr,
    requests: mpsc::Sender<v1::StreamRequest>,
    responses: Streaming<StreamResponse>,
    follower: Follower,
    _connection: JoinSet<()>,
}

async fn open(shared: &Shared, replica: SocketAddr) -> Result<Session<'_>, End> {
    let Connection {
        mut client,
        token,
        driver,
        ..
    } = channel::connect(&shared.settings, replica).await?;
    let known = shared.board.served();
    let nothing = Versions::default();
    let versions = known.as_ref().map_or(&nothing, |known| &**known.versions());
    let (requests, outgoing) = mpsc::channel(QUEUE);
    say(
        &requests,
        Message::Subscribe(versions.subscribe(&shared.settings.node)),
    )
    .await?;
    let outgoing = stream::unfold(outgoing, |mut outgoing| async move {
        let message = outgoing.recv().await?;
        Some((message, outgoing))
    });
    let mut request = Request::new(outgoing);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token);
    }
    let accepted = timeout(ACCEPTANCE, client.stream(request)).await;
    let responses = accepted.map_err(|_| End::Acceptance)??.into_inner();
    Ok(Session {
        shared,
        replica,
        requests,
        responses,
        follower: Follower::new(known),
        _connection: driver,
    })
}

impl Session<'_> {
    async fn run(mut self) -> End {
        let shared = self.shared;
        let mut leaving = self.shared.leaving.clone();
        let mut heard = Instant::now();
        // Begun once for each bundle: it collects for a while.
        let mut reporting = pin!(shared.reports.after(0));
        loop {
            let done = tokio::select! {
                response = timeout_at(heard + SILENCE, self.responses.message()) => match response {
                    Ok(Ok(Some(response))) => {
                        heard = Instant::now();
                        self.hear(response).await
                    }
                    Ok(Ok(None)) => Err(End::Over),
                    Ok(Err(status)) => Err(status.into()),
                    Err(_) => Err(End::Silence),
                },
                (reports, last) = &mut reporting => {
                    reporting.set(shared.reports.after(last));
                    self.report(&reports).await
                }
                () = asked_to_leave(&mut leaving) => return self.leave().await,
            };
            if let Err(end) = done {
                self.shared.observer.disconnected();
                return end;
            }
        }
    }

    /// Takes what the operator says, and answers when it is served or refused.
    async fn hear(&mut self, response: StreamResponse) -> Result<(), End> {
        let marked = match &response.message {
            Some(Said::Mark(mark)) => Some(mark.version.clone()),
            _ => None,
        };
        match self.follower.accept(response) {
            Ok(Some(contents)) => {
                let version = contents.versions().snapshot.to_string();
                self.shared.board.says(self.replica, contents);
                say(&self.requests, Message::Ack(v1::Ack { version })).await
            }
            Ok(None) => {
                // A version that is on its way comes by itself.
                if let (Some(marked), Some(contents)) = (marked, self.follower.contents())
                    && *contents.versions().snapshot == *marked
                {
                    self.shared.board.says(self.replica, contents.clone());
                }
                Ok(())
            }
            Err(refusal) => {
                tracing::warn!(
                    replica = %self.replica,
                    version = refusal.version,
                    reason = %refusal.refused,
                    "what an operator sent is refused; what was served before stays"
                );
                say(&self.requests, Message::Nack(refusal.into())).await
            }
        }
    }

    async fn report(&self, reports: &[Reported]) -> Result<(), End> {
        for reported in reports {
            say(&self.requests, Message::Report(reported.into())).await?;
        }
        Ok(())
    }

    /// Says goodbye and waits until the operator has heard it, which it says by ending the stream.
    async fn leave(mut self) -> End {
        if say(&self.requests, Message::Goodbye(())).await.is_ok() {
            drop(self.requests);
            while let Ok(Ok(Some(_))) = timeout(SILENCE, self.responses.message()).await {}
        }
        self.shared.observer.disconnected();
        End::Leaving
    }
}

async fn say(requests: &mpsc::Sender<v1::StreamRequest>, message: Message) -> Result<(), End> {
    let request = v1::StreamRequest {
        message: Some(message),
    };
    match timeout(DELIVERY, requests.send(request)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Delivery),
    }
}
