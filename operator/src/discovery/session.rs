//! One stream with one gateway, from its first message to its end.

use std::{error::Error, sync::Arc};

use proto::{
    Announcer, Contents, Reported, Versions,
    discovery::v1::{StreamRequest, StreamResponse, Subscribe, stream_request::Message},
};
use rand::RngExt;
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep_until, timeout_at},
};
use tonic::{Status, Streaming};

use super::{DiscoverySettings, Shared};
use crate::{gateways, published::Publications, serve::Connection};

/// How long a gateway's words for people are at most, in characters.
const REASON_MAX: usize = 512;

/// How long a gateway's name is at most: as long as that of a pod.
const NODE_MAX: usize = 253;

/// How long it is tried to say why a stream ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// A stream whose gateway is known by its token.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Connection,
    /// The name of the gateway's pod, when its token has one.
    pub(super) pod: Option<String>,
    /// When the token ends.
    pub(super) expires: Instant,
    pub(super) out: mpsc::Sender<Result<StreamResponse, Status>>,
}

/// Why a stream ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the gateway left")]
    Left,
    #[error("the gateway said goodbye")]
    Goodbye,
    #[error("a newer stream of this gateway took its place")]
    Replaced,
    #[error("the token has ended")]
    Expired,
    #[error("this replica ends")]
    Shutdown,
    #[error("a message was not read in time")]
    Stalled,
    #[error("a version was not answered in time")]
    Unanswered,
    #[error("{0}")]
    Misspoken(&'static str),
    #[error(transparent)]
    Crowded(#[from] gateways::TooMany),
}

impl End {
    /// What the gateway is told.
    fn status(&self) -> Option<Status> {
        let status = match self {
            Self::Left | Self::Goodbye => return None,
            Self::Replaced => Status::aborted,
            Self::Expired => Status::unauthenticated,
            Self::Shutdown => Status::unavailable,
            Self::Stalled | Self::Unanswered => Status::deadline_exceeded,
            Self::Misspoken(_) => Status::invalid_argument,
            Self::Crowded(_) => Status::resource_exhausted,
        };
        Some(status(self.to_string()))
    }
}

impl Session {
    /// Talks until the end, and tells the gateway why it is.
    pub(super) async fn run(self, mut incoming: Streaming<StreamRequest>) {
        let end = match self.subscribed(&mut incoming).await {
            Ok((node, known)) => self.follow(&node, known, incoming).await,
            Err(end) => {
                if let End::Misspoken(_) = end {
                    let refusals = &self.shared.discovery.refusals;
                    refusals.tell(self.connection.peer, "no_subscription", &end);
                }
                end
            }
        };
        if let Some(status) = end.status() {
            let _ = self.out.send_timeout(Err(status), FAREWELL).await;
        }
        if matches!(end, End::Stalled) {
            // Whoever does not read learns of an end only so.
            self.connection.cut.cancel();
        }
    }

    /// What the gateway has, which it says first.
    async fn subscribed(&self, incoming: &mut Streaming<StreamRequest>) -> Result<(String, Versions), End> {
        let discovery = &self.shared.discovery;
        let by = Instant::now() + discovery.settings.first_message;
        let first = tokio::select! {
            first = timeout_at(by, incoming.message()) => first,
            () = discovery.shutdown.cancelled() => return Err(End::Shutdown),
        };
        let subscribe = match first {
            Err(_) => return Err(End::Misspoken("there was no first message in time")),
            Ok(Err(_) | Ok(None)) => return Err(End::Left),
            Ok(Ok(Some(StreamRequest {
                message: Some(Message::Subscribe(subscribe)),
            }))) => subscribe,
            Ok(Ok(Some(_))) => return Err(End::Misspoken("the first message has to be subscribe")),
        };
        let node = self.node(&subscribe)?;
        let known = subscribe
            .try_into()
            .map_err(|_| End::Misspoken("subscribe names an object of an unknown kind"))?;
        Ok((node, known))
    }

    fn node(&self, subscribe: &Subscribe) -> Result<String, End> {
        let node = self.pod.as_ref().unwrap_or(&subscribe.node);
        let is_name = !node.is_empty()
            && node.len() <= NODE_MAX
            && node
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        is_name
            .then(|| node.clone())
            .ok_or(End::Misspoken("subscribe has no usable name of the gateway"))
    }

    async fn follow(&self, node: &str, known: Versions, incoming: Streaming<StreamRequest>) -> End {
        let discovery = &self.shared.discovery;
        let announcer = Announcer::new(known);
        let session = match discovery.gateways.connect(node, Arc::clone(announcer.acked())) {
            Ok(session) => session,
            Err(error) => {
                tracing::warn!(node, error = &error as &dyn Error, "a gateway is sent away");
                return error.into();
            }
        };
        tracing::info!(node, peer = %self.connection.peer, "a gateway is connected");
        let mut talk = Talk {
            node,
            settings: &discovery.settings,
            session: &session,
            announcer,
            publications: discovery.publications.clone(),
            contents: None,
            outbox: None,
            quiet_until: Instant::now(),
            stalled_at: Instant::now(),
            answer_by: None,
        };
        let end = tokio::select! {
            end = talk.go_on(incoming, &self.out) => end,
            () = session.replaced() => End::Replaced,
            () = discovery.shutdown.cancelled() => End::Shutdown,
            () = sleep_until(self.expires) => End::Expired,
        };
        match end {
            End::Stalled | End::Unanswered | End::Misspoken(_) => {
                tracing::warn!(node, why = %end, "a gateway's stream is ended");
            }
            _ => tracing::info!(node, why = %end, "a gateway's stream has ended"),
        }
        if let End::Goodbye = end {
            session.goodbye();
        }
        end
    }
}

/// What goes on between the two.
struct Talk<'a> {
    node: &'a str,
    settings: &'a DiscoverySettings,
    session: &'a gateways::Session,
    announcer: Announcer,
    publications: Publications,
    /// What is to be served; `None` before anything was published.
    contents: Option<Contents>,
    /// What is being said, message by message. Meanwhile nothing is heard: what is said of a version is said whole.
    outbox: Option<Outbox>,
    /// When it is time to say that the operator is there.
    quiet_until: Instant,
    /// When the message under way has to be read.
    stalled_at: Instant,
    /// When the last version has to be answered.
    answer_by: Option<Instant>,
}

