//! A master, its replicas, and the sentinels that watch them.

use std::time::Duration;

use super::Redis;
use crate::eventually;

/// What the sentinels call the master.
const NAME: &str = "roundhouse";

/// A master with two replicas, watched by three sentinels.
#[derive(Debug)]
pub struct Sentinel {
    servers: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl Sentinel {
    /// Starts all six and waits until they know one another.
    pub async fn start() -> Self {
        let mut servers = vec![Redis::start().await];
        for _ in 0..2 {
            servers.push(Redis::prepare().replica_of(&servers[0]).start().await);
        }
        // A sentinel asks its master for replicas at first and then every ten seconds: they come first.
        servers[0].until_info("connected_slaves:2").await;
        let monitor = format!("monitor {NAME} 127.0.0.1 {} 2", servers[0].port());
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let sentinel = Redis::prepare()
                .sentinel()
                .option("sentinel", &monitor)
                .option("sentinel", &format!("down-after-milliseconds {NAME} 1000"))
                .option("sentinel", &format!("failover-timeout {NAME} 3000"))
                .option("sentinel", &format!("parallel-syncs {NAME} 2"));
            sentinels.push(sentinel.start().await);
        }
        for (number, sentinel) in sentinels.iter().enumerate() {
            eventually(
                &format!("sentinel {number} knows both replicas and both other sentinels"),
                Duration::from_secs(30),
                || async {
                    let known = sentinel.cli(&["info", "sentinel"]).await;
                    known.contains("status=ok,address=").then_some(())?;
                    known.contains("slaves=2,sentinels=3").then_some(())
                },
            )
            .await;
        }
        Self { servers, sentinels }
    }

    /// The flags of a gateway that shares its state here.
    pub fn arguments(&self) -> Vec<String> {
        let hosts: Vec<String> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port()))
            .collect();
        vec![
            "--redis-url".to_owned(),
            format!("redis-sentinel://{}/{NAME}", hosts.join(",")),
        ]
    }

    /// The master that the sentinels agree on.
    pub async fn master(&self) -> &Redis {
        &self.servers[self.master_number().await]
    }

    /// Kills the master and waits until another server is. Everything that the old one replicated is there.
    pub async fn fail_over(&mut self) {
        self.lose_master(false).await;
    }

    /// Kills the master and waits until another server is, which has lost everything.
    pub async fn fail_over_to_empty(&mut self) {
        self.lose_master(true).await;
    }

    async fn lose_master(&mut self, data: bool) {
        let lost = self.master_number().await;
        self.servers[lost].kill();
        let rest = |number: &usize| *number != lost;
        if data {
            for number in (0..self.servers.len()).filter(rest) {
                // Nobody fills it again: its master is dead, and none is chosen for the next second.
                let replica = &self.servers[number];
                replica.cli(&["config", "set", "replica-read-only", "no"]).await;
                replica.cli(&["flushall"]).await;
                replica.cli(&["config", "set", "replica-read-only", "yes"]).await;
            }
        }
        eventually(
            &format!("another master than {}", self.servers[lost].port()),
            Duration::from_secs(60),
            || async { (self.master_number().await != lost).then_some(()) },
        )
        .await;
        self.master().await.until_info("role:master").await;
    }

    async fn master_number(&self) -> usize {
        eventually(
            "the sentinels name one master that we started",
            Duration::from_secs(30),
            || async {
                let mut named = Vec::new();
                for sentinel in &self.sentinels {
                    let address = sentinel.cli(&["sentinel", "get-master-addr-by-name", NAME]).await;
                    named.push(address.lines().last()?.parse::<u16>().ok()?);
                }
                named.dedup();
                let [port] = named[..] else { return None };
                self.servers.iter().position(|server| server.port() == port)
            },
        )
        .await
    }
}
