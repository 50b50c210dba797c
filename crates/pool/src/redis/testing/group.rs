//! Servers that belong together.

use std::{fmt::Write as _, time::Duration};

use tokio::time::{Instant, sleep};

use super::{PATIENCE, Server};

/// A master with replicas under one Sentinel.
#[derive(Debug)]
pub struct Replicated {
    /// The master that it began with, then its replicas.
    pub servers: Vec<Server>,
    /// The Sentinel.
    pub sentinel: Server,
}

/// A cluster of masters without replicas.
#[derive(Debug)]
pub struct Cluster {
    /// Its masters, in the order of their slots.
    pub servers: Vec<Server>,
}

impl Replicated {
    /// Starts one master and so many replicas under the name `main`, all with further arguments, and waits
    /// until the Sentinel knows them. A password for all goes into `password`.
    pub async fn start(replicas: usize, password: Option<&str>, args: &[&str]) -> Self {
        let mut all = args.to_vec();
        if let Some(password) = password {
            all.extend(["--requirepass", password, "--masterauth", password]);
        }
        let master = Server::start(&all).await;
        let port = master.port().to_string();
        let mut servers = vec![master];
        for _ in 0..replicas {
            let mut all = all.clone();
            all.extend(["--replicaof", "127.0.0.1", &port]);
            servers.push(Server::start(&all).await);
        }
        // A Sentinel writes into its file.
        let mut config = format!("sentinel monitor main 127.0.0.1 {port} 1\n");
        for line in [
            "down-after-milliseconds main 500",
            "failover-timeout main 3000",
            "parallel-syncs main 2",
        ] {
            let _ = writeln!(config, "sentinel {line}");
        }
        if let Some(password) = password {
            let _ = writeln!(config, "sentinel auth-pass main {password}");
        }
        let folder = super::Folder::new();
        let file = folder.write("sentinel.conf", config);
        let file = file.to_str().expect("a path in UTF-8");
        let sentinel = Server::start_in(folder, "redis-server".as_ref(), &[file, "--sentinel"]).await;
        let group = Self { servers, sentinel };
        group.knows(replicas).await;
        group
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/main", self.sentinel.port())
    }

    /// The port of the one that the Sentinel takes for the master.
    pub fn master(&self) -> u16 {
        let answer = self
            .sentinel
            .cli(&["SENTINEL", "get-master-addr-by-name", "main"]);
        let port = answer.lines().nth(1).and_then(|port| port.parse().ok());
        port.expect("the Sentinel knows a master")
    }

    async fn knows(&self, replicas: usize) {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.sentinel.cli(&["SENTINEL", "replicas", "main"]);
            let found = answer
                .lines()
                .filter(|line| *line == "master-link-status")
                .count();
            let linked = answer.lines().collect::<Vec<_>>();
            let linked = linked
                .windows(2)
                .filter(|pair| *pair == ["master-link-status", "ok"])
                .count();
            if found == replicas && linked == replicas {
                return;
            }
            assert!(
                Instant::now() < until,
                "the Sentinel found {linked} of {replicas} replicas"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Cluster {
    /// Starts so many masters that share the slots, with further arguments, and waits until they serve.
    pub async fn start(masters: u16, args: &[&str]) -> Self {
        let mut all = args.to_vec();
        all.extend(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
        let mut servers = Vec::new();
        for index in 0..masters {
            let server = Server::start(&all).await;
            let slot = |index: u16| u32::from(index) * 16384 / u32::from(masters);
            let slots: Vec<String> = (slot(index)..slot(index + 1))
                .map(|slot| slot.to_string())
                .collect();
            server.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            let mut add = vec!["CLUSTER", "ADDSLOTS"];
            add.extend(slots.iter().map(String::as_str));
            assert_eq!(server.cli(&add), "OK", "the slots of master {index}");
            servers.push(server);
        }
        let cluster = Self { servers };
        for server in cluster.servers.iter().skip(1) {
            let first = cluster
                .servers
                .first()
                .map(Server::port)
                .expect("a master")
                .to_string();
            server.cli(&["CLUSTER", "MEET", "127.0.0.1", &first]);
        }
        cluster.serves().await;
        cluster
    }

    /// Its address: one of its servers, which names the others.
    pub fn url(&self) -> String {
        let port = self.servers.first().map(Server::port).expect("a master");
        format!("redis-cluster://127.0.0.1:{port}")
    }

    /// Waits until every master says that all slots are served.
    pub async fn serves(&self) {
        let until = Instant::now() + PATIENCE;
        let nodes = format!("cluster_known_nodes:{}", self.servers.len());
        loop {
            let serves = |server: &Server| {
                let info = server.cli(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains(&nodes)
            };
            if self.servers.iter().all(serves) {
                return;
            }
            assert!(Instant::now() < until, "the cluster never served");
            sleep(Duration::from_millis(50)).await;
        }
    }
}