enum Outbox {
    Update(proto::Update),
    Mark(Option<StreamResponse>),
}

impl Iterator for Outbox {
    type Item = StreamResponse;

    fn next(&mut self) -> Option<StreamResponse> {
        match self {
            Self::Update(update) => update.next(),
            Self::Mark(mark) => mark.take(),
        }
    }
}

impl Talk<'_> {
    async fn go_on(
        &mut self,
        mut incoming: Streaming<StreamRequest>,
        out: &mpsc::Sender<Result<StreamResponse, Status>>,
    ) -> End {
        self.wait();
        self.offer();
        loop {
            let is_idle = self.outbox.is_none();
            let answer_by = self.answer_by.unwrap_or(self.quiet_until);
            tokio::select! {
                room = out.reserve(), if !is_idle => match room {
                    Ok(room) => self.say(room),
                    Err(_) => return End::Left,
                },
                () = sleep_until(self.stalled_at), if !is_idle => return End::Stalled,
                changed = self.publications.changed(), if is_idle => match changed {
                    Ok(()) => self.offer(),
                    Err(_) => return End::Shutdown,
                },
                message = incoming.message(), if is_idle => match message {
                    Ok(Some(message)) => {
                        if let Some(end) = self.hear(message) {
                            return end;
                        }
                    }
                    Ok(None) | Err(_) => return End::Left,
                },
                () = sleep_until(self.quiet_until), if is_idle => self.mark(),
                () = sleep_until(answer_by), if is_idle && self.answer_by.is_some() => return End::Unanswered,
                () = out.closed() => return End::Left,
            }
        }
    }

    /// Begins to say what the gateway lacks.
    fn offer(&mut self) {
        if let Some(published) = &*self.publications.borrow_and_update() {
            self.contents = Some(published.contents.clone());
        }
        let update = self
            .contents
            .as_ref()
            .and_then(|contents| self.announcer.update(contents));
        if let Some(update) = update {
            self.begin(Outbox::Update(update));
        }
    }

    fn mark(&mut self) {
        let version = self.contents.as_ref().map(|it| &*it.versions().snapshot);
        let mark = self.announcer.mark(version.unwrap_or_default());
        self.begin(Outbox::Mark(Some(mark)));
    }

    fn begin(&mut self, outbox: Outbox) {
        self.outbox = Some(outbox);
        self.stalled_at = Instant::now() + self.settings.stall;
    }

    /// Says the next message.
    fn say(&mut self, room: mpsc::Permit<'_, Result<StreamResponse, Status>>) {
        let Some(outbox) = &mut self.outbox else { return };
        if let Some(message) = outbox.next() {
            room.send(Ok(message));
            self.stalled_at = Instant::now() + self.settings.stall;
            return;
        }
        if let Outbox::Update(_) = outbox {
            self.answer_by = Some(Instant::now() + self.settings.answer);
        }
        self.outbox = None;
        self.wait();
    }

    /// Says nothing for a while. Streams that began together do not stay in step.
    fn wait(&mut self) {
        let pause = self
            .settings
            .mark_every
            .mul_f64(rand::rng().random_range(0.8..1.0));
        self.quiet_until = Instant::now() + pause;
    }

    /// Takes what the gateway says.
    fn hear(&mut self, message: StreamRequest) -> Option<End> {
        self.session.seen();
        match message.message {
            Some(Message::Ack(ack)) => {
                if self.announcer.ack(&ack.version) {
                    self.session.acked(Arc::clone(self.announcer.acked()));
                    self.answered();
                } else {
                    tracing::debug!(
                        node = self.node,
                        version = ack.version,
                        "that was not to be answered"
                    );
                }
            }
            Some(Message::Nack(nack)) => {
                if self.announcer.nack(&nack.version) {
                    let reason = legible(&nack.reason);
                    tracing::warn!(
                        node = self.node,
                        version = nack.version,
                        reason,
                        "a gateway refuses a version"
                    );
                    self.session.refused(reason);
                    self.answered();
                } else {
                    tracing::debug!(
                        node = self.node,
                        version = nack.version,
                        "that was not to be answered"
                    );
                }
            }
            Some(Message::Report(report)) => self.report(Reported::try_from(report)),
            Some(Message::Goodbye(())) => return Some(End::Goodbye),
            Some(Message::Subscribe(_)) => return Some(End::Misspoken("subscribe comes only once")),
            // Of a newer build.
            None => tracing::debug!(node = self.node, "a message of an unknown kind is ignored"),
        }
        None
    }

    /// The version under way was taken or refused: what changed meanwhile comes next.
    fn answered(&mut self) {
        self.answer_by = None;
        self.offer();
    }

    fn report(&self, reported: Result<Reported, proto::Invalid>) {
        let known = match reported {
            Ok(reported) => {
                let contents = self.contents.as_ref();
                let is_known =
                    contents.is_some_and(|it| it.snapshot().credentials.contains_key(&reported.credential));
                is_known.then_some(reported)
            }
            Err(error) => {
                tracing::debug!(
                    node = self.node,
                    error = &error as &dyn Error,
                    "a report is not understood"
                );
                None
            }
        };
        match known {
            Some(reported) => self.session.report(reported),
            None => self.session.report_of_unknown(),
        }
    }
}

/// A gateway's words for people, without what could make a log hard to read.
fn legible(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(REASON_MAX)
        .collect()
}
