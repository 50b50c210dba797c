//! A Cluster.

use std::time::Duration;

use super::Redis;
use crate::eventually;

/// Three masters that share the slots.
#[derive(Debug)]
pub struct Cluster(Vec<Redis>);

impl Cluster {
    /// Starts three nodes and joins them.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let node = Redis::prepare()
                .option("cluster-enabled", "yes")
                .option("cluster-node-timeout", "2000");
            nodes.push(node.start().await);
        }
        let hosts = hosts(&nodes);
        let mut create = vec!["--cluster", "create"];
        create.extend(hosts.iter().map(String::as_str));
        create.push("--cluster-yes");
        // It also checks what it made, and fails when the nodes have not told one another yet: their state decides.
        let said = nodes[0].ask(&create).await;
        for node in &nodes {
            eventually(
                &format!(
                    "the node on port {} sees the Cluster; when it was made: {said:?}",
                    node.port()
                ),
                Duration::from_secs(30),
                || async {
                    let state = node.cli(&["cluster", "info"]).await;
                    (state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3"))
                        .then_some(())
                },
            )
            .await;
        }
        Self(nodes)
    }

    /// The flags of a gateway that shares its state here.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            "--redis-url".to_owned(),
            format!("redis-cluster://{}", hosts(&self.0).join(",")),
        ]
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Redis] {
        &self.0
    }

    /// Kills a node. The others answer nothing either once they miss it: its slots are on no other.
    pub fn kill(&mut self, number: usize) {
        self.0[number].kill();
    }

    /// Starts a node again after [`Cluster::kill`], without its data.
    pub async fn restart(&mut self, number: usize) {
        self.0[number].restart().await;
    }

    /// The names of all keys on all nodes, in alphabetical order.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for node in &self.0 {
            keys.append(&mut node.keys().await);
        }
        keys.sort();
        keys
    }
}

fn hosts(nodes: &[Redis]) -> Vec<String> {
    nodes
        .iter()
        .map(|node| format!("127.0.0.1:{}", node.port()))
        .collect()
}
