//! A connection: what is the same whether it leads to one server or to many.

use std::borrow::Borrow;

use futures_util::future::join_all;
use redis::{
    Cmd, Pipeline, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
};

use super::{away::Failure, script::Invocation};

/// One answer.
pub(super) type Reply = Result<Value, Failure>;
/// One answer for each of several calls, or none for all of them.
pub(super) type Replies = Result<Vec<Reply>, Failure>;

/// An open connection. Clones share it.
#[derive(Clone)]
pub(super) enum Wire {
    /// To one server.
    Node(MultiplexedConnection),
    /// To the servers of a cluster, each asked for its own keys.
    Cluster(ClusterConnection),
}

impl Wire {
    /// Sends a command.
    pub(super) async fn send(&self, command: &Cmd) -> Reply {
        let value = match self {
            Self::Node(node) => node.clone().send_packed_command(command).await,
            Self::Cluster(cluster) => cluster.clone().req_packed_command(command).await,
        };
        answer(value)
    }

    /// Runs a script.
    pub(super) async fn run(&self, call: &Invocation) -> Reply {
        let reply = self.send(call.by_hash()).await;
        if is_forgotten(&reply) {
            return Box::pin(self.send(&call.by_source())).await;
        }
        reply
    }

    /// Runs scripts.
    pub(super) async fn run_all<C: Borrow<Invocation>>(&self, calls: &[C]) -> Replies {
        match self {
            Self::Cluster(_) => Ok(join_all(calls.iter().map(|call| self.run(call.borrow()))).await),
            Self::Node(node) => {
                let mut replies =
                    pipelined(node, calls.iter().map(|call| call.borrow().by_hash().clone())).await?;
                let forgotten: Vec<usize> = (0..replies.len())
                    .filter(|&index| replies.get(index).is_some_and(is_forgotten))
                    .collect();
                let again = forgotten
                    .iter()
                    .filter_map(|&index| calls.get(index))
                    .map(|call| call.borrow().by_source());
                for (index, reply) in forgotten.iter().zip(pipelined(node, again).await?) {
                    if let Some(place) = replies.get_mut(*index) {
                        *place = reply;
                    }
                }
                Ok(replies)
            }
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Node(_) => "Node",
            Self::Cluster(_) => "Cluster",
        })
    }
}

async fn pipelined(node: &MultiplexedConnection, commands: impl Iterator<Item = Cmd>) -> Replies {
    let mut pipeline = Pipeline::new();
    for command in commands {
        pipeline.add_command(command);
    }
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    let values = node
        .clone()
        .send_packed_commands(&pipeline, 0, pipeline.len())
        .await?;
    Ok(values.into_iter().map(|value| answer(Ok(value))).collect())
}

/// An error may come as one or as a value.
fn answer(result: RedisResult<Value>) -> Reply {
    match result? {
        Value::ServerError(error) => Err(Failure::Redis(error.into())),
        value => Ok(value),
    }
}

fn is_forgotten(reply: &Reply) -> bool {
    matches!(reply, Err(Failure::Redis(error)) if error.code() == Some("NOSCRIPT"))
}
