//! The generated client and server, without a socket between them.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};
use proto::{
    Announcer, Contents, Follower, Update, Versions,
    discovery::v1::{
        self, discovery_client::DiscoveryClient, discovery_server::Discovery,
        discovery_server::DiscoveryServer, stream_request::Message,
    },
};
use snapshot::{Keyring, Secret, Snapshot};
use tonic::{Request, Response, Status, Streaming};

use crate::any;

/// Answers the first message, then ends.
struct Operator(Contents);

#[tonic::async_trait]
impl Discovery for Operator {
    type StreamStream =
        stream::Map<stream::Iter<Update>, fn(v1::StreamResponse) -> Result<v1::StreamResponse, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<v1::StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let first = request.into_inner().message().await?.and_then(|it| it.message);
        let Some(Message::Subscribe(subscribe)) = first else {
            return Err(Status::invalid_argument("expected Subscribe"));
        };
        let known =
            Versions::try_from(subscribe).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let update = Announcer::new(known).update(&self.0);
        let update = update.ok_or_else(|| Status::already_exists("nothing changed"))?;
        let answer: fn(v1::StreamResponse) -> Result<v1::StreamResponse, Status> = Ok;
        Ok(Response::new(stream::iter(update).map(answer)))
    }
}

fn call(operator: Contents, first: Message) -> Result<Vec<v1::StreamResponse>, Status> {
    let mut client = DiscoveryClient::new(DiscoveryServer::new(Operator(operator)));
    let requests = stream::iter([v1::StreamRequest { message: Some(first) }]);
    let answer = async {
        let mut stream = client.stream(requests).await?.into_inner();
        let mut messages = Vec::new();
        while let Some(message) = stream.message().await? {
            messages.push(message);
        }
        Ok(messages)
    };
    answer.now_or_never().expect("nothing waits")
}

#[test]
fn a_gateway_that_has_nothing_gets_all() {
    let mut keyring = Keyring::default();
    for index in 0..20 {
        let name = format!("default/c{index}").parse().unwrap();
        keyring.credentials.insert(name, any::secret(vec![b'k'; 100_000]));
    }
    let snapshot = Snapshot {
        version: "v1".to_owned(),
        ..Snapshot::default()
    };
    let contents = Contents::new(Arc::new(snapshot), Arc::new(keyring), Secret::new("installation"));

    let nothing = Message::Subscribe(Versions::default().subscribe("gateway-0"));
    let messages = call(contents.clone(), nothing).unwrap();
    let mut follower = Follower::new(None);
    let served = messages
        .into_iter()
        .find_map(|message| follower.accept(message).unwrap());
    assert_eq!(served.as_ref(), Some(&contents));

    let all = Message::Subscribe(contents.versions().subscribe("gateway-0"));
    let status = call(contents.clone(), all).unwrap_err();
    assert_eq!(status.code(), tonic::Code::AlreadyExists);
    let status = call(contents, Message::Goodbye(())).unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}
