//! A real Redis as a process, alone, behind Sentinel or as a Cluster.
//!
//! `ROUNDHOUSE_REDIS_SERVER` names another program (Valkey, an older Redis) for all that do not name one themselves.

mod cluster;
mod contents;
mod launch;
mod monitor;
mod sentinel;
mod slow;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

pub use self::{
    cluster::Cluster, contents::Stored, launch::RedisLaunch, monitor::Monitor, sentinel::Sentinel,
    slow::SlowPath,
};
use crate::{
    eventually,
    tools::{panic_with, print_log, signal},
};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(15);

/// Longer than any pause that a test asks of a server.
const ANSWER: Duration = Duration::from_secs(60);

/// Who the harness is on a server that asks.
const OPERATOR: (&str, &str) = ("harness", "harness-password-0123456789");

/// Who gateways are on a server that asks.
const USER: &str = "roundhouse";

/// A running redis-server with a port and a folder of its own. Dropping it ends the process; when the test failed, its
/// log is printed.
#[derive(Debug)]
pub struct Redis {
    launch: RedisLaunch,
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Redis {
    /// Starts one that keeps nothing on disk and asks for no password.
    pub async fn start() -> Self {
        Self::prepare().start().await
    }

    /// Prepares a start with other options.
    pub fn prepare() -> RedisLaunch {
        RedisLaunch::default()
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The flags of a gateway that shares its state here.
    pub fn arguments(&self) -> Vec<String> {
        let scheme = if self.launch.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        let user = if self.launch.protected.is_some() {
            format!("{USER}@")
        } else {
            String::new()
        };
        let authority = match &self.launch.tls {
            Some(_) => format!("?ca-file={}", self.file("ca.pem").display()),
            None => String::new(),
        };
        let url = format!("{scheme}://{user}127.0.0.1:{}{authority}", self.port);
        let mut arguments = vec!["--redis-url".to_owned(), url];
        if self.launch.protected.is_some() {
            arguments.push("--redis-password-file".to_owned());
            arguments.push(self.file("password").display().to_string());
        }
        arguments
    }

    /// Runs a command with redis-cli and returns what it prints. Fails when the server answers with an error.
    pub async fn cli(&self, command: &[&str]) -> String {
        match self.ask(command).await {
            Ok(answer) => answer,
            Err(error) => panic_with(&format!("redis-cli {}: {error}", command.join(" "))),
        }
    }

    /// Runs a command with redis-cli; the server's error, or that there is no server, is an error to look at.
    pub async fn ask(&self, command: &[&str]) -> Result<String, String> {
        let mut client = Command::new("redis-cli");
        client
            .args(["-e", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if self.launch.protected.is_some() {
            client
                .env("REDISCLI_AUTH", OPERATOR.1)
                .args(["--user", OPERATOR.0]);
        }
        if self.launch.tls.is_some() {
            client.arg("--tls").arg("--cacert").arg(self.file("ca.pem"));
        }
        let done = timeout(ANSWER, client.args(command).output())
            .await
            .map_err(|_| format!("no answer within {ANSWER:?}"))?
            .map_err(|error| format!("{error}: run hack/test-tools.sh first"))?;
        let output = String::from_utf8_lossy(&done.stdout).trim_end().to_owned();
        let error = String::from_utf8_lossy(&done.stderr);
        if done.status.success() {
            Ok(output)
        } else {
            Err(format!("{output}{}", error.trim_end()))
        }
    }

    /// The names of all keys, in alphabetical order.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.cli(&["--scan"]).await.lines().map(str::to_owned).collect();
        keys.sort();
        keys
    }

    /// Ends the process with SIGKILL. The port stays its own.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again after [`Redis::kill`], with the data that it has on disk: none unless it was told to keep any.
    pub async fn restart(&mut self) {
        self.process = self.launch.spawn(self.folder.path());
        self.until_it_answers().await;
    }

    /// Starts it again after [`Redis::kill`], without its data.
    pub async fn restart_empty(&mut self) {
        for kept in ["dump.rdb", "appendonly.aof"] {
            // What is not there need not go.
            let _ = fs::remove_file(self.file(kept));
        }
        let _ = fs::remove_dir_all(self.file("appendonlydir"));
        self.restart().await;
    }

    /// Stops the process with SIGSTOP: connections stay, and nothing answers.
    pub fn pause(&self) {
        signal(&self.process, Signal::STOP);
    }

    /// Goes on after [`Redis::pause`].
    pub fn resume(&self) {
        signal(&self.process, Signal::CONT);
    }

    /// Gives the gateways' user another password and ends its connections. The password file stays as it is.
    pub async fn change_password(&self, password: &str) {
        let password = format!(">{password}");
        self.cli(&["acl", "setuser", USER, "resetpass", &password]).await;
        self.end_connections().await;
    }

    /// Ends all connections but the harness' own.
    pub async fn end_connections(&self) {
        // It answers with how many there were, or that there was none.
        let _ = self
            .ask(&["client", "kill", "type", "normal", "skipme", "yes"])
            .await;
    }

    /// The file that gateways read their password from.
    pub fn password_file(&self) -> PathBuf {
        self.file("password")
    }

    /// Waits until `INFO` has this line.
    pub async fn until_info(&self, line: &str) {
        eventually(
            &format!("redis on port {}: {line:?} in INFO", self.port),
            START,
            || async {
                let info = self.ask(&["info"]).await.ok()?;
                info.lines().any(|found| found.trim_end() == line).then_some(())
            },
        )
        .await;
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        log_in(self.folder.path())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn until_it_answers(&mut self) {
        let deadline = tokio::time::Instant::now() + START;
        while self.ask(&["ping"]).await.as_deref() != Ok("PONG") {
            if let Some(status) = self.process.try_wait().expect("a child can be waited for") {
                panic_with(&format!(
                    "redis on port {} ended at its start with {status}: {}",
                    self.port,
                    self.log()
                ));
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "redis on port {} does not answer within {START:?}: {:?}",
                self.port,
                self.ask(&["ping"]).await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        print_log(&format!("redis on port {}", self.port), &self.log());
    }
}

fn log_in(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}
