//! A server that lives as long as its test.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use ::redis::{Client, Connection};
use tempfile::TempDir;

/// A server with nothing in it, which listens on a socket in a folder of its own.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_with(&["--port", "0"])
    }

    /// The only server of a cluster.
    pub(super) fn start_in_cluster() -> Self {
        // The port for other servers has to be ten thousand higher.
        let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let port = listener.local_addr().expect("it is bound").port() % 20_000 + 20_000;
        drop(listener);
        let port = port.to_string();
        let server = Self::start_with(&["--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", &port]);
        let mut command = ::redis::cmd("CLUSTER");
        command.arg("ADDSLOTS").arg((0..16_384).collect::<Vec<u32>>());
        let mut connection = server.connect();
        command.query::<()>(&mut connection).expect("the slots are free");
        let mut info = ::redis::cmd("CLUSTER");
        info.arg("INFO");
        while !info
            .query::<String>(&mut connection)
            .expect("it answers")
            .contains("cluster_state:ok")
        {}
        server
    }

    fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut child = Command::new("redis-server")
            .args(arguments)
            .args(["--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.path().join("socket"))
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is installed");
        let output = child.stdout.take().expect("its output is piped");
        let ready = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.to_ascii_lowercase().contains("ready to accept connections"));
        assert!(ready, "redis-server started");
        Self { child, folder }
    }

    pub(super) fn connect(&self) -> Connection {
        let address = format!("redis+unix://{}", self.folder.path().join("socket").display());
        let client = Client::open(address).expect("the address is valid");
        client.get_connection().expect("the server listens")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
